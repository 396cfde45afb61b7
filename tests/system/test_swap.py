"""Versions that come, break and go under a real gunicorn, while streams run."""

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

SECONDS = 60
POLL_SECONDS = 0.1


def publish(tiny: Path, models: Path, version: int, *, broken: bool = False) -> None:
    """The tiny model under another number, there at once or not at all, as training does it."""
    aside = models / "tiny" / f".partial-{version}"
    shutil.copytree(tiny / "models/tiny/1", aside)
    path = aside / "assets.extra/manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(manifest | {"version": version}), encoding="utf-8")
    if broken:
        weights = next((aside / "variables").glob("*.data-*"))
        weights.write_bytes(weights.read_bytes()[:100])
    aside.rename(models / "tiny" / str(version))


def until(server: Server, holds: Callable[[], bool]) -> None:
    """Look again and again; it must come true."""
    deadline_s = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline_s, server.log()
        time.sleep(0.02)  # between two looks, not for luck


def get(server: Server, path: str) -> Any:
    status, _, body = server.request("GET", path)
    assert status == 200, body
    return json.loads(body)


def serves(server: Server, version: int) -> bool:
    return get(server, "/readyz")["version"] == version


def metric(server: Server, name: str) -> dict[str, float]:
    """The values of a metric by version."""
    families = text_string_to_metric_families(server.request("GET", "/metrics")[2].decode())
    samples = (sample for family in families for sample in family.samples)
    return {sample.labels["version"]: sample.value for sample in samples if sample.name == name}


class Reader:
    """A stream of events that is read only when the test wants it; its headers come while it still waits."""

    def __init__(self, server: Server, **fields: Any) -> None:
        with ExitStack() as opened:
            connection = opened.enter_context(closing(server.connect()))
            connection.request("POST", "/generate", json.dumps(fields), {"Content-Type": "application/json"})
            self._response = opened.enter_context(closing(connection.getresponse()))
            self.close = opened.pop_all().close
        self.version = self._response.headers["X-Model-Version"]

    def last(self) -> dict[str, Any]:
        """The last event, once everything before it was read."""
        *_, last = self._response.read().removesuffix(b"\n\n").split(b"\n\n")
        return json.loads(last.removeprefix(b"data: "))


@pytest.fixture
def read() -> Iterator[Callable[..., Reader]]:
    """Begin streams, which end with the test."""
    with ExitStack() as readers:
        yield lambda *args, **fields: readers.enter_context(closing(Reader(*args, **fields)))


@pytest.fixture
def models(tiny: Path, tmp_path: Path) -> Path:
    """A store with version 1."""
    (tmp_path / "models/tiny").mkdir(parents=True)
    publish(tiny, tmp_path / "models", 1)
    return tmp_path / "models"


def test_streams_stay_on_the_version_they_began_on_and_new_ones_get_the_new(
    serve, read, tiny: Path, models: Path
) -> None:
    # One place, one step a call: the first stream runs for longer than any swap takes, and the second waits behind it.
    server = serve(models, engines=1, slots=1, chunk=1, poll_seconds=POLL_SECONDS)
    fields = {"prompt": "the c", "length": 1000, "seed": 1}
    running, waiting = read(server, length=100_000), read(server, **fields)
    publish(tiny, models, 2)
    until(server, lambda: serves(server, 2))
    scraped = server.request("GET", "/metrics")[2]
    assert b"charloom_streams_running 1.0" in scraped
    assert b"charloom_streams_waiting 1.0" in scraped
    assert metric(server, "charloom_model_loaded") == metric(server, "charloom_model_served") == {"2": 1}
    new = read(server, length=5)
    assert [reader.version for reader in (running, waiting, new)] == ["1", "1", "2"]
    running.close()
    last = waiting.last()
    assert (last["version"], last["finish_reason"], len(last["text"])) == (1, "length", 1000)
    assert new.last()["version"] == 2
    again = server.generate(**fields)  # the copy has the same weights
    assert (again["version"], again["text"]) == (2, last["text"])


def test_a_broken_version_is_refused_everywhere_and_the_old_one_serves(serve, tiny: Path, models: Path) -> None:
    publish(tiny, models, 2)
    server = serve(models, engines=1, poll_seconds=POLL_SECONDS)
    publish(tiny, models, 3, broken=True)
    until(server, lambda: get(server, "/readyz")["refused"] != [])
    (reason,) = get(server, "/readyz")["refused"]
    assert reason.startswith("Version tiny/3 is refused: TensorFlow")
    shown = get(server, "/models")["models"][0]
    assert (shown["served"], shown["versions"][-1]["loaded"]) == (2, False)
    assert shown["versions"][-1]["refused"] in reason
    assert server.log().count("Version tiny/3 is refused") == 1
    assert metric(server, "charloom_model_refusals_total") == {"3": 1}
    assert server.generate(length=1)["version"] == 2
    for method, path, body in (("POST", "/generate", {"version": 3}), ("GET", "/models/tiny/3", None)):
        status, _, answer = server.request(method, path, body)
        assert status == 404
        assert "is refused" in json.loads(answer)["error"]["message"]
    # Mended: another folder in its place.
    shutil.rmtree(models / "tiny/3")
    publish(tiny, models, 3)
    until(server, lambda: serves(server, 3))
    assert get(server, "/readyz")["refused"] == []
    assert server.generate(length=1)["version"] == 3


def test_a_file_that_would_block_its_reader_stops_neither_the_service_nor_its_end(
    serve, tiny: Path, models: Path
) -> None:
    server = serve(models, engines=1, poll_seconds=POLL_SECONDS)
    (models / "tiny/3/assets.extra").mkdir(parents=True)
    os.mkfifo(models / "tiny/3/assets.extra/manifest.json")
    publish(tiny, models, 2)
    until(server, lambda: serves(server, 2))
    (reason,) = get(server, "/readyz")["refused"]
    assert reason == "Version tiny/3 is refused: its assets.extra/manifest.json is not a regular file."
    (models / "tiny/2/assets.extra/history.jsonl").unlink()
    os.mkfifo(models / "tiny/2/assets.extra/history.jsonl")
    assert get(server, "/models/tiny/2")["history"] == []
    began_s = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began_s < 20


def test_a_version_that_goes_is_rolled_back_and_an_old_one_may_be_named(serve, tiny: Path, models: Path) -> None:
    publish(tiny, models, 2)
    server = serve(models, engines=1, poll_seconds=POLL_SECONDS)
    assert get(server, "/models/tiny/1")["manifest"]["version"] == 1  # which loads nothing
    assert [row["loaded"] for row in get(server, "/models/tiny")["versions"]] == [False, True]
    assert server.generate(length=1, version=1)["version"] == 1
    assert server.generate(length=1)["version"] == 2
    assert metric(server, "charloom_model_loaded") == {"1": 1, "2": 1}
    shutil.rmtree(models / "tiny/2")
    until(server, lambda: serves(server, 1))
    assert server.generate(length=1)["version"] == 1
    status, _, answer = server.request("POST", "/generate", {"version": 2})
    assert (status, json.loads(answer)["error"]["param"]) == (404, "version")
    shutil.rmtree(models / "tiny")
    until(server, lambda: server.request("GET", "/readyz")[0] == 503)
    assert server.request("POST", "/generate", {"model": "tiny"})[0] == 404
    assert server.request("POST", "/generate", {})[0] == 503
    assert metric(server, "charloom_model_loaded") == {}
    # And back again, without a request.
    (models / "tiny").mkdir()
    publish(tiny, models, 1)
    until(server, lambda: server.request("GET", "/readyz")[0] == 200)
    assert server.stop() == 0
    assert "Traceback" not in server.log()
