"""What whoever runs the service relies on: metrics, the log, and an orderly end. On a real gunicorn."""

import http.client
import json
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Server

DEADLINE_S = 60
ENDLESS = 10**8  # characters: more than any test waits for
JSON = {"Content-Type": "application/json"}
NDJSON = JSON | {"Accept": "application/x-ndjson"}


def metric(server: Server, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels."""
    status, _, body = server.request("GET", "/metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks, not for luck


@contextmanager
def streaming(server: Server, **fields: Any) -> Iterator[http.client.HTTPResponse]:
    """A stream whose first characters have come."""
    connection = server.connect()
    try:
        connection.request("POST", "/generate", json.dumps(fields).encode(), NDJSON)
        response = connection.getresponse()
        assert response.status == 200
        assert json.loads(response.readline())["index"] == 0
        yield response
        response.close()
    finally:
        connection.close()


def last_event(response: http.client.HTTPResponse) -> dict[str, Any]:
    return json.loads(response.read().splitlines()[-1])


def lines(server: Server) -> list[dict[str, Any]]:
    """The log, of which every line is to be an object."""
    return [json.loads(line) for line in server.log().rpartition("\n")[0].split("\n")]


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    """The one line of a request; it is written after the client has the answer."""

    def found() -> list[dict[str, Any]]:
        return [line for line in lines(server) if line.get("request_id") == request_id]

    wait_until(found)
    (line,) = found()
    return line


def test_metrics_are_prometheus_and_count_what_is_refused(serve, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a\n")
    server = serve(tiny / "models", engines=1, api_keys_file=tmp_path / "keys", rate_limit="1/hour")
    status, headers, body = server.request("GET", "/metrics")  # no key, and it costs nothing of the rate
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert {"charloom_streams_running", "charloom_draining"} <= {
        family.name for family in text_string_to_metric_families(body.decode())
    }
    key = {"Authorization": "Bearer a"}
    assert [server.request("GET", "/models", headers=key)[0] for _ in range(3)] == [200, 429, 429]
    assert metric(server, "charloom_rejected_total", reason="rate_limit") == 2


def test_probes_answer_while_every_thread_but_theirs_is_held(serve, tiny: Path) -> None:
    """Clients that announce a body and do not send it hold a thread each; connections that say nothing hold none."""
    server = serve(tiny / "models", engines=1, slots=1, queue=0)
    threads = 1 + 32
    connections = [server.connect() for _ in range(threads + 20)]
    for connection in connections:
        connection.connect()
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    for connection in connections:
        connection.sock.sendall(head)
    started = time.monotonic()
    for _ in range(20):
        for path in ("/livez", "/readyz", "/metrics"):
            assert server.request("GET", path)[0] == 200
    assert time.monotonic() - started < DEADLINE_S / 2  # a receive gives up after sixty seconds
    for connection in connections:
        connection.close()


def test_connections_that_never_close_do_not_stop_the_server(serve, tiny: Path) -> None:
    """A server that waits for clients to close their side, one after the other, answers nobody meanwhile."""
    server = serve(tiny / "models", engines=1)
    lazy = [server.connect() for _ in range(60)]
    for connection in lazy:
        connection.request("GET", "/models", headers={"Connection": "close"})
    answers = [connection.getresponse() for connection in lazy]
    assert {answer.status for answer in answers} == {200}
    started = time.monotonic()
    assert server.request("GET", "/livez")[0] == 200
    assert time.monotonic() - started < 2 * len(lazy) / 10
    for connection in lazy:
        connection.close()


def test_every_line_of_the_log_is_an_object_and_every_request_has_one(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1)
    prompt = "a prompt that nobody else may read"
    whole = {"prompt": prompt, "length": 30, "seed": 3}
    for stream in (True, False):
        headers = {"X-Request-Id": f"streamed-{stream}"}
        assert server.request("POST", "/generate", whole | {"stream": stream}, headers)[0] == 200
        line = line_of(server, f"streamed-{stream}")
        expected = {"model": "tiny", "version": 1, "seed": 3, "prompt_chars": len(prompt), "generated_chars": 30}
        expected |= {"finish_reason": "length", "status": 200, "method": "POST", "path": "/generate"}
        assert expected.items() <= line.items()
        assert 0 <= line["queue_ms"] <= line["first_char_ms"] <= line["total_ms"]
        assert {"cached_chars", "duration_ms"} <= set(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert {"level", "message", "logger"} <= set(line)
    assert server.request("POST", "/generate", {"length": 0}, {"X-Request-Id": "wrong"})[0] == 422
    assert {"status": 422, "error": "invalid_field"}.items() <= line_of(server, "wrong").items()
    for path in ("/livez", "/readyz", "/metrics"):
        assert server.request("GET", path, headers={"X-Request-Id": "probe"})[0] == 200
    assert server.request("POST", "/livez", {}, {"X-Request-Id": "post"})[0] == 405
    line_of(server, "post")
    path = "/" + quote("\x9b\u2028\x85\x07" + "x" * 3000)
    assert server.request("GET", path, headers={"X-Request-Id": "odd"})[0] == 404
    assert line_of(server, "odd")["path"].startswith("/\x9b\u2028\x85\x07xxx")
    assert len(json.dumps(line_of(server, "odd"))) < 1000
    assert server.log().isascii()
    assert all(character.isprintable() or character == "\n" for character in server.log())
    assert server.stop() == 0
    assert "probe" not in {line.get("request_id") for line in lines(server)}
    assert prompt not in server.log()


def test_a_drain_finishes_what_runs_and_what_waits_and_refuses_the_rest(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1, slots=2, queue=4, chunk=1, drain_seconds=10 * DEADLINE_S)
    requests = [{"length": 4_000, "seed": seed} for seed in range(3)]
    alone = [server.generate(**request)["text"] for request in requests]
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        streams = [stack.enter_context(streaming(server, **request)) for request in requests[:2]]
        queued = pool.submit(server.generate, **requests[2])
        wait_until(lambda: metric(server, "charloom_streams_waiting") == 1)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.request("GET", "/readyz")[0] == 503)
        error = json.loads(server.request("GET", "/readyz")[2])["error"]
        assert (error["code"], error["message"]) == ("draining", "The service is shutting down.")
        assert metric(server, "charloom_draining") == 1
        status, headers, body = server.request("POST", "/generate", {"length": 1})
        assert (status, json.loads(body)["error"]["code"], headers["Retry-After"]) == (503, "draining", "1")
        assert server.request("GET", "/livez")[0] == 200
        assert [last_event(stream)["text"] for stream in streams] == alone[:2]
        assert queued.result()["text"] == alone[2]
    assert server.process.wait(timeout=DEADLINE_S) == 0
    assert {line["level"] for line in lines(server)} == {"INFO"}


def test_what_outlives_the_drain_ends_with_one_error(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1, slots=1, drain_seconds=0.2, max_length=ENDLESS)
    with streaming(server, length=ENDLESS) as stream:
        server.process.send_signal(signal.SIGTERM)
        events = stream.read().splitlines()
        assert ["error" in json.loads(event) for event in events[-2:]] == [False, True]
        assert json.loads(events[-1])["error"]["code"] == "draining"
        assert server.process.wait(timeout=DEADLINE_S) == 0
    assert "SIGKILL" not in server.log()
    assert [line["finish_reason"] for line in lines(server) if line.get("path") == "/generate"] == ["error"]


def test_a_client_that_does_not_read_cannot_hold_the_end(serve, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny / "models", tmp_path / "models")
    history = tmp_path / "models/tiny/1/assets.extra/history.jsonl"
    history.write_text(json.dumps({"sample": "x" * 20_000_000}))  # more than the buffers between the two can take
    server = serve(tmp_path / "models", engines=1, drain_seconds=0.2)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /models/tiny/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        asked = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=DEADLINE_S) == 0
    assert time.monotonic() - asked < 15, "only the master's kill, after 20 s, ended it"


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT], [signal.SIGQUIT]])
def test_a_second_sigterm_or_an_interrupt_ends_at_once(serve, tiny: Path, signals: list[int]) -> None:
    server = serve(tiny / "models", engines=1, slots=1, drain_seconds=100 * DEADLINE_S, max_length=ENDLESS)
    with streaming(server, length=ENDLESS):
        for number in signals[:-1]:
            server.process.send_signal(number)
            wait_until(lambda: server.request("GET", "/readyz")[0] == 503)
        server.process.send_signal(signals[-1])
        assert server.process.wait(timeout=DEADLINE_S) == 0
    assert "Traceback" not in server.log()
    assert "SIGKILL" not in server.log()
    assert lines(server)
