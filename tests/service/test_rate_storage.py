"""URLs of a Redis, the check at the start, and messages without a password."""

import sys
from pathlib import Path

import pytest

from service.rate_storage import RateStorageError, check, open_storage, shown
from tests.ports import free_port
from tests.redis_servers import needs_redis, running_redis


@pytest.mark.parametrize(
    "url", ["redis://host", "redis://host:1/0", "rediss://:p%40ss@a.example.org:6379/15", "redis://u:p@[::1]:6379/0"]
)
def test_a_redis_url_opens_a_storage_without_a_connection(url: str) -> None:
    assert open_storage(url).key_prefix == "charloom"


@pytest.mark.parametrize(
    "url",
    [
        *("", "redis", "memory://", "memcached://host", "redis+cluster://host"),
        *("redis://", "redis://host:65536", "redis://host:0", "redis://host/x", "redis://a b", "redis://host\n"),
        "redis://host?socket_timeout=900",
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(RateStorageError, match="must be 'memory' or a URL like 'redis://host:6379/0', not "):
        open_storage(url)


@pytest.mark.parametrize("url", ["http://me:secret@host/0", "me:secret@host", "redis://host/0?password=secret"])
def test_a_refusal_quotes_no_password(url: str) -> None:
    with pytest.raises(RateStorageError) as refusal:
        open_storage(url)
    assert "secret" not in str(refusal.value)
    assert len(shown("x" * 10_000)) == 60


def test_without_the_package_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(RateStorageError, match="needs the Python package redis"):
        open_storage("redis://host")


def test_a_redis_that_does_not_answer_fails_the_check() -> None:
    with pytest.raises(RateStorageError, match=r"cannot be used: .*refused$"):
        check(open_storage(f"redis://127.0.0.1:{free_port()}"))


def test_a_host_that_is_no_name_fails_the_check() -> None:
    with pytest.raises(RateStorageError, match="cannot be used: "):
        check(open_storage("redis://a..b:6379/0"))


@needs_redis
def test_the_check_needs_the_right_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.rate_storage.TIMEOUT_S", 30)  # a busy machine may answer late
    with running_redis(tmp_path, "--requirepass", "right-one") as server:
        check(open_storage(server.url.replace("//", "//:right-one@")))
        for wrong in (server.url, server.url.replace("//", "//:wrong-one@")):
            with pytest.raises(RateStorageError, match="cannot be used: ") as refusal:
                check(open_storage(wrong))
            assert "wrong-one" not in str(refusal.value)
