"""One client's connection: bytes come in until a request is complete, and go out while a response is left.

Nothing here waits for a client. Knows sockets, the framing of HTTP/1.1 and deadlines; knows nothing of threads, Flask
or models.
"""

import json
import socket
import struct
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.asgi.parser import LimitRequestHeaders, LimitRequestLine, ParseError, PythonProtocol
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

SILENT_S = 5.0  # that a new connection may say nothing
HEAD_S = 10.0  # for a whole head, from its first byte
BODY_S = 10.0  # for a whole body, and one second more for each of these bytes that arrived:
BODY_BYTES_PER_S = 16 * 1024
RECEIVE_BYTES = 16 * 1024  # in one read: parsing them takes the main thread at most a few milliseconds
SEND_BUFFER_BYTES = 256 * 1024  # in the kernel, so that few responses wait for a client that reads slowly
BLOCKED_SEND = struct.pack("ll", 60, 0)  # the kernel's limit for one send of a request's thread, in seconds

PROBES = (b"/livez", b"/readyz", b"/metrics")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refusal(Exception):
    """A request that the server answers without the application, in the form of the API's errors."""

    def __init__(self, status: HTTPStatus, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s
        self.request_id = uuid.uuid4().hex

    def response(self) -> bytes:
        """The whole response; the connection closes after it."""
        type_ = "invalid_request_error" if self.status < 500 else "server_error"
        type_ = "rate_limit_error" if self.status == HTTPStatus.TOO_MANY_REQUESTS else type_
        error = {"message": str(self), "type": type_, "param": None, "code": self.code}
        body = json.dumps({"error": error}).encode()
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Date: {util.http_date()}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Request-Id: {self.request_id}",
        ]
        if self.retry_after_s is not None:
            head.append(f"Retry-After: {self.retry_after_s}")
        return "\r\n".join([*head, "", ""]).encode() + body


@dataclass(frozen=True)
class Limits:
    """What a request may have; those of its head are gunicorn's settings of the same names."""

    request_line: int
    request_fields: int
    request_field_size: int
    body_bytes: int


class IncomingRequest:
    """The bytes of one request as they arrive, checked by gunicorn's own incremental parser."""

    def __init__(self, limits: Limits, *, silent_s: float = SILENT_S) -> None:
        """The first byte is to arrive within `silent_s`."""
        self.deadline_s = time.monotonic() + silent_s
        self.wants_continue = False
        self.received = bytearray()  # the request as the client sent it
        self._limits = limits
        self._body_bytes = 0
        self._head_s: float | None = None  # when the head was complete

    @cached_property
    def _parser(self) -> Any:
        """Made with the first byte: many connections never send one."""
        return PythonProtocol(
            on_headers_complete=self._check_head,
            on_body=self._count,
            limit_request_line=self._limits.request_line,
            limit_request_fields=self._limits.request_fields,
            limit_request_field_size=self._limits.request_field_size,
        )

    @property
    def is_complete(self) -> bool:
        """Whether head and body have arrived."""
        return bool(self._parser.is_complete)

    @property
    def may_stream(self) -> bool:
        """Whether the response may come bit by bit; every other one is short and complete."""
        return bool(self._parser.method == b"POST")

    @property
    def path(self) -> bytes:
        """The path as the client sent it, without the query."""
        return bytes(self._parser.path or b"").partition(b"?")[0]

    @property
    def is_probe(self) -> bool:
        """Whether it asks for a probe or the metrics, and has no body."""
        return bool(self._parser.method == b"GET" and self.path in PROBES and not self._body_bytes)

    def feed(self, data: bytes) -> None:
        """Take what the client sent.

        Raises:
            Refusal: the request is malformed or too long.
        """
        if not self.received:
            self.deadline_s = time.monotonic() + HEAD_S
        self.received += data
        try:
            self._parser.feed(data)
        except (LimitRequestLine, LimitRequestHeaders) as error:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", f"{error}.") from None
        except (ParseError, ValueError) as error:  # a ValueError: a number of thousands of digits
            # The parser's messages may quote a header, which may hold a key.
            raise _malformed(type(error).__name__) from None
        # A chunk may have an extension longer than its data.
        if len(self.received) > 2 * self._limits.body_bytes + 64 * 1024:
            raise self._too_large("longer")
        if self._head_s is not None:
            self.deadline_s = self._head_s + BODY_S + len(self.received) / BODY_BYTES_PER_S

    def take(self) -> tuple[bytes, bytes]:
        """The complete request, and what the client sent after it."""
        after = self._parser.remaining()
        return bytes(self.received[: len(self.received) - len(after)]), after

    def _check_head(self) -> bool:
        self._head_s = time.monotonic()
        announced = self._parser.content_length or 0
        if announced > self._limits.body_bytes:
            raise self._too_large(f"{announced:,} bytes" if announced < 10**15 else "longer")
        headers = self._parser.headers
        expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        self.wants_continue = expects and self._parser.http_version >= (1, 1)
        return False  # the body is to be parsed too

    def _count(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes:
            raise self._too_large("longer")

    def _too_large(self, size: str) -> Refusal:
        message = f"The body may have at most {self._limits.body_bytes:,} bytes; this one is {size}."
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", message)


@dataclass(eq=False)
class Connection:
    """A client's socket and what is under way on it."""

    sock: socket.socket
    client: tuple[Any, ...]  # address and port
    server: tuple[Any, ...]
    is_admin: bool
    request: IncomingRequest = field(init=False)
    deadline_s: float = 0.0  # for what the main thread waits for: a request, a send, the client's close
    events: int = 0  # of the socket that the main thread waits for
    is_registered: bool = False  # with the poller
    outgoing: memoryview = field(default_factory=lambda: memoryview(b""))  # what the main thread has yet to send
    after_sending: Callable[[], None] = field(init=False)
    buffered_bytes: int = 0  # that it keeps in the main thread's memory
    discarded_bytes: int = 0  # that came after the last response

    def __post_init__(self) -> None:
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, BLOCKED_SEND)
        address = str(self.client[0])
        if address.startswith("::ffff:") and "." in address:  # IPv4 on a socket that serves both
            self.client = (address.removeprefix("::ffff:"), self.client[1])

    def make_nonblocking(self) -> None:
        """Let no call on the socket wait. Without a system call where that is so already."""
        if self.sock.getblocking():
            self.sock.setblocking(False)

    def parsed(self, cfg: Any, request: bytes) -> Any:
        """A complete request as gunicorn's workers handle it; it cannot read past its own bytes.

        Raises:
            Refusal: gunicorn's stricter parser does not take it.
        """
        try:
            parsed = next(RequestParser(cfg, iter((request,)), self.client))
        except ParseException as error:
            raise _malformed(type(error).__name__) from None
        # gunicorn would send it again: the client was told to continue before its body was read.
        parsed._expected_100_continue = False
        return parsed


def _malformed(kind: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", f"The request is not valid HTTP/1.1 ({kind}).")
