"""gunicorn's threaded worker, changed so that slow or hostile clients hold no thread. Knows nothing of models or Flask.

The main thread reads each request completely before it passes it to a thread, and sends all complete responses itself,
without blocking: a thread is busy only while it computes or streams. The worker uses five of the application's
`extensions`: "drain" (a `service.server.shutdown.Drain`), "faults" (a function that returns the faults of the threads
that the application depends on), "max_body_bytes", "max_body_bytes_of" (by path) and "admin_port". It adds the class
`Outlet` as "outlet".
"""

import logging
import math
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

from service import metrics
from service.request_id import request_id
from service.server import addresses, resources
from service.server.connection import Connection
from service.server.connections import LINGER_S, Connections, Step
from service.server.outlet import Outlet
from service.server.pool import Pool
from service.server.refusal import Refusal
from service.server.request import IncomingRequest, Limits
from service.server.response import json_response
from service.server.response_socket import ResponseSocket

# The time after which a waiting thread requests the interpreter's lock. With Python's default, 5 ms, /livez is twice as
# slow under 40 streams (docs/experiments.md).
SWITCH_INTERVAL_S = 0.0005
ALIVE = {"status": "alive"}  # as the application's own /livez
PROBE_SEND_S = 2.0  # for a client to read a probe's response
# A scrape computes for milliseconds. Its thread then sleeps so many times longer, so that clients that request metrics
# all the time use at most a fifth of one core.
PROBE_REST_FACTOR = 4.0
SHORT_THREADS = 3  # for responses that never stream; computing them holds the interpreter's lock, so more do not help
MAX_REQUEST_LINE = 16 * 1024  # bytes; a model name of 10 kB in a path is an unknown model like any other
MAX_PENDING = 256  # complete requests that wait for a thread
MAX_PENDING_PROBES = 64  # of one path and port
LAST_BYTES_S = 5  # after the drain, for clients to read the ends of their streams

Probe = tuple[bytes, bool]
"""The path of a probe, and whether it came to the admin port."""

log = logging.getLogger(__name__)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gthread with deadlines for requests, separate threads for probes, and a graceful shutdown on SIGTERM."""

    def init_process(self) -> None:
        """Run the worker after the fork; returns when it ends."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._answering = 0  # requests that a thread of a pool has or will take, probes aside
        self._probing: Counter[Probe] = Counter()  # the same for probes
        self._drain_requested = threading.Event()
        try:
            self._pool = Pool(self.cfg.threads, "request")
            self._short_pool = Pool(SHORT_THREADS, "short")
            # One thread for each path and port: a client that requests metrics all the time delays only itself.
            self._probe_pools: dict[Probe, Pool] = {
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
        """The pool for requests that may stream."""
        return self._pool

    def run(self) -> None:
        """Serve until a signal stops the worker."""
        self.wsgi.extensions["outlet"] = Outlet
        self._limits = Limits(
            MAX_REQUEST_LINE,
            self.cfg.limit_request_fields,
            self.cfg.limit_request_field_size,
            self.wsgi.extensions["max_body_bytes"],
            self.wsgi.extensions["max_body_bytes_of"],
        )
        self._connections = Connections(
            self.poller, self._new_request, self._dispatch, max_public=self.cfg.worker_connections
        )
        self.worker_connections = math.inf  # `Connections` enforces the limit
        self.listen()
        super().run()

    def listen(self) -> None:
        """Listen: gunicorn.conf.py has stopped this until the application can answer."""
        for listener in self.sockets:
            try:
                listener.listen(self.cfg.backlog)
            except OSError as error:  # another process has started to listen on the port
                host, port, *_ = listener.getsockname()
                log.error("Charloom cannot start: %s", addresses.not_free(host, port, error))
                sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections or not. A worker that has drained refuses them, though its last ones linger for seconds.

        After SIGTERM, the worker alone has the sockets; during a reload, the new worker listens on them too.
        """
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    @property
    def nr_conns(self) -> int:
        """The number of open connections, for which gunicorn's loop waits at the end."""
        return len(self._connections)

    @nr_conns.setter
    def nr_conns(self, value: int) -> None:
        """Ignore gunicorn's initial zero."""

    def notify(self) -> None:
        """Tell gunicorn's master that the worker is healthy; it restarts a worker that is silent for `timeout`."""
        if not self.booted or not self.wsgi.extensions["faults"]():
            super().notify()

    def accept(self, listener: Any) -> None:
        """Accept new connections."""
        self._connections.accept(listener, is_admin=listener.getsockname()[1] == self.wsgi.extensions["admin_port"])

    def murder_pending(self) -> None:
        """Close connections past their deadline; gunicorn's loop calls this at least once a second."""
        self._connections.expire()

    def _new_request(self, **options: float) -> IncomingRequest:
        return IncomingRequest(self._limits, **options)

    def _dispatch(self, connection: Connection) -> None:
        """Pass a complete request to a thread."""
        if connection.request.is_probe:
            self._dispatch_probe(connection)
        elif connection.is_admin:
            message = "This port answers GET /livez, /readyz and /metrics only."
            self._connections.refuse(connection, Refusal(HTTPStatus.NOT_FOUND, "not_found", message))
        elif self._answering >= self.cfg.threads + MAX_PENDING:
            self._refuse_overload(connection, f"{self._answering} requests are in progress, which is the limit.")
        else:
            self._answering += 1
            pool = self._pool if connection.request.may_stream else self._short_pool
            pool.submit(partial(self._answer, connection))

    def _dispatch_probe(self, connection: Connection) -> None:
        probe = (connection.request.path, connection.is_admin)
        if probe not in self._probe_pools:
            self._answer_livez(connection)
        elif self._probing[probe] >= MAX_PENDING_PROBES:
            self._refuse_overload(
                connection, f"{MAX_PENDING_PROBES} requests for this path are waiting, which is the limit."
            )
        else:
            self._probing[probe] += 1
            self._probe_pools[probe].submit(partial(self._answer_probe, connection, probe))

    def _refuse_overload(self, connection: Connection, message: str) -> None:
        metrics.REJECTED.labels("connections").inc()
        status = HTTPStatus.TOO_MANY_REQUESTS
        self._connections.refuse(connection, Refusal(status, "overloaded", message, retry_after_s=1))

    def _next_request(self, connection: Connection, after: bytes) -> None:
        """Keep the connection for the client's next request, of which `after` has already arrived."""
        silent_s = self.cfg.keepalive if self.alive else min(self.cfg.keepalive, LINGER_S)
        self._connections.receive(connection, self._new_request(silent_s=silent_s), after)

    def _answer(self, connection: Connection) -> None:
        """Run the application in a thread, which blocks on the client only while it sends a stream."""
        request, after = connection.request.take()

        def respond() -> Step:
            response, keep = self._respond(connection, connection.parsed(self.cfg, request))
            linger = partial(self._connections.linger, connection)
            then = partial(self._next_request, connection, after) if keep else linger
            return partial(self._connections.send, connection, response, then=then) if response else then

        self.method_queue.defer(self._after_answer, connection, self._next_step(connection, respond))

    def _answer_livez(self, connection: Connection) -> None:
        """Respond from the main thread, without the application: the response shows that this thread works."""
        id_ = request_id(connection.request.header(b"x-request-id"))
        self._connections.send(connection, json_response(HTTPStatus.OK, ALIVE, id_), send_s=PROBE_SEND_S)

    def _answer_probe(self, connection: Connection, probe: Probe) -> None:
        """As `_answer`, but the connection then closes; later requests on it are dropped."""
        request, _ = connection.request.take()

        def respond() -> Step:
            parsed = connection.parsed(self.cfg, request)
            parsed.force_close()
            response, _ = self._respond(connection, parsed)
            return partial(self._connections.send, connection, response, send_s=PROBE_SEND_S)

        self.method_queue.defer(self._after_probe, connection, self._next_step(connection, respond), probe)

    def _respond(self, connection: Connection, request: Any) -> tuple[bytes, bool]:
        """Run the application; returns the response, empty after a stream, and whether the connection may be kept."""
        sock = ResponseSocket(connection.sock, may_stream=connection.request.may_stream)
        client = SimpleNamespace(sock=sock, client=connection.client, server=connection.server)
        keep = self.handle_request(request, client)
        return bytes(sock.kept), bool(keep)

    def _next_step(self, connection: Connection, respond: Callable[[], Step]) -> Step:
        """Respond, and return the main thread's next step: to close if the response failed."""
        try:
            return respond()
        except Refusal as refusal:
            return partial(self._connections.refuse, connection, refusal)
        except StopIteration:  # after a failure past the response's head, which gunicorn logs
            pass
        except BlockingIOError:
            log.info("Closed a connection whose client did not read its response.")
            return partial(self._connections.abort, connection)
        except OSError:  # the client has disconnected
            pass
        except Exception:
            log.exception("Unexpected error of the application.")
            message = "Unexpected error of the service; its log has the reason."
            failure = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", message)
            return partial(self._connections.refuse, connection, failure)
        return partial(self._connections.close, connection)

    def _after_answer(self, connection: Connection, step: Step) -> None:
        self._answering -= 1
        self._connections.take(connection, step)

    def _after_probe(self, connection: Connection, step: Step, probe: Probe) -> None:
        self._probing[probe] -= 1
        self._connections.take(connection, step)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """On SIGTERM, drain. It may come twice: from the master and from a supervisor that signals every process."""
        if self.booted:
            # Deferred, because a signal handler must not take a lock.
            self.method_queue.defer(self._drain_requested.set)
        else:
            super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """On SIGINT and SIGQUIT, end at once."""
        if self.booted:
            self.method_queue.defer(self._end)
        else:
            super().handle_quit(sig, frame)

    def _drain(self) -> None:
        """Drain, then stop. Until then connections are accepted, so that a load balancer gets 503 from /readyz."""
        self._drain_requested.wait()
        drain = self.wsgi.extensions["drain"]
        try:
            drain.run()
        finally:
            self.cfg.set("graceful_timeout", math.ceil(drain.remaining_s) + LAST_BYTES_S)
            self.method_queue.defer(self._connections.close_silent)
            self.method_queue.defer(super().handle_exit, signal.SIGTERM, None)

    def _end(self) -> None:
        # A terminal signals the worker and the master, and the master then signals the worker again.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self.wsgi.extensions["drain"].abort()
        super().handle_quit(signal.SIGQUIT, None)
