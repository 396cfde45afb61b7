"""Ids -> [N, T] windows of N parallel streams, for stateful training.

Stream i starts at i/N of the text and reads on from there, window after window, past the start of stream i+1. So the
state that it carries is always that of the text just before. At the end of the text it starts again at the beginning.
Its state is reset only there and at cold starts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED
from training.errors import InputError


@dataclass(frozen=True)
class Window:
    """The input of N streams in one training step."""

    previous: NDArray[np.int32]  # [N, T] the symbol before each target; RESERVED after a reset
    targets: NDArray[np.int32]  # [N, T]
    reset: NDArray[np.bool_]  # [N] streams whose state is set to zero before this window


class Windows:
    """An endless sequence of windows over a text, which `seek` resumes at a `position()`."""

    def __init__(self, ids: NDArray[Any], *, batch_size: int, window: int, cold_start: float, seed: int) -> None:
        """Create the windows of a text.

        Args:
            ids: [symbols] of any integer type; may be memory-mapped, because only each window is copied.
            batch_size: N, the number of streams.
            window: T, symbols of a window.
            cold_start: Probability of resetting a stream's state at the start of a window.
            seed: Of the generator for cold starts.

        Raises:
            InputError: The text is shorter than one window for each stream.
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
        """Windows in which every stream reads its share of the text."""
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
        # Index -1 of a stream at the start of the text is read but not used.
        before = np.where(reset, RESERVED, self._ids[self._starts - 1])
        previous = np.concatenate([before[:, None], targets[:, :-1]], axis=1, dtype=np.int32)
        self._starts += self._window
        return Window(previous, targets, reset)

    def position(self) -> dict[str, Any]:
        """The state of the sequence, as plain values for JSON."""
        return {
            "starts": self._starts.tolist(),
            "begun": self._begun,
            "generator": self._generator.bit_generator.state,
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Continue with the window that came next when `position()` was called."""
        self._starts = np.array(position["starts"], dtype=np.int64)
        self._begun = position["begun"]
        self._generator.bit_generator.state = position["generator"]


def require_windows(characters: int, *, batch_size: int, window: int) -> None:
    """Check that a training part of this many characters has a window for each stream.

    Raises:
        InputError: It is too short.
    """
    if characters < batch_size * window:
        raise InputError(
            f"The training part has {characters:,} characters, but {batch_size} streams (--batch-size) of one "
            f"{window}-character window (--window) need {batch_size * window:,}: lower one of the two."
        )
