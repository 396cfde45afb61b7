"""gunicorn's threaded worker, for clients that are slow, hostile or many. Knows nothing of models or Flask.

The main thread reads every request in full before it gives it to a thread of the pool, and writes the short responses
of the probes, all without waiting for a client: a thread is busy only while it computes or streams. Of the
application it knows `extensions`: "drain" (a `service.drain.Drain`), "faults" (what is wrong with the threads that it
depends on), "max_body_bytes" and "admin_port".
"""

import logging
import math
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

from service import metrics, resources
from service.connection import Connection, IncomingRequest, Limits, Refusal
from service.connections import LINGER_S, Connections, Step
from service.pool import Pool

# A thread waits this long for the interpreter before it asks the one that has it. Python's 5 ms make /livez under 40
# streams twice as slow (docs/experiments.md).
SWITCH_INTERVAL_S = 0.0005
PROBE_SEND_S = 2.0  # for a client to read a probe's response
# A scrape computes for milliseconds. Its thread then sleeps so many times longer, so that clients which ask for metrics
# all the time take a fifth of one core at most.
PROBE_REST_FACTOR = 4.0
SHORT_THREADS = 3  # for responses that never stream; they compute, so more would only wait for one another
MAX_PENDING = 256  # complete requests that wait for a thread
LAST_BYTES_S = 5  # beyond the drain, for clients to read the ends of their streams

log = logging.getLogger(__name__)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gthread with deadlines for requests, places for probes, and a SIGTERM that drains."""

    def init_process(self) -> None:
        """After the fork; returns when the worker ends."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._answering = 0  # requests that a thread of the pool has or will take
        self._drain_asked = threading.Event()
        try:
            self._pool = Pool(self.cfg.threads, "request")
            self._short_pool = Pool(SHORT_THREADS, "short")
            # One thread for each path and port: a client that asks for metrics all the time delays itself only.
            self._probe_pools = {
                (path, is_admin): Pool(1, path[1:].decode(), rest_factor=PROBE_REST_FACTOR)
                for path in (b"/readyz", b"/metrics")
                for is_admin in (False, True)
            }
            threading.Thread(target=self._drain, name="drain", daemon=True).start()
        except RuntimeError:
            log.error("Charloom cannot start: %s", resources.too_few_threads(self.cfg.threads))
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        super().init_process()

    def get_thread_pool(self) -> Pool:
        """The pool for everything but probes."""
        return self._pool

    def run(self) -> None:
        """Serve until told to stop."""
        self._limits = Limits(
            self.cfg.limit_request_line,
            self.cfg.limit_request_fields,
            self.cfg.limit_request_field_size,
            self.wsgi.extensions["max_body_bytes"],
        )
        self._connections = Connections(
            self.poller, self._new_request, self._dispatch, max_public=self.cfg.worker_connections
        )
        self.worker_connections = math.inf  # gunicorn's loop always accepts; `Connections` has the limit
        super().run()

    @property
    def nr_conns(self) -> int:
        """Open connections; gunicorn's loop waits for them to end."""
        return len(self._connections)

    @nr_conns.setter
    def nr_conns(self, value: int) -> None:
        """gunicorn sets it once, to zero."""

    def notify(self) -> None:
        """Tell gunicorn's master that the worker is healthy: it restarts one that is silent for `timeout`."""
        if not self.booted or not self.wsgi.extensions["faults"]():
            super().notify()

    def accept(self, listener: Any) -> None:
        """Take new connections."""
        self._connections.accept(listener, is_admin=listener.getsockname()[1] == self.wsgi.extensions["admin_port"])

    def murder_pending(self) -> None:
        """gunicorn's loop calls this after each wait, at least once a second."""
        self._connections.expire()

    def _new_request(self, **options: float) -> IncomingRequest:
        return IncomingRequest(self._limits, **options)

    def _dispatch(self, connection: Connection) -> None:
        """Give a complete request to a thread."""
        if connection.request.is_probe:
            pool = self._probe_pools.get((connection.request.path, connection.is_admin))
            if pool:
                pool.submit(partial(self._answer_probe, connection))
            else:
                # /livez asks whether this thread works.
                self._connections.take(connection, self._probe_step(connection))
        elif connection.is_admin:
            message = "This port answers GET /livez, /readyz and /metrics only."
            self._connections.refuse(connection, Refusal(HTTPStatus.NOT_FOUND, "not_found", message))
        elif self._answering >= self.cfg.threads + MAX_PENDING:
            metrics.REJECTED.labels("connections").inc()
            message = f"{self._answering} requests are under way, which is the limit."
            status = HTTPStatus.TOO_MANY_REQUESTS
            self._connections.refuse(connection, Refusal(status, "overloaded", message, retry_after_s=1))
        else:
            self._answering += 1
            if connection.request.may_stream:
                self.tpool.submit(partial(self._answer, connection))
            else:
                self._short_pool.submit(partial(self._answer_short, connection))

    def _next_request(self, connection: Connection, after: bytes) -> None:
        """Keep the connection for the client's next request, whose beginning may be here."""
        connection.make_nonblocking()
        silent_s = self.cfg.keepalive if self.alive else min(self.cfg.keepalive, LINGER_S)
        self._connections.receive(connection, self._new_request(silent_s=silent_s), after)

    def _answer(self, connection: Connection) -> None:
        """Let the application answer, in a thread that writes to the client and may wait for it."""
        request, after = connection.request.take()

        def respond() -> Step:
            connection.sock.setblocking(True)
            keep = self.handle_request(connection.parsed(self.cfg, request), connection)
            next_ = partial(self._next_request, connection, after)
            return next_ if keep else partial(self._connections.linger, connection)

        self.method_queue.defer(self._after_answer, connection, self._next_step(connection, respond))

    def _answer_short(self, connection: Connection) -> None:
        """Let the application answer into memory, and the main thread send: no client can hold up the few threads."""
        request, after = connection.request.take()

        def respond() -> Step:
            response, keep = self._whole_response(connection, connection.parsed(self.cfg, request))
            then = partial(self._next_request, connection, after) if keep else None
            return partial(self._connections.send, connection, response, then=then)

        self.method_queue.defer(self._after_answer, connection, self._next_step(connection, respond))

    def _answer_probe(self, connection: Connection) -> None:
        self.method_queue.defer(self._connections.take, connection, self._probe_step(connection))

    def _probe_step(self, connection: Connection) -> Step:
        """Let the application answer into memory. The connection closes: the client repeats later requests."""
        request, _ = connection.request.take()

        def respond() -> Step:
            parsed = connection.parsed(self.cfg, request)
            parsed.force_close()
            response, _ = self._whole_response(connection, parsed)
            return partial(self._connections.send, connection, response, send_s=PROBE_SEND_S)

        return self._next_step(connection, respond)

    def _whole_response(self, connection: Connection, request: Any) -> tuple[bytes, bool]:
        """The response's bytes, and whether the connection may be kept."""
        response = bytearray()
        sock = SimpleNamespace(sendall=response.extend)
        memory = SimpleNamespace(sock=sock, client=connection.client, server=connection.server)
        keep = self.handle_request(request, memory)
        return bytes(response), bool(keep)

    def _next_step(self, connection: Connection, respond: Callable[[], Step]) -> Step:
        """Respond; returns the step that the main thread is to take, which is to close where the response failed."""
        try:
            return respond()
        except Refusal as refusal:
            return partial(self._connections.refuse, connection, refusal)
        except StopIteration:  # gunicorn has logged a failure after the response's head, and closed the socket
            pass
        except BlockingIOError:
            log.info("A client that read nothing for too long was cut off.")
        except OSError:  # the client is gone
            pass
        except Exception:
            log.exception("The application failed.")
            message = "The service failed; its log has the reason."
            failure = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", message)
            return partial(self._connections.refuse, connection, failure)
        return partial(self._connections.close, connection)

    def _after_answer(self, connection: Connection, step: Step) -> None:
        self._answering -= 1
        self._connections.take(connection, step)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: drain. It may come twice: from the master, and from a supervisor that signals every process."""
        if self.booted:
            # Outside the signal's handler, where a lock may be taken.
            self.method_queue.defer(self._drain_asked.set)
        else:
            super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGINT and SIGQUIT: end at once."""
        if self.booted:
            self.method_queue.defer(self._end)
        else:
            super().handle_quit(sig, frame)

    def _drain(self) -> None:
        """Keep accepting, so that a balancer hears of the drain; stop when nothing is left to wait for."""
        self._drain_asked.wait()
        drain = self.wsgi.extensions["drain"]
        try:
            drain.run()
        finally:
            self.cfg.set("graceful_timeout", math.ceil(drain.remaining_s) + LAST_BYTES_S)
            self.method_queue.defer(self._connections.close_silent)
            self.method_queue.defer(super().handle_exit, signal.SIGTERM, None)

    def _end(self) -> None:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a terminal signals us and the master, and the master us again
        self.wsgi.extensions["drain"].cut()
        super().handle_quit(signal.SIGQUIT, None)
