"""The open connections: their limits, their deadlines, and the next step of each one that the main thread waits for.

Every method runs in the main thread and does not block. Knows nothing of threads or the application.
"""

import errno
import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from itertools import chain
from selectors import EVENT_READ, EVENT_WRITE
from socket import MSG_DONTWAIT
from typing import Any

from gunicorn import util

from service import metrics
from service.request_id import request_id
from service.server.connection import Connection
from service.server.refusal import Refusal
from service.server.request import IncomingRequest

MAX_ADMIN_CONNECTIONS = 64
MAX_BUFFERED_BYTES = 256 * 2**20  # of all incomplete requests and unread responses
ACCEPTED_AT_ONCE = 64
RECEIVE_BYTES = 16 * 1024  # in one read: parsing them takes the main thread at most a few milliseconds
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SEND_S = 10.0  # for a client to read a response that the main thread sends, and one second for each SEND_BYTES_PER_S
SEND_BYTES_PER_S = 16 * 1024
LINGER_S = 2.0  # for a client to close after its last response (RFC 9112, section 9.6)
MAX_LINGER_BYTES = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER without a time: closing resets the connection
EXPIRY_INTERVAL_S = 0.05
EXPIRED_AT_ONCE = 50
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# Errors of a connection that ended before it was accepted: Linux reports them to accept().
ENDED = (
    *(errno.ECONNABORTED, errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN),
    *(errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EPERM),
)

Step = Callable[[], None]
"""The main thread's next step with a connection."""

EVICTED = metrics.REJECTED.labels("connections")
log = logging.getLogger(__name__)


class Connections:
    """Accepts connections, reads requests and calls `on_request` with each connection whose request is complete."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        new_request: Callable[[], IncomingRequest],
        on_request: Callable[[Connection], None],
        *,
        max_public: int,
    ) -> None:
        self._selector, self._new_request, self._on_request = selector, new_request, on_request
        # In the order in which their waits began, each with its next step.
        self.waiting: dict[Connection, Callable[[Connection], None]] = {}
        self.buffered_bytes = 0  # of all connections that wait
        self.max_open = {True: MAX_ADMIN_CONNECTIONS, False: max_public}
        self.open: dict[bool, set[Connection]] = {True: set(), False: set()}
        self._expired_s = 0.0

    def __len__(self) -> int:
        return sum(map(len, self.open.values()))

    def accept(self, listener: Any, *, is_admin: bool) -> None:
        """Accept new connections; each waits in the selector until its request is complete."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, client = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in ENDED:
                    continue
                if error.errno not in OUT_OF_RESOURCES:
                    raise
                if not self._close_oldest(is_admin=False):
                    return
                continue
            if not self._make_room(is_admin):
                EVICTED.inc()
                util.close(sock)
                continue
            connection = Connection(sock, client, listener.getsockname(), is_admin)
            self.open[is_admin].add(connection)
            self.take(connection, partial(self._begin, connection))

    def _make_room(self, is_admin: bool) -> bool:
        """At the limit, close the connection that the main thread has waited for longest.

        New clients are served however many connections stay silent, and a client that sends its request at once is
        never the oldest.

        Returns:
            Whether one more connection may be open: not if threads have all that are.
        """
        return len(self.open[is_admin]) < self.max_open[is_admin] or self._close_oldest(is_admin)

    def _close_oldest(self, is_admin: bool) -> bool:
        """Close the connection that the main thread has waited for longest; False if it waits for none.

        One that reads its response is the last choice.
        """
        others = (one for one, step in self.waiting.items() if one.is_admin == is_admin and step != self._write)
        readers = (one for one in self.waiting if one.is_admin == is_admin)
        return self._close_first(chain(others, readers))  # most often the first of all: no scan

    def _close_first(self, connections: Iterator[Connection]) -> bool:
        """Close the first of these connections, to make room for others; False if there is none."""
        connection = next(connections, None)
        if connection is None:
            return False
        EVICTED.inc()
        self.close(connection)
        return True

    def _wait(self, connection: Connection, events: int, deadline_s: float, step: Callable[[Connection], None]) -> None:
        """Run `step` each time the socket is ready; the connection closes at the deadline.

        `take` registers the socket after the current step if the connection still waits: most requests arrive and most
        responses leave in one piece. Each system call releases the interpreter's lock, and under many streams the main
        thread waits milliseconds to get it again.
        """
        connection.deadline_s, connection.events = deadline_s, events
        self.waiting[connection] = step

    def _stop_waiting(self, connection: Connection) -> None:
        if self.waiting.pop(connection, None):
            if connection.is_registered:
                self._selector.unregister(connection.sock)
                connection.is_registered = False
            self._buffer(connection, -connection.buffered_bytes)

    def _buffer(self, connection: Connection, change: int) -> None:
        """Count the bytes that a connection keeps in memory, and close the oldest ones while all keep too many."""
        connection.buffered_bytes += change
        self.buffered_bytes += change
        while self.buffered_bytes > MAX_BUFFERED_BYTES:
            if not self._close_first(one for one in self.waiting if one.buffered_bytes and not one.is_admin):
                return

    def _on_ready(self, connection: Connection) -> None:
        if step := self.waiting.get(connection):  # else it was closed after the selector had reported it
            self.take(connection, partial(step, connection))

    def take(self, connection: Connection, step: Step) -> None:
        """Run a step of one connection; an exception closes this connection only."""
        try:
            step()
            if connection in self.waiting and not connection.is_registered:
                self._selector.register(connection.sock, connection.events, lambda _: self._on_ready(connection))
                connection.is_registered = True
        except OSError:
            self.close(connection)  # the client is gone
        except Exception:
            log.exception("Unexpected error of a connection.")
            self.close(connection)

    def _begin(self, connection: Connection) -> None:
        self.receive(connection, self._new_request())
        self._read(connection)

    def receive(self, connection: Connection, request: IncomingRequest, data: bytes = b"") -> None:
        """Begin to read a request, of which `data` has already arrived."""
        connection.request = request
        self._wait(connection, EVENT_READ, request.deadline_s, self._read)
        if data:
            self.take(connection, partial(self._feed, connection, data))

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(RECEIVE_BYTES, MSG_DONTWAIT)
        except BlockingIOError:
            return
        if data:
            self._feed(connection, data)
        else:
            self.close(connection)

    def _feed(self, connection: Connection, data: bytes) -> None:
        request = connection.request
        try:
            request.feed(data)
        except Refusal as refusal:
            self.refuse(connection, refusal)
            return
        connection.deadline_s = request.deadline_s
        if request.is_complete:
            self._stop_waiting(connection)
            self._on_request(connection)
        elif request.wants_continue:
            request.wants_continue = False
            connection.sock.send(CONTINUE, MSG_DONTWAIT)
        if connection in self.waiting:
            self._buffer(connection, len(data))

    def refuse(self, connection: Connection, refusal: Refusal) -> None:
        """Send the error response of a refusal, then close. It has the id of the request, if its head has arrived."""
        if connection.request.has_head:
            refusal.request_id = request_id(connection.request.header(b"x-request-id"))
        fields = {"request_id": refusal.request_id, "status": refusal.status.value, "error": refusal.code}
        log.info("Refused before the application: %d", refusal.status, extra=fields)
        self.send(connection, refusal.response())

    def send(
        self, connection: Connection, data: bytes, *, then: Step | None = None, send_s: float | None = None
    ) -> None:
        """Send a complete response within `send_s` seconds, then run `then`; by default, linger and close."""
        self._stop_waiting(connection)
        connection.outgoing = memoryview(data)
        connection.after_sending = then or partial(self.linger, connection)
        seconds = SEND_S + len(data) / SEND_BYTES_PER_S if send_s is None else send_s
        self._wait(connection, EVENT_WRITE, time.monotonic() + seconds, self._write)
        self._buffer(connection, len(data))
        self.take(connection, partial(self._write, connection))

    def _write(self, connection: Connection) -> None:
        if connection not in self.waiting:  # closed to free memory
            return
        try:
            sent = connection.sock.send(connection.outgoing, MSG_DONTWAIT)
        except BlockingIOError:
            return
        connection.outgoing = connection.outgoing[sent:]
        if not connection.outgoing:
            self._stop_waiting(connection)
            connection.after_sending()

    def linger(self, connection: Connection) -> None:
        """Close once the client has read its last response; an earlier close would reset the connection."""
        self._stop_waiting(connection)
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(connection)
        else:
            self._wait(connection, EVENT_READ, time.monotonic() + LINGER_S, self._discard)

    def _discard(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(RECEIVE_BYTES, MSG_DONTWAIT)
        except BlockingIOError:
            return
        connection.discarded_bytes += len(data)
        if not data or connection.discarded_bytes > MAX_LINGER_BYTES:
            self.close(connection)

    def abort(self, connection: Connection) -> None:
        """Reset the connection, so that a response whose length is not known does not end like a complete one."""
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close(connection)

    def close(self, connection: Connection) -> None:
        """Close now. Does nothing if the connection is closed."""
        if connection in self.open[connection.is_admin]:
            self._stop_waiting(connection)
            self.open[connection.is_admin].remove(connection)
            util.close(connection.sock)

    def expire(self) -> None:
        """Close the connections whose deadline has passed."""
        now_s = time.monotonic()
        if now_s < self._expired_s + EXPIRY_INTERVAL_S:
            return
        self._expired_s = now_s
        late = [connection for connection in self.waiting if connection.deadline_s <= now_s]
        for connection in late[:EXPIRED_AT_ONCE]:
            step = self.waiting.get(connection)  # None: closed a moment ago, to free the memory for a response
            if step == self._read and connection.request.received:
                metrics.REJECTED.labels("timeout").inc()
                message = "The request did not arrive in time."
                self.refuse(connection, Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", message))
            else:
                self.close(connection)

    def close_silent(self) -> None:
        """Shorten the deadline of connections that have sent nothing of their next request."""
        for connection, step in self.waiting.items():
            if step == self._read and not connection.request.received:
                connection.deadline_s = min(connection.deadline_s, time.monotonic() + LINGER_S)
