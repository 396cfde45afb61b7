"""ids -> N parallel contiguous streams -> [N, T] windows in order: what "stateful" rests on.

Row i starts at i/N of the text and reads on from there, window after window, across the place where row i+1 began:
the state that a row carries is always that of the text just before. A row that reaches the end of the text starts
again at its beginning, and only there (and at cold starts) is its state to be reset.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED
from training.errors import InputError


@dataclass(frozen=True)
class Window:
    """What N streams read in one step of training."""

    previous: NDArray[np.int32]  # [N, T] the symbol before each target; RESERVED at a row's cold start
    targets: NDArray[np.int32]  # [N, T]
    reset: NDArray[np.bool_]  # [N] rows whose state is to be zero before this window


class Windows:
    """An endless sequence of windows over a text, resumable from `position()`."""

    def __init__(self, ids: NDArray[Any], *, batch_size: int, window: int, cold_start: float, seed: int) -> None:
        """Read `ids` [characters] in `batch_size` streams; `cold_start` is the chance a row starts cold at a window.

        `ids` may be of any integer type and mapped from disk: only what a window shows is ever copied.

        Raises:
            InputError: the text is shorter than one window for each stream.
        """
        require_windows(len(ids), batch_size=batch_size, window=window)
        self._ids = ids
        self._window = window
        self._cold_start = cold_start
        self._starts = np.arange(batch_size, dtype=np.int64) * len(ids) // batch_size
        self._begun = False
        self._generator = np.random.Generator(np.random.PCG64(seed))

    @property
    def per_epoch(self) -> int:
        """Windows after which every stream has read its share of the text."""
        return len(self._ids) // (len(self._starts) * self._window)

    def next(self) -> Window:
        """The next window of every stream."""
        at_end = self._starts + self._window > len(self._ids)
        self._starts[at_end] = 0
        reset = (self._starts == 0) | (self._generator.random(len(self._starts)) < self._cold_start)
        if not self._begun:
            reset[:] = True
            self._begun = True
        targets = self._ids[self._starts[:, None] + np.arange(self._window)].astype(np.int32)
        # A reset row has nothing before it; index -1 of row 0 is read but never used.
        before = np.where(reset, RESERVED, self._ids[self._starts - 1])
        previous = np.concatenate([before[:, None], targets[:, :-1]], axis=1, dtype=np.int32)
        self._starts += self._window
        return Window(previous, targets, reset)

    def position(self) -> dict[str, Any]:
        """All that decides which windows come next, as plain values for JSON."""
        return {
            "starts": self._starts.tolist(),
            "begun": self._begun,
            "generator": self._generator.bit_generator.state,
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Go on exactly where `position()` was taken."""
        self._starts = np.array(position["starts"], dtype=np.int64)
        self._begun = position["begun"]
        self._generator.bit_generator.state = position["generator"]


def require_windows(characters: int, *, batch_size: int, window: int) -> None:
    """Make sure that a training part of so many characters has a window for each stream.

    Raises:
        InputError: it has not.
    """
    if characters < batch_size * window:
        raise InputError(
            f"The training part has {characters:,} characters, but {batch_size} streams (--batch-size) of one "
            f"{window}-character window (--window) need {batch_size * window:,}: lower one of the two."
        )
