"""Operating a service that runs on gunicorn: idle connections, the log, graceful shutdown."""

import json
import re
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.ports import free_port
from tests.servers import Server
from tests.system.clients import ENDLESS, last_event, log_record, log_records, metric, streaming
from tests.waiting import wait_until

DEADLINE_S = 60


def linger_long() -> None:
    """Runs in the service's process: an idle connection stays open for longer than any pause of a test."""
    from service.server import connections

    connections.LINGER_S = DEADLINE_S


def test_connections_are_refused_until_the_service_can_answer_and_after_its_drain(serve, tiny: Path) -> None:
    port = free_port()
    log = tiny / f"server-{port}.log"

    def log_at_an_answered_connection() -> str | None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)):
                return None
            logged = log.read_text()
            try:  # gunicorn listens for a moment, and resets connections of this moment
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                return logged if client.recv(1) else None
            except ConnectionError:
                return None

    with ThreadPoolExecutor(1) as pool:
        logged = pool.submit(wait_until, log_at_an_answered_connection)
        server = serve(tiny / "models", engines=1, port=port, before_start=linger_long)
        assert "Version tiny/1 now serves." in logged.result()
    with closing(server.connect()) as idle:
        idle.request("GET", "/models")
        idle.getresponse().read()
        server.send_signal(signal.SIGTERM)
        wait_until(lambda: log_at_an_answered_connection() is None)
        idle.sock.setblocking(False)
        with pytest.raises(BlockingIOError):  # it is still open
            idle.sock.recv(1)
    assert server.wait(timeout=DEADLINE_S) == 0


def test_connections_that_clients_never_close_do_not_block_the_server(serve, tiny: Path) -> None:
    """The server must not wait for each client in turn to close its side."""
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


def test_the_log_has_one_json_object_per_request_and_no_prompt(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1)
    prompt = "a prompt that must not be logged"
    request = {"prompt": prompt, "length": 30, "seed": 3}
    for stream in (True, False):
        headers = {"X-Request-Id": f"streamed-{stream}"}
        assert server.request("POST", "/generate", request | {"stream": stream}, headers)[0] == 200
        line = log_record(server, f"streamed-{stream}")
        expected = {"model": "tiny", "version": 1, "seed": 3, "prompt_chars": len(prompt), "generated_chars": 30}
        expected |= {"finish_reason": "length", "status": 200, "method": "POST", "path": "/generate"}
        assert expected.items() <= line.items()
        assert 0 <= line["queue_ms"] <= line["first_char_ms"] <= line["total_ms"]
        assert {"cached_chars", "duration_ms"} <= set(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert {"level", "message", "logger"} <= set(line)
    assert server.request("POST", "/generate", {"length": 0}, {"X-Request-Id": "wrong"})[0] == 422
    assert {"status": 422, "error": "invalid_field"}.items() <= log_record(server, "wrong").items()
    for path in ("/livez", "/readyz", "/metrics"):
        assert server.request("GET", path, headers={"X-Request-Id": "probe"})[0] == 200
    assert server.request("POST", "/livez", {}, {"X-Request-Id": "post"})[0] == 405
    log_record(server, "post")
    path = "/" + quote("\x9b\u2028\x85\x07" + "x" * 3000)
    assert server.request("GET", path, headers={"X-Request-Id": "odd"})[0] == 404
    assert log_record(server, "odd")["path"].startswith("/\x9b\u2028\x85\x07xxx")
    assert len(json.dumps(log_record(server, "odd"))) < 1000
    assert server.log().isascii()
    assert all(character.isprintable() or character == "\n" for character in server.log())
    assert server.stop() == 0
    assert "probe" not in {line.get("request_id") for line in log_records(server)}
    assert prompt not in server.log()


def test_sigterm_finishes_running_and_queued_streams_and_refuses_new_ones(server: Server, serve, tiny: Path) -> None:
    requests = [{"length": 3_000, "seed": seed} for seed in range(3)]
    alone = [server.generate(**request)["text"] for request in requests]
    # One step per call, so that the streams outlast the requests below.
    server = serve(tiny / "models", engines=1, slots=2, queue=4, chunk=1, drain_seconds=10 * DEADLINE_S)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        streams = [stack.enter_context(streaming(server, **request)) for request in requests[:2]]
        queued = pool.submit(server.generate, **requests[2])
        wait_until(lambda: metric(server, "charloom_streams_waiting") == 1)
        server.send_signal(signal.SIGTERM)
        wait_until(lambda: server.request("GET", "/readyz")[0] == 503)
        error = json.loads(server.request("GET", "/readyz")[2])["error"]
        assert (error["code"], error["message"]) == ("draining", "The service is shutting down.")
        assert metric(server, "charloom_draining") == 1
        status, headers, body = server.request("POST", "/generate", {"length": 1})
        assert (status, json.loads(body)["error"]["code"], headers["Retry-After"]) == (503, "draining", "1")
        assert server.request("GET", "/livez")[0] == 200
        assert [last_event(stream)["text"] for stream in streams] == alone[:2]
        assert queued.result()["text"] == alone[2]
    assert server.wait(timeout=DEADLINE_S) == 0
    assert {line["level"] for line in log_records(server)} == {"INFO"}


def test_a_stream_past_the_drain_ends_with_one_error_event(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1, slots=1, drain_seconds=0.2, max_length=ENDLESS)
    with streaming(server, length=ENDLESS) as stream:
        server.send_signal(signal.SIGTERM)
        events = stream.read().splitlines()
        assert ["error" in json.loads(event) for event in events[-2:]] == [False, True]
        assert json.loads(events[-1])["error"]["code"] == "draining"
        assert server.wait(timeout=DEADLINE_S) == 0
    assert "SIGKILL" not in server.log()
    assert [line["finish_reason"] for line in log_records(server) if line.get("path") == "/generate"] == ["error"]


def test_a_client_that_does_not_read_cannot_delay_the_shutdown(serve, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny / "models", tmp_path / "models")
    history = tmp_path / "models/tiny/1/assets.extra/history.jsonl"
    history.write_text(json.dumps({"sample": "x" * 20_000_000}))  # more than the socket buffers hold
    server = serve(tmp_path / "models", engines=1, drain_seconds=0.2)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /models/tiny/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=DEADLINE_S) == 0
    assert time.monotonic() - started < 15, "only the master's SIGKILL after 20 s ended the worker"


@pytest.mark.slow
@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT], [signal.SIGQUIT]])
def test_a_second_sigterm_an_interrupt_or_a_quit_ends_at_once(serve, tiny: Path, signals: list[int]) -> None:
    server = serve(tiny / "models", engines=1, slots=1, drain_seconds=100 * DEADLINE_S, max_length=ENDLESS)
    with streaming(server, length=ENDLESS):
        for number in signals[:-1]:
            server.send_signal(number)
            wait_until(lambda: server.request("GET", "/readyz")[0] == 503)
        server.send_signal(signals[-1])
        assert server.wait(timeout=DEADLINE_S) == 0
    assert "Traceback" not in server.log()
    assert "SIGKILL" not in server.log()
    assert log_records(server)
