"""gunicorn's settings, each with its reason. Start: `python -m gunicorn --config service/gunicorn.conf.py`."""

import math
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from service.config import Config, ConfigError
from service.server import addresses, logs, resources

# A stream holds a thread from its admission until its client has read it. The application admits as many streams as may
# run or wait and a few more; with the spare threads it answers 429 to further requests instead of letting them hang.
SPARE_THREADS = 32

try:
    charloom = Config.from_env()
    threads = charloom.engines * charloom.slots + charloom.queue + SPARE_THREADS
    # A connection that waits holds an open file and no thread. At this number the oldest of them is closed.
    worker_connections = resources.check(charloom, threads)
    ports = [charloom.port] if charloom.admin_port is None else [charloom.port, charloom.admin_port]
    bind = [address for port in ports for address in addresses.to_bind(charloom.host, port)]
except ConfigError as error:
    sys.exit(f"Charloom cannot start: {error}")

wsgi_app = "service.app:create_app()"

# One process: its engine threads share the model and one queue, and TensorFlow computes without the interpreter's lock.
# Nothing is preloaded, because a SavedModel that is loaded before a fork hangs.
workers = 1
preload_app = False

# gthread with deadlines for requests, threads for probes and a graceful shutdown.
worker_class = "service.server.worker.Worker"

# Seconds that a connection stays open between two requests, without a thread.
keepalive = 30

# The master restarts a worker that has not reported for this time. Long streams do not delay its reports.
timeout = 120
# The master kills a worker that takes longer; the worker ends by itself before that (worker.py).
graceful_timeout = math.ceil(charloom.drain_seconds) + 20

# gunicorn would read SCRIPT_NAME, PATH_INFO and the scheme from the headers of any local client. The application
# decides which proxies are trusted (CHARLOOM_TRUSTED_PROXIES).
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

# gunicorn has no limit between 8 KB and none; the worker checks the length before (worker.py).
limit_request_line = 0

# Signals control the process; the socket is not needed.
control_socket_disable = True

# The worker buffers short responses in memory (worker.py).
sendfile = False

# The application writes a line for each request, when its stream ends (http/access.py).
accesslog = None
logger_class = "service.server.logs.GunicornLogger"
logs.configure()


def on_starting(server: Any) -> None:
    """Exit with one sentence if a port is in use, before gunicorn tries five times, or if Redis does not answer.

    Not called at a reload or when a worker is replaced: a service that runs outlives an outage of Redis.
    """
    try:
        addresses.require_free(bind)
        charloom.check_rate_storage()
    except ConfigError as error:
        sys.exit(f"Charloom cannot start: {error}")


def refuse_connections(server: Any) -> None:
    """Stop listening until the worker can answer (`Worker.listen`), so that a proxy uses another replica meanwhile.

    Inherited sockets still listen, because another process may serve them.
    """
    if server.systemd or server.master_pid:
        return
    for listener in server.LISTENERS:
        with suppress(OSError):  # systems other than Linux cannot stop listening
            listener.shutdown(socket.SHUT_RDWR)


def when_ready(server: Any) -> None:
    """Treat a second SIGTERM to the master as SIGQUIT: it ignores SIGTERM while it waits for its worker.

    SIGTTIN and SIGTTOU are ignored: a second worker would have its own engines, limits and metrics.
    """
    refuse_connections(server)
    received: list[int] = []

    def terminate(number: int, frame: Any) -> None:
        server.signal(signal.SIGQUIT if received else number, frame)
        received.append(number)

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
