"""The end in order: nothing new begins, what was begun may finish, then the engines stop. No signals, no HTTP."""

import logging
import math
import time

from service import metrics
from service.engine.scheduler import Scheduler

SECONDS_BETWEEN_LOOKS = 0.02

log = logging.getLogger(__name__)


class Drain:
    """One way only: once begun, the service takes no new streams until its process ends."""

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        """`seconds` is how long streams that run or wait may take to finish."""
        self.has_begun = False
        self._scheduler = scheduler
        self._seconds = seconds
        self._deadline_s = math.inf

    @property
    def remaining_s(self) -> float:
        """Time until what still runs is cut off; infinite before `run`."""
        return max(0.0, self._deadline_s - time.monotonic())

    def run(self) -> None:
        """Refuse new streams and return when none is left; those that outlive the time fail."""
        self._deadline_s = time.monotonic() + self._seconds
        self.has_begun = True
        metrics.DRAINING.set(1)
        self._scheduler.drain()
        log.info("Draining: %d streams run, %d wait, for at most %g s.", *self._left(), self._seconds)
        while not self._scheduler.is_idle and self.remaining_s:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if self._scheduler.is_idle:
            log.info("Drained.")
        else:
            log.warning("The time to drain is over: %d streams that run and %d that wait end here.", *self._left())
        self._scheduler.close()

    def cut(self) -> None:
        """Stop the engines at once; every stream that is left fails."""
        self.has_begun = True
        metrics.DRAINING.set(1)
        self._scheduler.close()

    def _left(self) -> tuple[int, int]:
        return self._scheduler.running, self._scheduler.waiting
