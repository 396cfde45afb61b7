"""A connection's socket, and the request that gunicorn's workers get from it."""

import socket
from collections.abc import Iterator

import pytest
from gunicorn.config import Config

from service.server.connection import SEND_BUFFER_BYTES, Connection
from service.server.refusal import Refusal

REQUEST = b"POST /generate?x=1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as created:
        yield created


def connection(sock: socket.socket, client: str = "192.0.2.1") -> Connection:
    return Connection(sock, (client, 1234), ("127.0.0.1", 8000), is_admin=False)


def test_the_kernel_buffers_the_unread_end_of_a_response(sock: socket.socket) -> None:
    connection(sock)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= SEND_BUFFER_BYTES


@pytest.mark.parametrize(
    ("given", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:1", "::ffff:1"),
    ],
)
def test_an_ipv4_client_of_a_socket_for_both_families_has_its_ipv4_address(
    sock: socket.socket, given: str, client: str
) -> None:
    assert connection(sock, given).client == (client, 1234)


def test_a_complete_request_is_parsed_for_gunicorns_workers(sock: socket.socket) -> None:
    parsed = connection(sock).parsed(Config(), REQUEST)
    assert (parsed.method, parsed.path, parsed.query) == ("POST", "/generate", "x=1")
    assert parsed.body.read() == b"{}"
    assert parsed.peer_addr == ("192.0.2.1", 1234)


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"get /\x00 HTTP/9.9\r\n\r\n"])
def test_a_request_that_gunicorn_rejects_is_refused(sock: socket.socket, request_: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        connection(sock).parsed(Config(), request_)
    assert (refusal.value.status, refusal.value.code) == (400, "malformed_request")
