"""A rate limiter with a sliding window. Knows clients by a name only.

It starts no thread: a request is never refused because the system has no thread left.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass

import limits


@dataclass(frozen=True)
class Quota:
    """A client's requests in the window of its latest request."""

    is_exceeded: bool  # the latest request is refused, and does not count
    limit: int
    remaining: int  # requests that are allowed now
    reset_s: float  # until the oldest request leaves the window, and one more is allowed


class RateLimiter:
    """The times of each client's latest requests, at most as many as the rate allows."""

    def __init__(self, rate: limits.RateLimitItem) -> None:
        self._amount, self._window_s = rate.amount, rate.get_expiry()
        self._lock = threading.Lock()
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._swept_s = time.monotonic()

    @property
    def clients(self) -> int:
        """The number of clients whose requests are remembered."""
        return len(self._times)

    def count(self, client: tuple[str, str]) -> Quota:
        """Count a request, unless the limit is reached."""
        with self._lock:
            now = time.monotonic()
            self._sweep(now - self._window_s)
            times = self._times.setdefault(client, deque())
            while times and times[0] <= now - self._window_s:
                times.popleft()
            if not (is_exceeded := len(times) >= self._amount):
                times.append(now)
            return Quota(is_exceeded, self._amount, self._amount - len(times), self._window_s - (now - times[0]))

    def _sweep(self, before_s: float) -> None:
        """Once per window, forget the clients without a request in it."""
        if self._swept_s <= before_s:
            self._swept_s = before_s + self._window_s
            self._times = {client: times for client, times in self._times.items() if times[-1] > before_s}
