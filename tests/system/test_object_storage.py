"""A running service on a bucket: swap, rollback and outage of a real S3 server, while streams run."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import COMMAND, ENVIRONMENT, ROOT
from tests.seaweed import BUCKET, KEY, SECRET, Seaweed, needs_seaweed, running_seaweed
from tests.servers import Server
from tests.waiting import wait_until
from training.release import store
from training.release.remote import Remote, working_copy

pytestmark = needs_seaweed

LENGTH = 8_000  # takes longer than a swap


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running_seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def url(seaweed: Seaweed, tiny: Path, tmp_path: Path) -> str:
    """A prefix of the test's own with version 1 of the tiny model."""
    url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    assert publish(url, tiny, tmp_path) == 1
    return url


def publish(url: str, tiny: Path, folder: Path) -> int:
    """Publish the tiny model as the next version."""
    aside = shutil.copytree(tiny / "models/tiny/1", folder / uuid.uuid4().hex)
    manifest = aside / "assets.extra/manifest.json"

    def seal(number: int) -> None:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": number}))

    return Remote(url).place(aside, "tiny", seal)


@pytest.fixture
def server(url: str, tmp_path: Path, serve: Any) -> Server:
    settings = {"engines": 1, "chunk": 1, "poll_seconds": 0.2, "models_cache": tmp_path / "cache"}
    return serve(url, log_folder=tmp_path, **settings)


def training(*arguments: str) -> str:
    """The output of a command, in a new process: a fork would lack the variables of the bucket."""
    environment = ENVIRONMENT | os.environ
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment, text=True, check=True, stdout=subprocess.PIPE
    ).stdout


class Stream:
    """A stream whose events are read only at the end."""

    def __init__(self, server: Server, length: int = LENGTH) -> None:
        self._length = length
        self._connection = server.connect()
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        self._connection.request("POST", "/generate", json.dumps({"length": length, "seed": 1}), headers)
        self._response = self._connection.getresponse()

    def last(self) -> dict[str, Any]:
        *events, last = self._response.read().splitlines()
        self._connection.close()
        assert len(events) == self._length
        return json.loads(last)


def wait_for(server: Server, version: int) -> None:
    wait_until(lambda: json.loads(server.request("GET", "/readyz")[2])["version"] == version, explain=server.log)


def failures(server: Server) -> float:
    lines = server.request("GET", "/metrics")[2].decode().splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith("charloom_object_storage_failures_total")]
    return float(value)


def test_publishing_and_rollback_are_seen_by_a_service_that_drops_no_stream(
    server: Server, url: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for(server, 1)
    streams = [Stream(server)]
    assert publish(url, tiny, tmp_path) == 2
    wait_for(server, 2)
    assert b"\ncharloom_streams_running 1.0\n" in server.request("GET", "/metrics")[2]
    streams.append(Stream(server))
    monkeypatch.setenv("CHARLOOM_MODELS_CACHE", str(tmp_path / "cache"))
    assert store.withdraw(working_copy(url), "tiny", to=1) == [2]  # as `rollback` does
    wait_for(server, 1)
    assert b"\ncharloom_streams_running 0.0\n" not in server.request("GET", "/metrics")[2]
    streams.append(Stream(server, length=100))
    ends = [stream.last() for stream in streams]
    assert [(end["version"], end["finish_reason"]) for end in ends] == [(1, "length"), (2, "length"), (1, "length")]
    assert len({end["text"][:100] for end in ends}) == 1  # both versions have the same weights
    listed = training("list", "--models", url)
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["tiny", "1"]]
    assert publish(url, tiny, tmp_path) == 3
    wait_for(server, 3)
    assert KEY not in server.log()
    assert SECRET not in server.log()


def test_an_outage_leaves_the_service_as_it_is_and_ends_by_itself(
    seaweed: Seaweed, server: Server, url: str, tiny: Path, tmp_path: Path
) -> None:
    assert failures(server) == 0
    stream = Stream(server)
    seaweed.stop()
    try:
        wait_until(lambda: failures(server) >= 2)
        assert server.request("GET", "/readyz")[0] == 200
        assert server.generate(length=1)["version"] == 1
        assert server.log().count("it does not answer. The versions on this machine stay.") == 1
    finally:
        seaweed.start()
    assert stream.last()["finish_reason"] == "length"
    assert publish(url, tiny, tmp_path) == 2
    wait_for(server, 2)
    assert server.log().count(f"{url} is read again.") == 1
