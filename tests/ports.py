"""Ports for servers that a test starts.

The system is not asked for a port: once it is closed again, another test's outgoing connection may get it before the
server listens on it.
"""

import itertools
import os
import random
import socket
from contextlib import suppress

FIRST, PER_WORKER = 20_000, 1_000  # up to 31,999: Linux gives ports from 32,768 on to outgoing connections
WORKERS = 12
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS

# Each worker of a test run has its own ports. The first is random, because another run may use this machine.
_offsets = itertools.count(random.SystemRandom().randrange(PER_WORKER))


def free_port() -> int:
    """A port on which nothing listens, and which is not among the last 999 that this process has returned."""
    while True:
        port = FIRST + WORKER * PER_WORKER + next(_offsets) % PER_WORKER
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
