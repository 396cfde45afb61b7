import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service.server.outlet import Outlet

WAIT_S = 10.0


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end of a connection, and the client's."""
    server, client = socket.socketpair()
    client.settimeout(WAIT_S)
    with server, client:
        yield server, client


class Parts:
    """The parts of a response, which become ready when they are put; an exception is raised, None is no part."""

    def __init__(self, sock: socket.socket, protocol: str = "HTTP/1.1") -> None:
        self._parts: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.threads: list[str] = []
        self.none_ready = threading.Event()  # a pull has found none
        self.outlet = Outlet({"gunicorn.socket": sock, "SERVER_PROTOCOL": protocol}, self._pull)

    def put(self, *parts: Any) -> None:
        for part in parts:
            self._parts.put(part)
            self.outlet.send_ready()

    def _pull(self) -> tuple[bytes, bool] | None:
        try:
            part: Any = self._parts.get_nowait()
        except queue.Empty:
            self.none_ready.set()
            return None
        self.threads.append(threading.current_thread().name)
        if isinstance(part, BaseException):
            raise part
        return part  # type: ignore[no-any-return]


def in_background(outlet: Outlet, wait_s: float = WAIT_S) -> "queue.SimpleQueue[Any]":
    """The result of `send`, or its exception, once it has returned."""
    result: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send() -> None:
        try:
            result.put(outlet.send(wait_s))
        except BaseException as error:  # noqa: BLE001
            result.put(error)

    threading.Thread(target=send, daemon=True).start()
    return result


def test_parts_are_sent_in_chunks_by_the_thread_that_makes_them_ready_until_the_last(sockets: Any) -> None:
    parts = Parts(sockets[0])
    parts.put((b"ready before", False))
    result = in_background(parts.outlet)
    assert sockets[1].recv(100) == b"c\r\nready before\r\n"
    assert parts.none_ready.wait(WAIT_S)  # the request's thread looks for parts once, and then sleeps
    parts.put((b"later", False))
    assert sockets[1].recv(100) == b"5\r\nlater\r\n"
    assert result.empty()
    parts.put((b"last", True))
    assert result.get(timeout=WAIT_S) is True
    assert sockets[1].recv(100) == b"4\r\nlast\r\n"
    assert parts.threads[1:] == [threading.current_thread().name] * 2


def test_an_older_protocol_gets_no_chunks_and_an_empty_part_sends_nothing(sockets: Any) -> None:
    parts = Parts(sockets[0], "HTTP/1.0")
    parts.put((b"", False))
    result = in_background(parts.outlet)
    parts.put((b"a", False), (b"b", True))
    assert result.get(timeout=WAIT_S) is True
    assert sockets[1].recv(100) == b"ab"


def test_a_silent_response_returns_to_its_thread(sockets: Any) -> None:
    parts = Parts(sockets[0])
    assert parts.outlet.send(0.01) is False
    parts.put((b"unseen", True))  # while the request's thread has the response
    assert parts.outlet.send(WAIT_S) is True
    assert sockets[1].recv(100) == b"6\r\nunseen\r\n"


def test_a_slow_client_delays_its_own_thread_and_no_other_response(sockets: Any) -> None:
    slow = Parts(sockets[0])
    content = b"x" * 10_000_000
    slow.put((content, True))
    result = in_background(slow.outlet)
    other_server, other_client = socket.socketpair()
    with other_server, other_client:
        other = Parts(other_server)
        other.put((b"fast", True))
        assert other.outlet.send(WAIT_S) is True
        assert other_client.recv(100) == b"4\r\nfast\r\n"
    assert result.empty()  # nothing of it was read
    received = b""
    while len(received) < len(content) + 10:
        received += sockets[1].recv(1 << 20)
    assert received == b"989680\r\n" + content + b"\r\n"
    assert result.get(timeout=WAIT_S) is True


def test_a_client_that_is_gone_and_an_error_of_the_response_are_raised(sockets: Any) -> None:
    broken = Parts(sockets[0])
    broken.put(ZeroDivisionError("the engine failed"))
    with pytest.raises(ZeroDivisionError, match="the engine failed"):
        broken.outlet.send(WAIT_S)
    gone = Parts(sockets[0])
    sockets[1].close()
    gone.put((b"a", False), (b"b", False))
    with pytest.raises(ConnectionError):
        gone.outlet.send(WAIT_S)
