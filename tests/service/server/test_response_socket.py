"""A complete response is kept for the main thread, and a stream is sent at once."""

import socket

import pytest

from service.server.response_socket import ResponseSocket

LENGTH = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSES = b"HTTP/1.0 200 OK\r\nServer: x\r\nConnection: close\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "may_stream", "is_kept"),
    [(LENGTH, True, True), (CHUNKED, True, False), (CLOSES, True, False), (LENGTH, False, True), (EMPTY, False, True)],
)
def test_what_is_no_stream_is_kept(head: bytes, may_stream: bool, is_kept: bool) -> None:
    server, client = socket.socketpair()
    with server, client:
        response = ResponseSocket(server, may_stream=may_stream)
        response.sendall(head)
        response.sendall(b"\r\nContent-Length: ")
        server.close()
        everything = head + b"\r\nContent-Length: "
        assert bytes(response.kept) == (everything if is_kept else b"")
        assert b"".join(iter(lambda: client.recv(4096), b"")) == (b"" if is_kept else everything)
