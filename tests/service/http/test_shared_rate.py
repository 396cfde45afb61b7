"""Limiters that share a real Redis, and that count alone while it fails."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import limits
import pytest
from prometheus_client import REGISTRY

from service.http import shared_rate
from service.http.shared_rate import SharedRateLimiter
from service.rate_storage import TIMEOUT_S, open_storage
from tests.redis_servers import RedisServer, needs_redis, running_redis

pytestmark = needs_redis
CLIENT = ("key", "secret-key")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as started:
        yield started


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limiter whose Redis answers late, as on a busy machine, would count alone."""
    monkeypatch.setattr("service.rate_storage.TIMEOUT_S", 30)


def limiter_of(server: RedisServer, rate: str = "2/hour") -> SharedRateLimiter:
    return SharedRateLimiter(limits.parse(rate), open_storage(server.url))


def refused(limiter: SharedRateLimiter, count: int, client: tuple[str, str] = CLIENT) -> list[bool]:
    return [limiter.count(client).is_exceeded for _ in range(count)]


def failures() -> float:
    return REGISTRY.get_sample_value("charloom_rate_limit_storage_failures_total") or 0


def test_limiters_count_together_and_clients_apart(server: RedisServer) -> None:
    one, two = limiter_of(server), limiter_of(server)
    assert refused(one, 1) + refused(two, 2) + refused(one, 1) == [False, False, True, True]
    assert refused(two, 1, ("address", CLIENT[1])) == [False]


def test_a_quota_is_that_of_a_sliding_window(server: RedisServer) -> None:
    limiter = limiter_of(server)
    quotas = [limiter.count(CLIENT) for _ in range(3)]
    assert [(quota.is_exceeded, quota.limit, quota.remaining) for quota in quotas] == [
        (False, 2, 1),
        (False, 2, 0),
        (True, 2, 0),
    ]
    assert all(3500 < quota.reset_s <= 3600 for quota in quotas)


def test_redis_stores_neither_keys_nor_addresses_and_forgets_them(server: RedisServer) -> None:
    limiter = limiter_of(server)
    for client in (CLIENT, ("address", "192.0.2.7")):
        limiter.count(client)
    names = [name.decode() for name in server.client.scan_iter()]
    assert len(names) == 2
    for name in names:
        assert name.startswith("charloom:")
        assert "secret" not in name
        assert "192.0.2.7" not in name
        assert 0 < server.client.ttl(name) <= 3600


def test_while_redis_fails_each_limiter_counts_alone(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limiter, before = limiter_of(server), failures()
    refused(limiter, 1)
    server.stop()
    with caplog.at_level(logging.INFO):
        assert refused(limiter, 3) == [False, False, True]
        assert failures() == before + 1, "the other requests do not ask Redis"
        server.start()
        monkeypatch.setattr(shared_rate, "RETRY_S", 0)
        assert refused(limiter_of(server), 2) == [False, False]
        now_s = time.monotonic()
        monkeypatch.setattr("time.monotonic", lambda: now_s + 6)
        assert refused(limiter, 2) == [True, True], "Redis counts again, and it has counted two"
    down, up = caplog.messages
    assert down.startswith("Redis failed (")
    assert "secret" not in down
    assert up == "Redis answers again: the rate limit is shared with the other processes."


def test_a_redis_that_hangs_delays_one_request_for_a_bounded_time(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rate_storage.TIMEOUT_S", TIMEOUT_S)
    limiter = limiter_of(server)
    refused(limiter, 1)
    server.suspend()
    started_s = time.monotonic()
    assert refused(limiter, 3) == [False, False, True]
    # Without its time limits the client would wait forever.
    assert time.monotonic() - started_s < 20 * TIMEOUT_S


def test_a_refusal_of_redis_is_a_failure_too(server: RedisServer) -> None:
    limiter = limiter_of(server)
    refused(limiter, 1)
    (name,) = server.client.scan_iter()
    server.client.set(name, "not a list")
    assert refused(limiter, 3) == [False, False, True]
