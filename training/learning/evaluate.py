"""Nats and bits per character, the state carried through the whole text from a cold start."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED

WINDOW = 1000

Reader = Callable[[NDArray[np.int32], NDArray[np.int32], Any], tuple[NDArray[np.float32], Any]]
"""(previous [T], targets [T], state) -> (nats of each target [T], state after them), for one stream."""


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


def evaluate(read: Reader, cold_state: Any, ids: NDArray[Any]) -> Loss:
    """The loss over a text's ids [characters]: one stream reads them in order and every one is counted."""
    last, state, total = np.array([RESERVED]), cold_state, 0.0
    for start in range(0, len(ids), WINDOW):
        targets = np.asarray(ids[start : start + WINDOW], np.int32)
        nats, state = read(np.concatenate([last, targets[:-1]], dtype=np.int32), targets, state)
        last, total = targets[-1:], total + float(nats.sum(dtype=np.float64))
    return Loss(total / len(ids), len(ids))
