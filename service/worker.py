"""gunicorn's threaded worker, with what long streams need besides. Knows connections; knows nothing of models or Flask.

Of the application it knows one thing: `extensions["drain"]`, a `service.drain.Drain`.

The main thread accepts and never waits for a client; a thread of the pool serves one request at a time, for as long as
its stream takes. Hence a silent connection waits in the poller and not in a thread, and the probes have threads of
their own: nothing that streams, uploads or lingers can stand in front of them.
"""

import math
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import TConn, ThreadWorker

PROBES = (b"GET /livez ", b"GET /readyz ", b"GET /metrics ")
PROBE_THREADS = 8
MAX_PROBE_BYTES = 4096  # a probe's whole request; a longer one waits its turn with the others
SECONDS_OF_SILENCE = 5  # that a new connection may take to say something
# The kernel's own timeouts, for one send or receive: a client that reads or sends a little in time is never cut off.
STALLED_AFTER = struct.pack("ll", 60, 0)
LAST_BYTES_S = 5  # beyond the drain, for clients to read what their streams ended with


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A client's connection, which the main thread closes without waiting for the client to close it too."""

    def close(self, graceful: bool = False) -> None:
        """Close; whoever wanted to linger has done so in the request's thread."""
        util.close(self.sock)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gthread, whose SIGTERM drains and whose probes are answered however many streams run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._probe_pool: ThreadPoolExecutor | None = None
        self._served: set[Connection] = set()  # in the hands of a thread; the main thread's
        self._drainer: threading.Thread | None = None

    def init_process(self) -> None:
        """After the fork; returns when the worker ends."""
        self._probe_pool = ThreadPoolExecutor(PROBE_THREADS, thread_name_prefix="probe")
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop. A client that does not read its last bytes cannot keep the process alive."""
        try:
            super().run()
        finally:
            for connection in self._served:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def accept(self, listener: Any) -> None:
        """Let a new connection wait in the poller until it says something."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            client.setsockopt(socket.SOL_SOCKET, option, STALLED_AFTER)
        connection = Connection(self.cfg, client, address, listener.getsockname())
        self.nr_conns += 1
        connection.timeout = time.monotonic() + SECONDS_OF_SILENCE
        self.pending_conns.append(connection)
        self.poller.register(client, EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def enqueue_req(self, conn: Connection) -> None:
        """Give a connection that has something to say to a thread."""
        self._served.add(conn)
        if _is_probe(conn.sock):
            assert self._probe_pool is not None
            future = self._probe_pool.submit(super().handle, conn)
        else:
            future = self.tpool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def handle(self, conn: Connection) -> Any:
        """Serve one request, in a thread; and close there, which may mean to wait for the client."""
        kept = super().handle(conn)
        if not kept:
            util.close_graceful(conn.sock)
        return kept

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """Take a connection back from its thread."""
        self._served.discard(conn)
        super().finish_request(conn, fs)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: drain. It may come twice: from the master, and from a supervisor that signals every process."""
        if self.booted:
            # Outside the signal's handler, where a thread may be started and a lock taken.
            self.method_queue.defer(self._begin_drain)
        else:
            super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGINT and SIGQUIT: end at once."""
        if self.booted:
            self.method_queue.defer(self._end)
        else:
            super().handle_quit(sig, frame)

    def _begin_drain(self) -> None:
        if self._drainer is None:
            self._drainer = threading.Thread(target=self._drain, name="drain", daemon=True)
            self._drainer.start()

    def _drain(self) -> None:
        """Keep accepting, so that a balancer hears of the drain; stop when nothing is left to wait for."""
        drain = self.wsgi.extensions["drain"]
        try:
            drain.run()
        finally:
            self.cfg.set("graceful_timeout", math.ceil(drain.remaining_s) + LAST_BYTES_S)
            self.method_queue.defer(super().handle_exit, signal.SIGTERM, None)

    def _end(self) -> None:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a terminal signals us and the master, and the master us again
        self.wsgi.extensions["drain"].cut()
        super().handle_quit(signal.SIGQUIT, None)


def _is_probe(client: socket.socket) -> bool:
    """Whether a probe's whole request is there to be read, so that no thread can wait for the rest of it."""
    try:
        start = client.recv(MAX_PROBE_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    return start.startswith(PROBES) and b"\r\n\r\n" in start
