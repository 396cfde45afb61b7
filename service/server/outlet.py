"""Sends the parts of a streamed response from the thread that makes them ready; the request's thread sleeps meanwhile.

Waking a thread for each part costs more than the part: with 64 streams and a thread for each, a third of two cores.
Knows sockets and chunked framing, not streams or models.
"""

import threading
import time
from collections.abc import Callable
from socket import MSG_DONTWAIT
from typing import Any

Pull = Callable[[], tuple[bytes, bool] | None]
"""Returns the part that is ready and whether it is the last; None if none is ready. It never waits."""


class Outlet:
    """The body of one response, between the bytes that its request's thread sends."""

    def __init__(self, environ: dict[str, Any], pull: Pull) -> None:
        """`environ` is that of a WSGI request of this server, and `pull` returns the parts of its response."""
        self._sock = environ["gunicorn.socket"]
        self._is_chunked = environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        self._pull = pull
        self._lock = threading.Lock()  # another thread or the request's thread has the response, never both
        self._is_open = False
        self._handed_back = threading.Event()
        self._latest_s = 0.0  # when the latest part was ready
        self._unsent = b""
        self._error: BaseException | None = None

    def send(self, wait_s: float) -> bool:
        """Let other threads send parts; returns after the last one, or once the client does not take a part at once.

        The request's thread then sends the rest of that part, and waits for the client if necessary.

        Returns:
            False if no part was ready for `wait_s` seconds.

        Raises:
            OSError: the client is gone, or does not read.
            Exception: the error of `pull`.
        """
        self._latest_s = time.monotonic()
        self._handed_back.clear()
        self._is_open = True
        self.send_ready()  # the parts that were ready before it was open
        while not self._handed_back.wait(wait_s):
            with self._lock:
                if self._is_open and time.monotonic() - self._latest_s >= wait_s:
                    self._is_open = False
                    return False
        if self._error:
            raise self._error
        if self._unsent:
            self._sock.sendall(self._unsent)
            self._unsent = b""
        return True

    def send_ready(self) -> None:
        """Send the parts that are ready, as much of them as the client takes at once.

        Any thread may call it when a part may be ready. It raises nothing: an error is the request's.
        """
        with self._lock:
            while self._is_open and (part := self._next()):
                content, is_last = part
                try:
                    self._send(content)
                except OSError as error:
                    self._hand_back(error)
                else:
                    if is_last or self._unsent:
                        self._hand_back()

    def _next(self) -> tuple[bytes, bool] | None:
        try:
            part = self._pull()
        except BaseException as error:  # noqa: BLE001  # the request's thread raises it
            self._hand_back(error)
            return None
        if part:
            self._latest_s = time.monotonic()
        return part

    def _hand_back(self, error: BaseException | None = None) -> None:
        """Let the request's thread have the response."""
        self._error = error
        self._is_open = False
        self._handed_back.set()

    def _send(self, content: bytes) -> None:
        if not content:
            return
        if self._is_chunked:
            content = b"%x\r\n%b\r\n" % (len(content), content)
        try:
            sent = self._sock.send(content, MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        self._unsent = content[sent:]
