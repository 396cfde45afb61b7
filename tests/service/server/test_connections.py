"""The main thread's part of the server, on real sockets and in the test's own thread."""

import errno
import re
import selectors
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from service.server import connections as module
from service.server.connection import Connection
from service.server.connections import Connections
from service.server.request import HEAD_S, IncomingRequest
from tests.service.server.fakes import LIMITS, Clock

WAIT_S = 5.0
COMPLETE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


class Server:
    """A listener, its selector, and the connections whose request is complete."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.complete: list[Connection] = []
        self.clients: list[socket.socket] = []
        self.connections = Connections(
            self.selector, lambda: IncomingRequest(LIMITS), self.complete.append, max_public=100
        )
        self.selector.register(
            self.listener, selectors.EVENT_READ, lambda _: self.connections.accept(self.listener, is_admin=False)
        )

    def connect(self, data: bytes = b"") -> socket.socket:
        """A client whose connection is accepted and whose first data is read."""
        before = len(self.connections)
        client = self.dial()
        self.run_until(lambda: len(self.connections) > before)
        if data:
            before_bytes = self.received()
            client.sendall(data)
            self.run_until(lambda: self.received() >= before_bytes + len(data) or bool(self.complete))
        return client

    def dial(self) -> socket.socket:
        """A client whose connection waits to be accepted."""
        client = socket.create_connection(self.listener.getsockname(), timeout=WAIT_S)
        self.clients.append(client)
        return client

    def close(self) -> None:
        for connection in [connection for open_ in self.connections.open.values() for connection in open_]:
            self.connections.close(connection)
        for client in self.clients:
            client.close()
        self.listener.close()
        self.selector.close()

    def received(self) -> int:
        return self.connections.buffered_bytes

    def run_until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            events = self.selector.select(WAIT_S)
            assert events, "nothing happened"
            for key, _ in events:
                key.data(key.fileobj)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_a_connection_is_passed_on_with_its_complete_request(server: Server) -> None:
    client = server.connect(COMPLETE[:5])
    assert not server.complete
    client.sendall(COMPLETE[5:])
    server.run_until(lambda: bool(server.complete))
    assert server.complete[0].request.take() == (COMPLETE, b"")


def test_past_the_limit_the_oldest_waiting_connection_is_closed(server: Server) -> None:
    server.connections.max_open[False] = 2
    server.connect(COMPLETE)  # a thread has it, so the main thread may not close it
    oldest = server.connect()
    newest = server.dial()
    server.run_until(lambda: is_closed(oldest))
    assert len(server.connections) == 2
    newest.sendall(COMPLETE)
    server.run_until(lambda: len(server.complete) == 2)


def test_past_the_limit_a_new_connection_is_closed_if_threads_have_all_others(server: Server) -> None:
    server.connections.max_open[False] = 1
    server.connect(COMPLETE)
    newest = server.dial()
    server.run_until(lambda: len(server.connections) == 1 and is_closed(newest))


def test_a_connection_that_ended_before_it_was_accepted_is_skipped(server: Server) -> None:
    def accept() -> Any:
        raise next(errors)

    errors = iter([OSError(errno.EPROTO, ""), OSError(errno.ECONNABORTED, ""), BlockingIOError()])
    server.connections.accept(SimpleNamespace(accept=accept), is_admin=False)
    assert not [*errors]


def test_past_the_limit_a_client_that_reads_its_response_is_closed_last(server: Server) -> None:
    server.connect(COMPLETE)
    server.connections.send(server.complete[0], b"x" * 50_000_000)
    idle = server.connect()
    server.connections.max_open[False] = 2
    newest = server.dial()
    server.run_until(lambda: is_closed(idle))
    assert server.connections.buffered_bytes == 50_000_000
    newest.sendall(COMPLETE)
    server.run_until(lambda: len(server.complete) == 2)
    server.dial()
    server.run_until(lambda: not server.connections.buffered_bytes)


def test_a_response_that_is_given_up_ends_with_a_reset(server: Server) -> None:
    client = server.connect(COMPLETE)
    server.connections.abort(server.complete[0])
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert len(server.connections) == 0


def is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_when_all_requests_take_too_much_memory_the_oldest_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BUFFERED_BYTES", 100)
    silent = server.connect()
    oldest = server.connect(b"POST / HTTP/1.1\r\nX: " + b"a" * 60)
    newest = server.dial()
    newest.sendall(b"POST / HTTP/1.1\r\nX: " + b"a" * 60)
    server.run_until(lambda: is_closed(oldest))
    assert 0 < server.received() <= 100
    assert not is_closed(silent)  # it takes none


def test_a_late_request_gets_408_and_a_silent_connection_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, slow = server.connect(), server.connect(b"GET /livez HT")
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    clock.now_s = min(connection.deadline_s for connection in server.connections.waiting) - 0.01
    server.connections.expire()
    assert len(server.connections) == 2
    clock.now_s += HEAD_S
    server.connections.expire()
    assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert silent.recv(1) == b""
    clock.now_s += 100
    server.connections.expire()
    assert len(server.connections) == 0


def test_a_refusal_has_the_id_of_its_request_if_the_head_has_arrived(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nContent-Length: 9\r\n"
    clients = [server.connect(data) for data in (head + b"\r\n{", head, head)]
    clock = SimpleNamespace(monotonic=lambda: max(waits.deadline_s for waits in server.connections.waiting))
    with monkeypatch.context() as patch:
        patch.setattr(module, "time", clock)
        server.connections.expire()
    ids = [re.findall(r"X-Request-Id: (\S+)", client.recv(1000).decode()) for client in clients]
    assert ids[0] == ["mine"]
    assert len({*ids[1], *ids[2]} - {"mine"}) == 2


def test_a_late_connection_may_be_closed_for_the_memory_of_the_response_to_another(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = server.connect(b"GET /a HT"), server.connect(b"GET /b HT")
    monkeypatch.setattr(module, "MAX_BUFFERED_BYTES", 100)  # less than one response
    clock = SimpleNamespace(monotonic=lambda: max(waits.deadline_s for waits in server.connections.waiting))
    monkeypatch.setattr(module, "time", clock)
    server.connections.expire()
    assert len(server.connections) == 0
    assert is_closed(first)
    assert is_closed(second)


def test_a_client_that_does_not_read_its_response_is_closed_at_the_deadline(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.connect(COMPLETE)
    server.connections.send(server.complete[0], b"x" * 50_000_000)
    assert len(server.connections) == 1
    assert server.connections.buffered_bytes == 50_000_000
    clock = SimpleNamespace(monotonic=lambda: server.complete[0].deadline_s + 1)
    monkeypatch.setattr(module, "time", clock)
    server.connections.expire()
    assert len(server.connections) == 0
    assert server.connections.buffered_bytes == 0


def test_a_complete_response_reaches_a_client_that_still_sends(server: Server) -> None:
    """The server closes only after the client has read: a close with unread data would reset the connection."""
    client = server.connect(b"GET / HTTP/1.1\r\n")
    client.sendall(b"Authorization : Bearer secret\r\n\r\n")
    server.run_until(lambda: server.received() == 0)
    answer = b""
    while not answer.endswith(b"}}\n"):
        answer += client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(server.connections) == 1
    client.close()
    server.run_until(lambda: len(server.connections) == 0)


def test_an_exception_in_a_step_closes_its_connection_only(server: Server) -> None:
    server.connect()
    server.connect()
    connection = next(iter(server.connections.waiting))

    def fail() -> None:
        raise RuntimeError("unexpected")

    server.connections.take(connection, fail)
    assert len(server.connections) == 1
