"""Graceful shutdown: reject new streams, let running ones finish, stop the engines. No signals, no HTTP."""

import logging
import math
import time

from service import metrics
from service.engine.scheduler import Scheduler

POLL_SECONDS = 0.02

log = logging.getLogger(__name__)


class Drain:
    """Drains the scheduler once. After that the service accepts no new streams until its process ends."""

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        """Streams that run or wait have `seconds` to finish."""
        self.has_begun = False
        self._scheduler = scheduler
        self._seconds = seconds
        self._deadline_s = math.inf

    @property
    def remaining_s(self) -> float:
        """Time until the streams that still run fail; infinite before `run`."""
        return max(0.0, self._deadline_s - time.monotonic())

    def run(self) -> None:
        """Reject new streams, and return when none is left; those left at the deadline fail."""
        self._deadline_s = time.monotonic() + self._seconds
        self.has_begun = True
        metrics.DRAINING.set(1)
        self._scheduler.drain()
        log.info("Draining for at most %g s: %d streams run and %d wait.", self._seconds, *self._left())
        while not self._scheduler.is_idle and self.remaining_s:
            time.sleep(POLL_SECONDS)
        if self._scheduler.is_idle:
            log.info("Drained.")
        else:
            log.warning("The drain has timed out: %d streams that run and %d that wait fail.", *self._left())
        self._scheduler.close()

    def abort(self) -> None:
        """Stop the engines at once; every stream fails."""
        self.has_begun = True
        metrics.DRAINING.set(1)
        self._scheduler.close()

    def _left(self) -> tuple[int, int]:
        return self._scheduler.running, self._scheduler.waiting
