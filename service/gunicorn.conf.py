"""The server's settings, each with its reason. `python -m gunicorn --config service/gunicorn.conf.py`."""

import math
import signal
import sys
from typing import Any

from service.config import Config, ConfigError
from service.server import addresses, logs, resources

# A stream holds its thread, from its admission until its client has read it. Streams may be as many as may run or
# wait and a few more (http/delivery.py); the threads beyond check and refuse requests: admission is the
# application's, which answers 429, while the server would let clients hang.
SPARE_THREADS = 32

try:
    charloom = Config.from_env()
    threads = charloom.engines * charloom.slots + charloom.queue + SPARE_THREADS
    # Connections that only wait hold a file and no thread. Past this number the oldest of them is closed.
    worker_connections = resources.check(charloom, threads)
    ports = [charloom.port] if charloom.admin_port is None else [charloom.port, charloom.admin_port]
    bind = [address for port in ports for address in addresses.to_bind(charloom.host, port)]
except ConfigError as error:
    sys.exit(f"Charloom cannot start: {error}")

wsgi_app = "service.app:create_app()"

# One process: its engine threads share the model and one queue. TensorFlow computes without the interpreter's lock,
# and a SavedModel that is loaded before a fork hangs, so nothing is preloaded.
workers = 1
preload_app = False

# gthread, with deadlines for requests, places for probes and a drain (see there).
worker_class = "service.server.worker.Worker"

# Seconds that a connection stays open between two requests; it holds no thread.
keepalive = 30

# The worker reports to its master beside the streams: this is for a worker that hangs, not for a long text.
timeout = 120
# The master kills what is left after it; the worker ends by itself before that (worker.py).
graceful_timeout = math.ceil(charloom.drain_seconds) + 20

# gunicorn would take SCRIPT_NAME, PATH_INFO and the scheme from the headers of any local client. Which proxies are
# trusted, and with what, is the application's to decide (CHARLOOM_TRUSTED_PROXIES).
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

# A second way to control the process that nothing here needs.
control_socket_disable = True

# Short responses are written to memory first (worker.py).
sendfile = False

# The application writes a line for each request, when its stream ends (http/access.py).
accesslog = None
logger_class = "service.server.logs.GunicornLogger"
logs.configure()


def on_starting(server: Any) -> None:
    """Say in one sentence that a port is taken, before gunicorn tries five times. A reload does not come here."""
    try:
        addresses.require_free(bind)
    except ConfigError as error:
        sys.exit(f"Charloom cannot start: {error}")


def when_ready(server: Any) -> None:
    """Read a second SIGTERM to the master as SIGQUIT, for it hears nothing else while it waits for its worker.

    SIGTTIN would start a second worker, with other engines, limits and metrics beside the first one's.
    """
    asked: list[int] = []

    def terminate(number: int, frame: Any) -> None:
        server.signal(signal.SIGQUIT if asked else number, frame)
        asked.append(number)

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
