"""The number of steps of a call, from the time that a step takes on this machine. Knows no model and no streams."""

import math

MIN_STEPS_MEASURED = 4  # of a shorter call, if the time allows longer ones, the fixed cost would count as the steps'
LATEST_WEIGHT = 0.2  # of the latest call in the mean


class CallBudget:
    """Sizes calls so that each takes about `seconds`: long enough to be efficient, short enough for those who wait.

    A stream's characters come once a call, and a new stream waits for the call that is running.
    """

    def __init__(self, seconds: float, max_steps: int) -> None:
        """No call has more than `max_steps` steps, however quick they are."""
        self.max_steps = max_steps
        self._seconds = seconds
        self._step_s: dict[int, float] = {}  # by the number of rows

    def steps(self, rows: int, *, share: float = 1.0) -> int:
        """The steps that a call of so many rows can take in a share of the time; at least 1."""
        if math.isinf(self._seconds):
            return self.max_steps
        step_s = self._expected_step_s(rows)
        if step_s is None:
            return min(self.max_steps, MIN_STEPS_MEASURED)
        return int(max(1, min(self.max_steps, share * self._seconds / step_s)))

    def observe(self, rows: int, steps: int, seconds: float) -> None:
        """Note the duration of a call."""
        latest = max(seconds, 1e-9) / steps
        known = self._step_s.get(rows)
        if known is None:
            self._step_s[rows] = latest
        elif steps >= min(MIN_STEPS_MEASURED, self.steps(rows)) or latest < known:
            self._step_s[rows] = known + LATEST_WEIGHT * (latest - known)

    def _expected_step_s(self, rows: int) -> float | None:
        """The mean of this number of rows; if it is unknown, from the nearest number, in proportion if that is less."""
        if not self._step_s:
            return None
        nearest = min(self._step_s, key=lambda known: abs(known - rows))
        return self._step_s[nearest] * max(1.0, rows / nearest)
