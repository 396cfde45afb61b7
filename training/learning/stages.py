"""The stages of a run: which one it is in, how long each took, and where it may be stopped. Prints nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from training.errors import ReportedError


class Stopped(ReportedError):
    """A stop was asked for; nothing of the stage that it interrupted is kept."""


def _show_nothing(stage: str, done: int, total: int) -> None:
    pass


@dataclass
class Stages:
    """A clock for the parts of a run (training, evaluation, sampling, ...). Every moment belongs to one stage."""

    should_stop: Callable[[], bool] = lambda: False
    show: Callable[[str, int, int], None] = _show_nothing
    """(stage, parts done, parts in all); 0 parts in all: not known."""
    seconds: dict[str, float] = field(default_factory=dict)  # of each stage, since `forget`
    elapsed_seconds: float = 0.0  # of all stages, before a resume too
    current: str = ""
    _since_s: float = 0.0
    _done: int = 0
    _total: int = 0

    def enter(self, stage: str, total: int = 0) -> None:
        """End the current stage and begin another one of `total` parts.

        Raises:
            Stopped: `should_stop` says so.
        """
        self.switch(stage, total)
        self.advance(0)

    def switch(self, stage: str, total: int = 0) -> None:
        """As `enter`, for a stage that a stop must not keep from its work."""
        self.clock()
        self.current, self._done, self._total = stage, 0, total

    def advance(self, parts: int = 1) -> None:
        """So many more parts of the current stage are done.

        Raises:
            Stopped: `should_stop` says so.
        """
        self._done += parts
        self.show(self.current, self._done, self._total)
        if self.should_stop():
            raise Stopped(f"Stopped during {self.current}.")

    def clock(self) -> None:
        """Add the time since the last call to the current stage."""
        now_s = time.monotonic()
        if self.current:
            self.seconds[self.current] = self.seconds.get(self.current, 0.0) + now_s - self._since_s
            self.elapsed_seconds += now_s - self._since_s
        self._since_s = now_s

    def forget(self) -> None:
        """Begin to count the seconds of each stage anew."""
        self.seconds = {}
