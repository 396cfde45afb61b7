"""The server's settings, each with its reason. `python -m gunicorn --config service/gunicorn.conf.py`."""

import logging
import socket
import sys
from typing import Any

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

# A stream holds its thread. Threads beyond all streams that may run or wait keep the probes and refusals quick:
# admission is the application's, which answers 429, while the server would let clients hang.
worker_class = "gthread"
threads = charloom.engines * charloom.slots + charloom.queue + 32
worker_connections = 2 * threads

# gthread beats its heart beside the streams: this is for a worker that hangs, not for a long text.
timeout = 120
graceful_timeout = 30

# One more thing to guard, and nobody asked for it.
control_socket_disable = True

accesslog = None
logging.basicConfig(level="INFO", format="[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s")


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
