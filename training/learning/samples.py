"""Texts that a network writes while it learns, and how many of them are new. Knows ids and logits; knows no run."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.corpus import Corpus
from training.data.vocabulary import RESERVED, Vocabulary
from training.learning.stages import Stages

SAMPLE_SYMBOLS = 300
TEMPERATURES = (0.5, 0.8, 1.0)
LINES = 200
LINE_STREAMS = 100
MAX_LINE_SYMBOLS = 200
MAX_KNOWN_SYMBOLS = 50_000_000  # of training lines, all held in memory to look samples up in

LogitsOf = Callable[[NDArray[np.int32], Any], tuple[NDArray[np.float32], Any]]
"""(previous [N], state) -> (logits [N, V], state)."""
InitialState = Callable[[int], Any]
"""N -> the state of N streams that nothing came before."""


def sample_texts(
    logits_of: LogitsOf,
    initial_state: InitialState,
    vocabulary: Vocabulary,
    generator: np.random.Generator,
    stages: Stages | None = None,
) -> dict[str, str]:
    """One text for each temperature, from a cold start: to watch the text become what it was trained on."""
    first = np.full(len(TEMPERATURES), RESERVED, np.int32)
    state = initial_state(len(TEMPERATURES))
    ids = _sampled(logits_of, state, first, SAMPLE_SYMBOLS, np.array(TEMPERATURES), generator, stages or Stages())
    return {str(temperature): vocabulary.decode(row) for temperature, row in zip(TEMPERATURES, ids, strict=True)}


class Novelty:
    """Which lines of samples stand in a corpus of lines already (makemore's question)."""

    def __init__(self, corpus: Corpus) -> None:
        self._line_end = int(corpus.vocabulary.encode("\n")[0])
        self._training = self._lines(corpus.training)
        self._validation = self._lines(corpus.validation)

    @classmethod
    def of(cls, corpus: Corpus) -> "Novelty | None":
        """None where the text has no lines, or too many to remember."""
        small = len(corpus.training) <= MAX_KNOWN_SYMBOLS
        return cls(corpus) if small and corpus.vocabulary.encode("\n")[0] != RESERVED else None

    def measure(
        self,
        logits_of: LogitsOf,
        initial_state: InitialState,
        generator: np.random.Generator,
        stages: Stages | None = None,
    ) -> dict[str, float]:
        """Sample lines at temperature 1; of those that ended: how many, which shares are known, which is new."""
        _, state = logits_of(np.full(LINE_STREAMS, RESERVED, np.int32), initial_state(LINE_STREAMS))
        first = np.full(LINE_STREAMS, self._line_end, np.int32)
        ones = np.ones(LINE_STREAMS)
        ids = _sampled(logits_of, state, first, MAX_LINE_SYMBOLS, ones, generator, stages or Stages())
        lines = [line for row in ids for line in self._whole_lines(row)][:LINES]
        shares = {"lines": float(len(lines)), "in_training": 0.0, "in_validation": 0.0, "new": 0.0}
        for line in lines:
            known = "in_training" if line in self._training else "in_validation" if line in self._validation else "new"
            shares[known] += 1 / len(lines)
        return shares

    def _lines(self, ids: NDArray[Any]) -> set[bytes]:
        return set(self._whole_lines(ids))

    def _whole_lines(self, ids: NDArray[Any]) -> list[bytes]:
        """Every line that ends in `ids`, but empty ones, as the bytes of its ids."""
        ends = np.flatnonzero(ids == self._line_end)
        starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
        return [ids[a:b].astype(np.uint16).tobytes() for a, b in zip(starts, ends, strict=True) if a < b]


def _sampled(
    logits_of: LogitsOf,
    state: Any,
    first: NDArray[np.int32],
    length: int,
    temperatures: NDArray[np.float64],
    generator: np.random.Generator,
    stages: Stages,
) -> NDArray[np.int32]:
    """[N, length] symbols, one stream for each of `first` [N]; id 0 is never sampled."""
    previous, columns = first, []
    stages.enter("sampling", length)
    for _ in range(length):
        logits, state = logits_of(previous, state)
        scaled = logits.astype(np.float64) / temperatures[:, None]
        scaled[:, RESERVED] = -np.inf
        # The Gumbel trick: the largest of logits plus such noise is a sample of their softmax.
        previous = (scaled + generator.gumbel(size=scaled.shape)).argmax(axis=1).astype(np.int32)
        columns.append(previous)
        stages.advance()
    return np.stack(columns, axis=1)
