"""One request while its bytes arrive: its limits, its deadline and whether it is complete.

Knows the framing of HTTP/1.1. Knows nothing of sockets, threads or the application.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

from gunicorn.asgi.parser import LimitRequestHeaders, LimitRequestLine, ParseError, PythonProtocol

from service.server.refusal import Refusal, malformed

SILENT_S = 5.0  # from the connection to the first byte
HEAD_S = 10.0  # from the first byte to the end of the head
BODY_S = 10.0  # for the body, and one second more for each BODY_BYTES_PER_S received
BODY_BYTES_PER_S = 16 * 1024
PROBES = (b"/livez", b"/readyz", b"/metrics")


@dataclass(frozen=True)
class Limits:
    """Limits of a request; the limits of its head are as gunicorn's settings of the same names."""

    request_line: int
    request_fields: int
    request_field_size: int
    body_bytes: int
    body_bytes_of: Mapping[bytes, int] = field(default_factory=dict)
    """By path, in place of `body_bytes`."""


class IncomingRequest:
    """The bytes of one request as they arrive, checked by gunicorn's incremental parser."""

    def __init__(self, limits: Limits, *, silent_s: float = SILENT_S) -> None:
        """The first byte must arrive within `silent_s`."""
        self.deadline_s = time.monotonic() + silent_s
        self.wants_continue = False
        self.received = bytearray()  # the request as the client sent it
        self._limits = limits
        self._max_body_bytes = limits.body_bytes
        self._body_bytes = 0
        self._head_s: float | None = None  # when the head was complete

    @cached_property
    def _parser(self) -> Any:
        """Created with the first byte: many connections never send one."""
        return PythonProtocol(
            on_headers_complete=self._check_head,
            on_body=self._count,
            limit_request_line=self._limits.request_line,
            limit_request_fields=self._limits.request_fields,
            limit_request_field_size=self._limits.request_field_size,
        )

    @property
    def has_head(self) -> bool:
        """Whether the head has arrived and is valid."""
        return self._head_s is not None

    @property
    def is_complete(self) -> bool:
        """Whether head and body have arrived."""
        return bool(self._parser.is_complete)

    @property
    def may_stream(self) -> bool:
        """Whether the response may be a stream; responses to other methods than POST are short."""
        return bool(self._parser.method == b"POST")

    @property
    def path(self) -> bytes:
        """The path as the client sent it, without the query."""
        return bytes(self._parser.path or b"").partition(b"?")[0]

    @property
    def is_probe(self) -> bool:
        """Whether it is a GET of a health check or the metrics, without a body."""
        return bool(self._parser.method == b"GET" and self.path in PROBES and not self._body_bytes)

    def header(self, name: bytes) -> str:
        """The value of the last header with this lower-case name; an empty string if there is none."""
        headers: list[tuple[bytes, bytes]] = self._parser.headers
        return dict(headers).get(name, b"").decode("latin-1")

    def feed(self, data: bytes) -> None:
        """Parse the next bytes from the client.

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
        except (ParseError, ValueError) as error:  # ValueError: a number of thousands of digits
            raise malformed(error) from None
        # The extension of a chunk may be longer than its data.
        if len(self.received) > 2 * self._max_body_bytes + 64 * 1024:
            raise self._too_large("longer")
        if self._head_s is not None:
            self.deadline_s = self._head_s + BODY_S + len(self.received) / BODY_BYTES_PER_S

    def take(self) -> tuple[bytes, bytes]:
        """The complete request, and the bytes that the client sent after it."""
        after = self._parser.remaining()
        return bytes(self.received[: len(self.received) - len(after)]), after

    def _check_head(self) -> bool:
        self._head_s = time.monotonic()
        self._max_body_bytes = self._limits.body_bytes_of.get(self.path, self._limits.body_bytes)
        announced = self._parser.content_length or 0
        if announced > self._max_body_bytes:
            raise self._too_large(f"{announced:,} bytes" if announced < 10**15 else "longer")
        headers = self._parser.headers
        expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        self.wants_continue = expects and self._parser.http_version >= (1, 1)
        return False  # continue with the body

    def _count(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self._max_body_bytes:
            raise self._too_large("longer")

    def _too_large(self, size: str) -> Refusal:
        message = f"The body may have at most {self._max_body_bytes:,} bytes; this one is {size}."
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", message)
