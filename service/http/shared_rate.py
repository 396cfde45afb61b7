"""A rate limiter that processes share through Redis. Knows clients by a name only, and Redis knows a hash of it.

While Redis does not answer, each process counts alone, so an outage neither stops requests nor lifts the limit.
"""

import hashlib
import logging
import threading
import time

import limits
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from service import metrics
from service.http.rate import Quota, RateLimiter

RETRY_S = 5.0  # after a failure, until one request asks Redis again; the others do not wait for it

log = logging.getLogger(__name__)


class SharedRateLimiter:
    """As `RateLimiter`, with the same sliding window. Starts no thread."""

    def __init__(self, rate: limits.RateLimitItem, storage: RedisStorage) -> None:
        self._rate = rate
        self._shared = MovingWindowRateLimiter(storage)
        self._alone = RateLimiter(rate)
        self._lock = threading.Lock()
        self._retry_at_s: float | None = None  # None: Redis answers

    def count(self, client: tuple[str, str]) -> Quota:
        """Count a request, unless the limit is reached."""
        if not self._is_due():
            return self._alone.count(client)
        try:
            quota = self._count_in_redis(client)
        except StorageError as error:
            self._note_failure(error)
            return self._alone.count(client)
        self._note_success()
        return quota

    def _count_in_redis(self, client: tuple[str, str]) -> Quota:
        kind, name = client
        # The name may be an API key. A digest of fixed length also keeps the name of the Redis key short.
        identifiers = kind, hashlib.sha256(name.encode()).hexdigest()
        is_exceeded = not self._shared.hit(self._rate, *identifiers)
        window = self._shared.get_window_stats(self._rate, *identifiers)
        # Another process may have counted in between, and its clock may differ.
        reset_s = min(max(window.reset_time - time.time(), 0.001), self._rate.get_expiry())
        return Quota(is_exceeded, self._rate.amount, 0 if is_exceeded else max(window.remaining, 0), reset_s)

    def _is_due(self) -> bool:
        """Whether to ask Redis: always while it answers, otherwise one request every `RETRY_S`."""
        if self._retry_at_s is None:
            return True
        with self._lock:
            now = time.monotonic()
            if self._retry_at_s is not None and now < self._retry_at_s:
                return False
            self._retry_at_s = now + RETRY_S
            return True

    def _note_failure(self, error: StorageError) -> None:
        metrics.RATE_STORAGE_FAILURES.inc()
        with self._lock:
            is_first, self._retry_at_s = self._retry_at_s is None, time.monotonic() + RETRY_S
        if is_first:
            log.error("Redis failed (%s): this process counts its requests alone.", error.storage_error)

    def _note_success(self) -> None:
        if self._retry_at_s is None:
            return
        with self._lock:
            was_failing, self._retry_at_s = self._retry_at_s is not None, None
        if was_failing:
            log.info("Redis answers again: the rate limit is shared with the other processes.")
