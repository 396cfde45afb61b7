"""The stages of a run: the current one, the seconds of each, and the points where it can be stopped. Prints nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from training.errors import ReportedError


class Stopped(ReportedError):
    """The run was asked to stop; the interrupted stage leaves no result."""


def _show_nothing(stage: str, done: int, total: int) -> None:
    pass


@dataclass
class Stages:
    """Measures the stages of a run (training, evaluation, sampling, ...), one at a time.

    Stages know no signal: `should_stop` is asked at each part of a stage, and `show` is called with its progress.
    """

    should_stop: Callable[[], bool] = lambda: False
    show: Callable[[str, int, int], None] = _show_nothing
    """(stage, parts done, total parts); 0 total parts: unknown."""
    seconds: dict[str, float] = field(default_factory=dict)  # of each stage, since `reset`
    elapsed_seconds: float = 0.0  # of all stages, those before a resume included
    current: str = ""
    _since_s: float = 0.0
    _done: int = 0
    _total: int = 0

    def enter(self, stage: str, total: int = 0) -> None:
        """End the current stage and start another one of `total` parts.

        Raises:
            Stopped: `should_stop` returned True.
        """
        self.switch(stage, total)
        self.advance(0)

    def switch(self, stage: str, total: int = 0) -> None:
        """As `enter`, for a stage that must run even when a stop was asked for."""
        self.clock()
        self.current, self._done, self._total = stage, 0, total

    def advance(self, parts: int = 1) -> None:
        """Record that so many more parts of the current stage are done.

        Raises:
            Stopped: `should_stop` returned True.
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

    def reset(self) -> None:
        """Set the seconds of each stage back to 0."""
        self.seconds = {}
