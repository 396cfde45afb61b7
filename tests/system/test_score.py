"""Long texts on a service that runs on gunicorn: progress, streams beside them, clients that leave."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server
from tests.system.clients import NDJSON, log_record, metric
from tests.waiting import wait_until

LONG = "the cat and the dog\n" * 50_000  # the longest that may be scored
RUNNING = "charloom_streams_running"


@pytest.fixture(scope="module")
def idle(tiny: Path) -> Iterator[Server]:
    """A service that no other test asks."""
    started = Server(tiny / "models", engines=1, slots=4, queue=0)
    yield started
    started.stop()


@contextmanager
def scoring(server: Server, request_id: str) -> Iterator[http.client.HTTPResponse]:
    """The response of a score of `LONG` as NDJSON, whose connection is closed at the end."""
    connection = server.connect()
    connection.request("POST", "/score", json.dumps({"text": LONG}).encode(), NDJSON | {"X-Request-Id": request_id})
    response = connection.getresponse()
    assert response.status == 200
    yield response
    response.close()
    connection.close()


def line_of(response: http.client.HTTPResponse) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(response.readline())
    return line


def test_a_long_text_streams_its_progress_beside_a_stream_and_ends_when_its_client_leaves(idle: Server) -> None:
    alone = idle.generate(prompt="the ", length=300, seed=3)
    cancelled = metric(idle, "charloom_cancelled_total")
    with scoring(idle, "long") as response:
        first, second = line_of(response), line_of(response)
        beside = idle.generate(prompt="the ", length=300, seed=3)
        third = line_of(response)
        assert 0 <= first["chars"] <= second["chars"] < third["chars"] < len(LONG)
        assert third["nats"] == pytest.approx(third["chars"] * third["nats_per_char"])
        assert (beside["text"], beside["logprobs"]) == (alone["text"], alone["logprobs"])
        assert metric(idle, RUNNING) == 1
    wait_until(lambda: metric(idle, RUNNING) == 0)
    record = log_record(idle, "long")
    assert (record["finish_reason"], record["text_chars"]) == ("cancelled", len(LONG))
    assert third["chars"] <= record["scored_chars"] < len(LONG)
    assert metric(idle, "charloom_cancelled_total") == cancelled + 1


def test_a_reset_connection_ends_a_score_without_progress(idle: Server) -> None:
    cancelled = metric(idle, "charloom_cancelled_total")
    connection = idle.connect()
    connection.request("POST", "/score", json.dumps({"text": LONG}).encode(), {"Content-Type": "application/json"})
    wait_until(lambda: metric(idle, RUNNING) == 1)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends RST
    connection.close()
    wait_until(lambda: metric(idle, "charloom_cancelled_total") == cancelled + 1)
    wait_until(lambda: metric(idle, RUNNING) == 0)
