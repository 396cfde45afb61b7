"""The clients of a turn, against a server that answers each request at once."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bench.client import PROBE_LENGTH, measure
from tests.waiting import wait_until

JOB = {"streams": 2, "seconds": 0.2, "warm_s": 0.05, "seed": 1, "alphabet": "ab", "probes": 0}


class Handler(BaseHTTPRequestHandler):
    """An event for each character, and one at the end."""

    protocol_version = "HTTP/1.1"
    bodies: list[dict[str, Any]] = []  # noqa: RUF012  # the fixture replaces it

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"\ndata: x\n" * (body["length"] + 1))
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Handler.bodies = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_characters_of_all_streams_are_counted(port: int) -> None:
    found = wait_until(lambda: counted if (counted := measure(JOB | {"port": port}))["characters_per_second"] else None)
    assert len(found["first_char_ms"]) >= 2
    assert {body["prompt"] for body in Handler.bodies} == {""}


def test_probes_have_prompts_of_the_given_length_and_their_own_times(port: int) -> None:
    found = measure(JOB | {"port": port, "probes": 3, "prompt_chars": 50, "seconds": 60})
    probes = [body for body in Handler.bodies if body["length"] == PROBE_LENGTH]
    assert [len(body["prompt"]) for body in probes] == [50, 50, 50]
    assert len({body["prompt"] for body in probes}) == len(found["first_char_ms"]) == 3


def test_at_least_one_probe_is_answered_however_short_the_turn(port: int) -> None:
    found = measure(JOB | {"port": port, "streams": 0, "probes": 3, "prompt_chars": 0, "seconds": 0})
    assert len(found["first_char_ms"]) == 1
    assert found["characters_per_second"] == 0
