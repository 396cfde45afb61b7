"""Slow, silent, malformed and greedy clients of a service that runs on gunicorn: other clients are still served."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.server.worker import MAX_PENDING_PROBES
from tests.ports import free_port
from tests.processes import ROOT
from tests.servers import Server
from tests.system.clients import ENDLESS, log_records, metric, raw_request, read_to_end, streaming
from tests.waiting import wait_until

TIMEOUT_S = 10  # a blocked server would not answer for minutes
THREADS = 1 + 32  # of `small`: slots, queue and the spare threads of gunicorn.conf.py
GENERATE = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = GENERATE + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def small(tiny: Path) -> Iterator[Server]:
    """A server with few threads."""
    started = Server(tiny / "models", engines=1, slots=1, queue=0, max_length=ENDLESS)
    yield started
    started.stop()


@pytest.fixture
def attack(small: Server) -> Iterator[Any]:
    """Open connections to `small`, send the given bytes, and close them at the end of the test."""
    with ExitStack() as stack:

        def connect(data: bytes, *, receive_buffer: int = 0) -> socket.socket:
            client = stack.enter_context(closing(socket.socket()))
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.settimeout(60)
            client.connect(("127.0.0.1", small.port))
            client.sendall(data)
            return client

        yield connect


def assert_serves(server: Server) -> None:
    """Check that the probes and /generate answer within `TIMEOUT_S`, each on a connection of its own."""
    for method, path, body in (
        ("GET", "/livez", None),
        ("GET", "/readyz", None),
        ("GET", "/metrics", None),
        ("POST", "/generate", {"length": 1}),
    ):
        connection = server.connect()
        connection.timeout = TIMEOUT_S
        with closing(connection):
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"} if body else {})
            assert connection.getresponse().status == 200


def error_of(client: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and `error` of a response after which the server closes the connection."""
    head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        GENERATE + b"Content-Length: 9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
        GENERATE + b"Content-Length: 9\r\n\r\n{",
        CHUNKED + b"5\r\n{",
    ],
    ids=["one byte", "no body", "a probe's body", "half a body", "half a chunk"],
)
def test_incomplete_requests_hold_no_thread(small: Server, attack, data: bytes) -> None:
    for _ in range(3 * THREADS):
        attack(data)
    assert_serves(small)


def test_a_probe_closes_its_connection_and_drops_pipelined_requests(small: Server, attack) -> None:
    pipelined = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + raw_request({"length": ENDLESS})
    for client in [attack(pipelined) for _ in range(20)]:
        received = read_to_end(client)
        assert received.count(b"HTTP/1.1 ") == 1
        assert received.endswith(b'{"status":"alive"}\n')
    assert metric(small, "charloom_streams_running") == 0


def test_clients_that_read_no_response_hold_no_probe_thread(small: Server, attack) -> None:
    for _ in range(MAX_PENDING_PROBES // 4):  # twice as many would be refused, and so would the request that checks
        attack(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50, receive_buffer=2048)
        attack(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=2048)
    assert_serves(small)


def test_clients_that_read_no_complete_response_hold_no_thread(small: Server, attack) -> None:
    # The response has 580 kB, which is more than the kernel buffers.
    request = raw_request({"text": "a" * 4_000}, path="/inspect")
    for _ in range(THREADS + 3):
        assert attack(request, receive_buffer=2048).recv(12) == b"HTTP/1.1 200"
    assert_serves(small)


def test_past_the_limit_of_connections_only_idle_ones_are_closed(serve, tiny: Path) -> None:
    few_files = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (450, 450))
    server = serve(tiny / "models", engines=1, slots=1, queue=0, before_start=few_files)
    with ExitStack() as stack, streaming(server, length=2_000) as stream:
        for _ in range(600):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"G")
        assert server.request("GET", "/livez")[0] == 200
        assert metric(server, "charloom_rejected_total", reason="connections") > 100
        assert json.loads(stream.read().split(b"\n")[-2])["finish_reason"] == "length"


def test_probes_that_wait_are_limited_and_others_are_served(serve, tiny: Path) -> None:
    few_files = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (450, 450))
    server = serve(tiny / "models", engines=1, slots=1, queue=0, before_start=few_files)
    with ExitStack() as stack:
        clients = []
        for _ in range(600):
            clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port))))
            clients[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert server.request("GET", "/models")[0] == 200
        assert server.request("GET", "/livez")[0] == 200
        received = [read_to_end(client).partition(b"\r\n")[0] for client in clients]
    assert set(received) <= {b"HTTP/1.1 200 OK", b"HTTP/1.1 429 Too Many Requests", b""}
    assert received.count(b"HTTP/1.1 429 Too Many Requests") > 100
    assert "cannot be read" not in server.log()


@pytest.mark.parametrize("size", [b"-1", b"0x2", b"0_2", b"2;\x01"])
def test_malformed_chunks_are_a_400_without_a_traceback(small: Server, attack, size: bytes) -> None:
    status, error = error_of(attack(CHUNKED + size + b"\r\n{}\r\n0\r\n\r\n"))
    assert (status, error["code"]) == (400, "malformed_request")
    assert "Traceback" not in small.log()


def test_a_forbidden_trailer_is_a_400(attack) -> None:
    assert error_of(attack(CHUNKED + b"2\r\n{}\r\n0\r\nAuthorization: x\r\n\r\n"))[0] == 400


def test_a_chunked_body_past_the_limit_is_a_413(attack) -> None:
    client = attack(CHUNKED)
    chunk = b"%x\r\n" % 60_000 + b" " * 60_000 + b"\r\n"
    for _ in range(40):
        if select.select([client], [], [], 0)[0]:
            break  # the response is there; the server does not wait for the rest for ever
        client.sendall(chunk)
    status, error = error_of(client)
    assert (status, error["code"]) == (413, "body_too_large")


def test_a_malformed_head_is_a_json_error_and_its_key_is_not_logged(small: Server, attack) -> None:
    status, error = error_of(attack(b"GET /models HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer secret-key\r\n\r\n"))
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert "secret-key" not in small.log()


def test_a_header_cannot_change_the_path(attack) -> None:
    for header in (b"SCRIPT_NAME: /x", b"Script-Name: /x", b"PATH_INFO: /metrics"):
        client = attack(b"GET /x/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n")
        assert error_of(client)[0] == 404


def test_pipelined_requests_are_answered_in_order(attack) -> None:
    request = b"GET /models/%s HTTP/1.1\r\nHost: x\r\n\r\n"
    client = attack(
        request % b"first"
        + request % b"second"
        + request.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost") % b"third"
    )
    received = read_to_end(client)
    positions = [received.index(b"'%s'" % name) for name in (b"first", b"second", b"third")]
    assert positions == sorted(positions)
    assert received.count(b"HTTP/1.1 404 ") == 3


def test_expect_100_continue_is_answered_once(attack) -> None:
    client = attack(GENERATE + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n")
    assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b'{"length": 1, "stream": false}')
    received = read_to_end(client)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_the_admin_port_answers_probes_only(serve, tiny: Path) -> None:
    admin_port = free_port()
    server = serve(tiny / "models", engines=1, admin_port=admin_port)
    service_port, server.port = server.port, admin_port
    for path in ("/livez", "/readyz", "/metrics"):
        assert server.request("GET", path)[0] == 200
    for method, path in (("GET", "/models"), ("POST", "/generate"), ("GET", "/")):
        status, _, body = server.request(method, path)
        assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")
    server.port = service_port
    assert server.request("GET", "/livez")[0] == 200
    assert server.request("GET", "/models")[0] == 200


@pytest.mark.parametrize("files", [64, 200, 256])
def test_with_too_few_open_files_the_start_fails_with_one_sentence(tiny: Path, files: int) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", "service/gunicorn.conf.py"],
        cwd=ROOT,
        env=os.environ | {"CHARLOOM_MODELS": str(tiny / "models"), "PORT": str(free_port())},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert f"the limit is {files}" in result.stderr.strip().splitlines()[-1]


def test_every_log_line_is_still_a_json_object(small: Server) -> None:
    assert log_records(small)


def test_sigttin_starts_no_second_worker(small: Server) -> None:
    children = Path(f"/proc/{small.process.pid}/task/{small.process.pid}/children")
    before = children.read_text()
    small.send_signal(signal.SIGTTIN)
    small.send_signal(signal.SIGHUP)  # handled after SIGTTIN: the master restarts its one worker
    wait_until(lambda: len(children.read_text().split()) == 1 and children.read_text() != before)
    assert small.request("GET", "/readyz")[0] == 200  # the old worker has closed its sockets, and the new one listens
