"""What a person sees while a network learns: a bar, a line and a sample at each evaluation. Decides nothing."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.data.vocabulary import RESERVED, Vocabulary

SAMPLE_CHARACTERS = 300
SAMPLE_TEMPERATURE = 0.8

LogitsOf = Callable[[NDArray[np.int32], Any], tuple[NDArray[np.float32], Any]]
"""(previous [1, 1], state) -> (logits [V], state)."""


class Progress:
    """A progress bar over the characters of a run (on a terminal) and a few lines at each evaluation."""

    def __init__(self, total_chars: int, chars_seen: int) -> None:
        self._bar = tqdm(
            total=total_chars,
            initial=chars_seen,
            unit="char",
            unit_scale=True,
            dynamic_ncols=True,
            disable=None,  # None: only where stderr is a terminal
        )

    def step(self, chars: int, nats_per_char: float) -> None:
        """One optimisation step over `chars` characters is done."""
        self._bar.set_postfix_str(f"{nats_per_char / math.log(2):.3f} bits/char", refresh=False)
        self._bar.update(chars)

    def evaluation(self, record: dict[str, Any], *, best: bool) -> None:
        """An evaluation is done; `record` is its line of history.jsonl."""
        nats = record["validation_nats_per_char"]
        self._bar.write(
            f"epoch {record['epoch']:.2f}, step {record['step']}: "
            f"training {record['training_nats_per_char']:.4f}, validation {nats:.4f} nats/char "
            f"({nats / math.log(2):.4f} bits/char{', the best so far' if best else ''})\n"
            f"{record['sample']}\n"
        )

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()


def sample_text(logits_of: LogitsOf, cold_state: Any, vocabulary: Vocabulary, generator: np.random.Generator) -> str:
    """A sample from a cold start, to watch the text become what it was trained on."""
    previous, state, ids = RESERVED, cold_state, []
    for _ in range(SAMPLE_CHARACTERS):
        logits, state = logits_of(np.array([[previous]], np.int32), state)
        scaled = logits.astype(np.float64) / SAMPLE_TEMPERATURE
        scaled[RESERVED] = -np.inf
        probabilities = np.exp(scaled - scaled.max())
        previous = int(generator.choice(len(probabilities), p=probabilities / probabilities.sum()))
        ids.append(previous)
    return vocabulary.decode(ids)
