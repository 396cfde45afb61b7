"""Ids -> [N, T] windows of N parallel streams, for stateful training.

In each epoch, stream i reads its share of the text window after window, so the state that it carries is always that of
the text just before. The first share of the first epoch starts at the beginning of the text. Each later epoch starts
at another offset, so the streams start elsewhere and windows are cut elsewhere. A stream that reaches the end of the
text goes on at its beginning. A state is reset at the start of an epoch, at the beginning of the text and at cold
starts.
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
    targets: NDArray[Any]  # [N, T] ids, or [N, T, V] probabilities of the next symbol
    reset: NDArray[np.bool_]  # [N] streams whose state is set to zero before this window


class Windows:
    """An endless sequence of windows over a text, which `seek` resumes at a `position()`."""

    def __init__(self, ids: NDArray[Any], *, batch_size: int, window: int, cold_start: float, seed: int) -> None:
        """Create the windows of a text.

        Args:
            ids: [symbols] of any integer type; may be memory-mapped or EncodedParts: only each window is copied.
            batch_size: N, the number of streams.
            window: T, symbols of a window.
            cold_start: Probability of resetting a stream's state at the start of a window.
            seed: Of cold starts and offsets.

        Raises:
            InputError: The text is shorter than one window for each stream.
        """
        require_windows(len(ids), batch_size=batch_size, window=window)
        self.streams = slice(None)  # whose symbols are read; in a window, those of the other streams are RESERVED
        self._ids = ids
        self._streams = batch_size
        self._window = window
        self._cold_start = cold_start
        self._seed = seed
        self._starts = self._starts_of(0)
        # Windows so far. None if an older Charloom began the run: its streams read on without offsets.
        self._taken: int | None = 0
        self._generator = np.random.Generator(np.random.PCG64(seed))

    @property
    def per_epoch(self) -> int:
        """Windows in which every stream reads its share of the text."""
        return len(self._ids) // (self._streams * self._window)

    def next(self) -> Window:
        """The next window of every stream."""
        is_new_epoch = self._taken is not None and self._taken % self.per_epoch == 0
        if self._taken is not None:
            if is_new_epoch:
                self._starts = self._starts_of(self._taken // self.per_epoch)
            self._taken += 1
        at_end = self._starts + self._window > len(self._ids)
        self._starts[at_end] = 0
        reset = (self._starts == 0) | (self._generator.random(self._streams) < self._cold_start) | is_new_epoch
        symbols = np.full((self._streams, 1 + self._window), RESERVED, np.int32)
        positions = self._starts[self.streams, None] + np.arange(-1, self._window)
        symbols[self.streams] = self._ids[np.maximum(positions, 0)]  # no symbol is before the start of the text
        symbols[reset, 0] = RESERVED
        self._starts += self._window
        return Window(symbols[:, :-1], symbols[:, 1:], reset)

    def position(self) -> dict[str, Any]:
        """The state of the sequence, as plain values for JSON."""
        return {
            "starts": self._starts.tolist(),
            "taken": self._taken,
            "generator": self._generator.bit_generator.state,
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Continue with the window that came next when `position()` was called, also by an older Charloom."""
        self._starts = np.array(position["starts"], dtype=np.int64)
        self._taken = position["taken"] if "taken" in position else None if position["begun"] else 0
        self._generator.bit_generator.state = position["generator"]

    def _starts_of(self, epoch: int) -> NDArray[np.int64]:
        """[N] where each stream starts in an epoch.

        The characters that are left over when each stream has read its share lie between the shares: evenly in the
        first epoch and at random later, so that other places of the text share a batch.
        """
        share = self.per_epoch * self._window
        left_over = len(self._ids) - self._streams * share
        offset, gaps = 0, np.arange(self._streams, dtype=np.int64) * left_over // self._streams
        if epoch:
            generator = np.random.Generator(np.random.PCG64([self._seed, epoch]))
            offset = int(generator.integers(len(self._ids)))
            gaps = np.sort(generator.integers(left_over + 1, size=self._streams))
        return (offset + np.arange(self._streams) * share + gaps) % len(self._ids)


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
