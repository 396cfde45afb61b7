"""One thread that sends the parts of streamed responses as they become ready; the requests' threads sleep meanwhile.

Waking a thread for each part costs more than the part: with 64 streams and a thread for each, a third of two cores.
Knows sockets and chunked framing, not streams or models.
"""

import queue
import threading
import time
from collections.abc import Callable
from socket import MSG_DONTWAIT
from typing import Any

Pull = Callable[[], tuple[bytes, bool] | None]
"""Returns the part that is ready and whether it is the last; None if none is ready. It never waits."""


class Writer:
    """The thread, and the responses that have parts ready."""

    def __init__(self) -> None:
        self._ready: queue.SimpleQueue[Outlet] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    def outlet(self, environ: dict[str, Any], pull: Pull) -> "Outlet":
        """The way from `pull` to the client of a WSGI request of this server."""
        return Outlet(self._ready, environ["gunicorn.socket"], pull, environ["SERVER_PROTOCOL"] == "HTTP/1.1")

    def _run(self) -> None:
        while True:
            self._ready.get().send_ready()


class Outlet:
    """The body of one response, between the bytes that its request's thread sends."""

    def __init__(self, ready: "queue.SimpleQueue[Outlet]", sock: Any, pull: Pull, is_chunked: bool) -> None:
        self._ready, self._sock, self._pull, self._is_chunked = ready, sock, pull, is_chunked
        self._lock = threading.Lock()  # the writer's thread or the request's thread has the response, never both
        self._is_open = False
        self._handed_back = threading.Event()
        self._latest_s = 0.0  # when the latest part was ready
        self._unsent = b""
        self._error: BaseException | None = None

    def notify(self) -> None:
        """A part may be ready. Any thread may call it, at any time."""
        if self._is_open:
            self._ready.put(self)

    def send(self, wait_s: float) -> bool:
        """Let the writer send parts; returns after the last one, or once the client does not take a part at once.

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
        self._ready.put(self)  # for the parts that were ready before it was open
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
        """Send the part that is ready, as much of it as the client takes at once. Runs in the writer's thread."""
        with self._lock:
            if not self._is_open:
                return
            try:
                part = self._pull()
                if part is None:
                    return
                content, is_last = part
                self._latest_s = time.monotonic()
                if content:
                    self._send(content)
            except BaseException as error:  # noqa: BLE001  # the request's thread raises it
                self._error = error
            else:
                if not is_last and not self._unsent:
                    return
            self._is_open = False
            self._handed_back.set()

    def _send(self, content: bytes) -> None:
        if self._is_chunked:
            content = b"%x\r\n%b\r\n" % (len(content), content)
        try:
            sent = self._sock.send(content, MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        self._unsent = content[sent:]
