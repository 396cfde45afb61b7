"""Nats and bits per character of a text, read as several rows at once.

A recurrent network reads the characters of a row one after the other, and many rows take little longer than one. The
text is cut into overlapping rows of equal length, each starting from the initial state. The first `WARM_UP` characters
of a row only bring its state close to that of reading the text as one row; they are counted in the row before. The loss
differs from that of one row by less than 1e-4 nats (docs/experiments.md).

`evaluate_cold` reads short windows from the initial state instead, as nanoGPT does.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED
from training.learning.stages import Stages

ROWS = 32  # at most
WARM_UP = 500  # characters
ROW_CHARS = 2 * WARM_UP  # at least, so that the warm-up is at most about a third of the work
WINDOW = 100  # characters of each row in one call
BLOCK = 1000  # characters; the standard error is computed from the losses of such blocks
COLD_WINDOW = 256  # characters, nanoGPT's block_size

Reader = Callable[[NDArray[np.int32], NDArray[np.int32], Any], tuple[NDArray[np.float32], Any]]
"""(previous [N, T], targets [N, T], state [S, N, H]) -> (nats of each target [N, T], state after them)."""
InitialState = Callable[[int], Any]
"""N -> the state [S, N, H] of N rows before their first character."""


@dataclass(frozen=True)
class Loss:
    """The loss of a model on a text."""

    nats_per_char: float
    characters: int
    blocks: tuple[float, ...] = field(default=(), compare=False, repr=False)
    """Nats per character of each complete block of the text, or of each cold window."""

    @property
    def bits_per_char(self) -> float:
        """The loss in bits per character."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters that would give the same loss."""
        return math.exp(self.nats_per_char)

    @property
    def standard_error(self) -> float:
        """Standard error of the loss, as if blocks were independent; nan for fewer than two."""
        return _standard_error(self.blocks)

    def to_json(self) -> dict[str, float]:
        """The fields of the manifest."""
        return {
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.bits_per_char,
            "characters": self.characters,
        }


def difference(one: Loss, other: Loss) -> tuple[float, float]:
    """The loss of `one` minus that of `other` on the same text, and the standard error by paired blocks."""
    paired = [a - b for a, b in zip(one.blocks, other.blocks, strict=True)]
    return one.nats_per_char - other.nats_per_char, _standard_error(paired)


def _standard_error(values: Sequence[float]) -> float:
    count = len(values)
    return float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.nan


def evaluate(
    read: Reader,
    initial_state: InitialState,
    ids: NDArray[Any],
    *,
    stages: Stages | None = None,
    stage: str = "evaluation",
    rows: int | None = None,
) -> Loss:
    """The mean loss over a text's ids [characters]; each is counted once.

    Args:
        read: computes the nats of each target.
        initial_state: makes the state of the rows before their first character.
        ids: the text, of any integer type.
        stages: shows progress and asks for a stop.
        stage: the name of this stage.
        rows: the number of rows, for tests and measurements; by default it follows from the length of the text.

    Raises:
        Stopped: `stages` was asked to stop.
    """
    stages = stages or Stages()
    rows = rows or max(1, min(ROWS, len(ids) // ROW_CHARS))
    stride = math.ceil(max(0, len(ids) - WARM_UP) / rows)
    length = stride + WARM_UP if rows > 1 else len(ids)
    starts = np.arange(rows) * stride
    stages.enter(stage, math.ceil(length / WINDOW))
    total, blocks = 0.0, np.zeros(len(ids) // BLOCK + 1)
    for offsets, at, nats in _read_rows(read, initial_state, ids, starts, length):
        counted = (at < len(ids)) & (offsets < length) & ((starts == 0)[:, None] | (offsets >= WARM_UP))
        total += float(nats[counted].sum(dtype=np.float64))
        np.add.at(blocks, at[counted] // BLOCK, nats[counted])
        stages.advance()
    return Loss(total / len(ids), len(ids), tuple((blocks[:-1] / BLOCK).tolist()))


def evaluate_cold(read: Reader, initial_state: InitialState, ids: NDArray[Any]) -> Loss | None:
    """The mean loss over all disjoint windows of `COLD_WINDOW` characters, each read from the initial state.

    As in nanoGPT, the network knows one character before a window: it is read first and not counted. nanoGPT draws its
    windows at random; here they cover the text, and its end, if it is shorter than a window, is left out.

    Args:
        read: computes the nats of each target.
        initial_state: makes the state of the rows before their first character.
        ids: the text, of any integer type.

    Returns:
        The loss, with that of each window as `blocks`; None for a text that is shorter than a window.
    """
    starts, windows = np.arange(0, len(ids) - COLD_WINDOW, COLD_WINDOW), list[float]()
    for first in range(0, len(starts), ROWS):
        rows = starts[first : first + ROWS]
        sums = np.zeros(len(rows))
        for offsets, _, nats in _read_rows(read, initial_state, ids, rows, COLD_WINDOW + 1):
            sums += nats[:, (offsets > 0) & (offsets <= COLD_WINDOW)].sum(axis=1, dtype=np.float64)
        windows += (sums / COLD_WINDOW).tolist()
    return Loss(float(np.mean(windows)), COLD_WINDOW * len(windows), tuple(windows)) if windows else None


def _read_rows(
    read: Reader, initial_state: InitialState, ids: NDArray[Any], starts: NDArray[np.intp], length: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]]:
    """Read rows of `length` characters that begin at `starts` [N], window by window, with the state carried.

    Yields:
        The offsets [T] of a window in its row, the positions [N, T] of its characters in the text, and their nats
        [N, T]. What lies past the end of the row or of the text must not be counted.
    """
    last, state = np.full((len(starts), 1), RESERVED, np.int32), initial_state(len(starts))
    for begin in range(0, length, WINDOW):
        offsets = np.arange(begin, begin + WINDOW)
        at = starts[:, None] + offsets
        targets = np.asarray(ids[np.minimum(at, len(ids) - 1)], np.int32)
        nats, state = read(np.concatenate([last, targets[:, :-1]], axis=1), targets, state)
        last = targets[:, -1:]
        yield offsets, at, nats
