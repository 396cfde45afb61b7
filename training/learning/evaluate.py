"""Nats and bits per character of a text, read as several rows at once.

A recurrent network reads one character of a row after the other, and many rows cost hardly more than one. The text is
cut into overlapping rows of one length, each row from a cold start. The first `WARM_UP` characters of a row bring its
state to where reading the whole text as one row would have it, and are counted in the row before. docs/experiments.md
has the measurements: the loss is that of one row to less than 1e-4 nats.
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
ROW_CHARS = 2 * WARM_UP  # at least: a warm-up is at most about a third of the work
WINDOW = 100  # characters of each row in one call

Reader = Callable[[NDArray[np.int32], NDArray[np.int32], Any], tuple[NDArray[np.float32], Any]]
"""(previous [N, T], targets [N, T], state) -> (nats of each target [N, T], state after them)."""
InitialState = Callable[[int], Any]
"""N -> the state of N rows that nothing came before."""


@dataclass(frozen=True)
class Loss:
    """How well a model predicts a text."""

    nats_per_char: float
    characters: int

    @property
    def bits_per_char(self) -> float:
        """The same in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """Among how many equally likely characters the choice would be as hard."""
        return math.exp(self.nats_per_char)

    def to_json(self) -> dict[str, float]:
        """As the manifest records it."""
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
    """The loss over a text's ids [characters]; every one is counted once. `rows` is for tests and measurements.

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
