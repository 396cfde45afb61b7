"""Nats and bits per character of a text, read as several rows at once.

A recurrent network reads the characters of a row one after the other, and many rows take little longer than one. The
text is cut into overlapping rows of equal length, each starting from the initial state. The first `WARM_UP` characters
of a row only bring its state close to that of reading the text as one row; they are counted in the row before. The loss
differs from that of one row by less than 1e-4 nats (docs/experiments.md).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED
from training.learning.stages import Stages

ROWS = 32  # at most
WARM_UP = 500  # characters
ROW_CHARS = 2 * WARM_UP  # at least, so that the warm-up is at most about a third of the work
WINDOW = 100  # characters of each row in one call

Reader = Callable[[NDArray[np.int32], NDArray[np.int32], Any], tuple[NDArray[np.float32], Any]]
"""(previous [N, T], targets [N, T], state [S, N, H]) -> (nats of each target [N, T], state after them)."""
InitialState = Callable[[int], Any]
"""N -> the state [S, N, H] of N rows before their first character."""


@dataclass(frozen=True)
class Loss:
    """The loss of a model on a text."""

    nats_per_char: float
    characters: int

    @property
    def bits_per_char(self) -> float:
        """The loss in bits per character."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters that would give the same loss."""
        return math.exp(self.nats_per_char)

    def to_json(self) -> dict[str, float]:
        """The fields of the manifest."""
        return {
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.bits_per_char,
            "characters": self.characters,
        }


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
    windows = range(0, length, WINDOW)
    stages.enter(stage, len(windows))
    last, state, total = np.full((rows, 1), RESERVED, np.int32), initial_state(rows), 0.0
    for begin in windows:
        offsets = np.arange(begin, begin + WINDOW)
        at = starts[:, None] + offsets
        counted = (at < len(ids)) & (offsets < length) & ((starts == 0)[:, None] | (offsets >= WARM_UP))
        targets = np.asarray(ids[np.minimum(at, len(ids) - 1)], np.int32)
        nats, state = read(np.concatenate([last, targets[:, :-1]], axis=1), targets, state)
        last, total = targets[:, -1:], total + float(nats[counted].sum(dtype=np.float64))
        stages.advance()
    return Loss(total / len(ids), len(ids))
