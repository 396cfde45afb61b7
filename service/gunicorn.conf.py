"""The server's settings, each with its reason. `python -m gunicorn --config service/gunicorn.conf.py`."""

import math
import resource
import signal
import socket
import sys
from typing import Any

from service import logs
from service.config import Config, ConfigError

try:
    charloom = Config.from_env()
except ConfigError as error:
    sys.exit(f"Charloom cannot start: {error}")

wsgi_app = "service.app:create_app()"
bind = f"0.0.0.0:{charloom.port}"

# One process: its engine threads share the model and one queue. TensorFlow computes without the interpreter's lock,
# and a SavedModel that is loaded before a fork hangs, so nothing is preloaded.
workers = 1
preload_app = False

# gthread, with threads of their own for the probes and a drain (see there).
worker_class = "service.worker.Worker"

# A stream holds its thread, from its admission until its client has read it. Streams may be as many as may run or
# wait and a few more (http/generate.py); the threads beyond read, check and refuse requests: admission is the
# application's, which answers 429, while the server would let clients hang.
threads = charloom.engines * charloom.slots + charloom.queue + 32


def _open_files(wanted: int) -> int:
    """Raise this process's limit of open files as far as `wanted` and the system allow; what it then may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


# Connections that only wait hold a file and no thread. Past this number new ones wait in the kernel, probes among them;
# past the limit of open files gunicorn would end the worker.
worker_connections = min(threads + 4096, _open_files(threads + 4096 + 256) - 256)

# gthread beats its heart beside the streams: this is for a worker that hangs, not for a long text.
timeout = 120
# The master kills what is left after it; the worker ends by itself before that (worker.py).
graceful_timeout = math.ceil(charloom.drain_seconds) + 20

# One more thing to guard, and nobody asked for it.
control_socket_disable = True

# The application writes a line for each request, when its stream ends (http/access.py).
accesslog = None
logger_class = "service.logs.GunicornLogger"
logs.configure()


def on_starting(server: Any) -> None:
    """Say in one sentence that the port is taken, before gunicorn tries five times."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", charloom.port))
        except OSError as error:
            sys.exit(
                f"Charloom cannot start: port {charloom.port} cannot be used ({str(error.strerror).lower()}): "
                "choose another with PORT."
            )


def when_ready(server: Any) -> None:
    """Read a second SIGTERM to the master as SIGQUIT: while it waits for its worker it hears nothing else."""
    asked: list[int] = []

    def terminate(number: int, frame: Any) -> None:
        server.signal(signal.SIGQUIT if asked else number, frame)
        asked.append(number)

    signal.signal(signal.SIGTERM, terminate)
