"""How many requests a client may make in a window of time that moves. Knows nothing of who the clients are.

Needs no thread of its own, so that a request is never refused because the system has none left.
"""

import threading
import time
from collections import deque

import limits


class RateLimiter:
    """Remembers when each client made its latest requests."""

    def __init__(self, rate: limits.RateLimitItem) -> None:
        self._amount, self._window_s = rate.amount, rate.get_expiry()
        self._lock = threading.Lock()
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._swept_s = time.monotonic()

    def wait_s(self, client: tuple[str, str]) -> float:
        """Count a request, and return 0; or, where it is one too many, the time until the next may come."""
        with self._lock:
            now = time.monotonic()
            self._sweep(now - self._window_s)
            times = self._times.setdefault(client, deque())
            while times and times[0] <= now - self._window_s:
                times.popleft()
            if len(times) >= self._amount:
                return times[0] + self._window_s - now
            times.append(now)
            return 0.0

    def _sweep(self, before_s: float) -> None:
        """Forget, once a window, the clients that have not asked since."""
        if self._swept_s <= before_s:
            self._swept_s = before_s + self._window_s
            self._times = {client: times for client, times in self._times.items() if times[-1] > before_s}
