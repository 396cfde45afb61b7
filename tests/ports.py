"""Ports for servers that a test starts.

Port 0 would do only for a server that takes it itself: a port that the system chose and that is closed again may
be given to another test's outgoing connection before the server listens on it.
"""

import itertools
import os
import random
import socket
from contextlib import suppress

FIRST, PER_WORKER = 20_000, 1_000  # up to 31,999: Linux gives ports from 32,768 on to outgoing connections
WORKERS = 12
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS

# The processes of one test run share no port. It begins anywhere, because another test run may be on this machine.
_offsets = itertools.count(random.SystemRandom().randrange(PER_WORKER))


def free_port() -> int:
    """A port that nothing listens on, and that this process has not returned before (but for 1,000 ports ago)."""
    while True:
        port = FIRST + WORKER * PER_WORKER + next(_offsets) % PER_WORKER
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
