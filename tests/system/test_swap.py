"""Versions that are published, refused, replaced and removed while a service runs on gunicorn and streams run."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Server
from tests.system.versions import publish_copy
from tests.waiting import wait_until

POLL_SECONDS = 0.1


def get(server: Server, path: str) -> Any:
    """The JSON of a 200 response."""
    status, _, body = server.request("GET", path)
    assert status == 200, body
    return json.loads(body)


def serves(server: Server, version: int) -> bool:
    return get(server, "/readyz")["version"] == version


def by_version(server: Server, name: str) -> dict[str, float]:
    """The values of a metric by version."""
    families = text_string_to_metric_families(server.request("GET", "/metrics")[2].decode())
    samples = (sample for family in families for sample in family.samples)
    return {sample.labels["version"]: sample.value for sample in samples if sample.name == name}


class Reader:
    """A stream of events that is read only when the test asks for it. The headers arrive while it is still queued."""

    def __init__(self, server: Server, **fields: Any) -> None:
        with ExitStack() as opened:
            connection = opened.enter_context(closing(server.connect()))
            connection.request("POST", "/generate", json.dumps(fields), {"Content-Type": "application/json"})
            self._response = opened.enter_context(closing(connection.getresponse()))
            self.close = opened.pop_all().close
        self.version = self._response.headers["X-Model-Version"]

    def last(self) -> dict[str, Any]:
        """Read to the end and return the last event."""
        *_, last = self._response.read().removesuffix(b"\n\n").split(b"\n\n")
        return json.loads(last.removeprefix(b"data: "))


@pytest.fixture
def read() -> Iterator[Callable[..., Reader]]:
    """Start streams that are closed at the end of the test."""
    with ExitStack() as readers:
        yield lambda *args, **fields: readers.enter_context(closing(Reader(*args, **fields)))


@pytest.fixture
def models(tiny: Path, tmp_path: Path) -> Path:
    """A store with version 1 of the tiny model, which the test may change."""
    (tmp_path / "models/tiny").mkdir(parents=True)
    publish_copy(tiny, tmp_path / "models", 1)
    return tmp_path / "models"


def test_running_and_queued_streams_keep_their_version_and_new_ones_get_the_new(
    serve, read, tiny: Path, models: Path
) -> None:
    # One slot and one step per call: the first stream outlasts the swap, and the second is queued behind it.
    server = serve(models, engines=1, slots=1, chunk=1, poll_seconds=POLL_SECONDS)
    fields = {"prompt": "the c", "length": 1000, "seed": 1}
    running, waiting = read(server, length=100_000), read(server, **fields)
    publish_copy(tiny, models, 2)
    wait_until(lambda: serves(server, 2))
    scraped = server.request("GET", "/metrics")[2]
    assert b"charloom_streams_running 1.0" in scraped
    assert b"charloom_streams_waiting 1.0" in scraped
    assert by_version(server, "charloom_model_loaded") == by_version(server, "charloom_model_served") == {"2": 1}
    new = read(server, length=5)
    assert [reader.version for reader in (running, waiting, new)] == ["1", "1", "2"]
    running.close()
    last = waiting.last()
    assert (last["version"], last["finish_reason"], len(last["text"])) == (1, "length", 1000)
    assert new.last()["version"] == 2
    again = server.generate(**fields)  # the copy has the same weights
    assert (again["version"], again["text"]) == (2, last["text"])


def test_a_broken_version_is_refused_and_the_version_before_it_serves(serve, tiny: Path, models: Path) -> None:
    publish_copy(tiny, models, 2)
    server = serve(models, engines=1, poll_seconds=POLL_SECONDS)
    publish_copy(tiny, models, 3, broken=True)
    wait_until(lambda: "Version tiny/3 is refused" in server.log())
    (reason,) = get(server, "/readyz")["refused"]
    assert reason.startswith("Version tiny/3 is refused: TensorFlow")
    shown = get(server, "/models")["models"][0]
    assert (shown["served"], shown["versions"][-1]["loaded"]) == (2, False)
    assert shown["versions"][-1]["refused"] in reason
    assert server.log().count("Version tiny/3 is refused") == 1
    assert by_version(server, "charloom_model_refusals_total") == {"3": 1}
    assert server.generate(length=1)["version"] == 2
    for method, path, body in (("POST", "/generate", {"version": 3}), ("GET", "/models/tiny/3", None)):
        status, _, answer = server.request(method, path, body)
        assert status == 404
        assert "is refused" in json.loads(answer)["error"]["message"]
    # Repaired: another folder in its place.
    shutil.rmtree(models / "tiny/3")
    publish_copy(tiny, models, 3)
    wait_until(lambda: serves(server, 3))
    assert get(server, "/readyz")["refused"] == []
    assert server.generate(length=1)["version"] == 3


def test_a_fifo_in_place_of_a_file_blocks_neither_the_service_nor_its_shutdown(serve, tiny: Path, models: Path) -> None:
    server = serve(models, engines=1, poll_seconds=POLL_SECONDS)
    (models / "tiny/3/assets.extra").mkdir(parents=True)
    os.mkfifo(models / "tiny/3/assets.extra/manifest.json")
    publish_copy(tiny, models, 2)
    wait_until(lambda: serves(server, 2))
    (reason,) = get(server, "/readyz")["refused"]
    assert reason == "Version tiny/3 is refused: its assets.extra/manifest.json is not a regular file."
    (models / "tiny/2/assets.extra/history.jsonl").unlink()
    os.mkfifo(models / "tiny/2/assets.extra/history.jsonl")
    assert get(server, "/models/tiny/2")["history"] == []
    started_s = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started_s < 20


@pytest.mark.slow
def test_a_removed_version_is_rolled_back_and_an_old_one_can_be_requested(serve, tiny: Path, models: Path) -> None:
    publish_copy(tiny, models, 2)
    shutil.copytree(models / "tiny/1", models / "tiny/3")
    server = serve(models, engines=1, poll_seconds=POLL_SECONDS)
    reason = "Version tiny/3 is refused: its manifest says that it is tiny/1."
    assert get(server, "/readyz")["refused"] == [reason]
    assert reason in server.log()
    assert get(server, "/models/tiny/1")["manifest"]["version"] == 1  # which loads nothing
    versions = get(server, "/models/tiny")["versions"]
    assert [(version["loaded"], version["refused"] is not None) for version in versions] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    shutil.rmtree(models / "tiny/3")
    assert server.generate(length=1, version=1)["version"] == 1
    assert server.generate(length=1)["version"] == 2
    assert by_version(server, "charloom_model_loaded") == {"1": 1, "2": 1}
    shutil.rmtree(models / "tiny/2")
    wait_until(lambda: serves(server, 1))
    assert server.generate(length=1)["version"] == 1
    status, _, answer = server.request("POST", "/generate", {"version": 2})
    assert (status, json.loads(answer)["error"]["param"]) == (404, "version")
    shutil.rmtree(models / "tiny")
    wait_until(lambda: server.request("GET", "/readyz")[0] == 503)
    assert server.request("POST", "/generate", {"model": "tiny"})[0] == 404
    assert server.request("POST", "/generate", {})[0] == 503
    assert by_version(server, "charloom_model_loaded") == {}
    # Published again, and loaded without a request.
    (models / "tiny").mkdir()
    publish_copy(tiny, models, 1)
    wait_until(lambda: server.request("GET", "/readyz")[0] == 200)
    assert server.stop() == 0
    assert "Traceback" not in server.log()
