"""Samples of a network in training, and their novelty. Knows ids and logits; knows no run."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.corpus import Corpus
from training.data.vocabulary import RESERVED, Vocabulary
from training.learning.stages import Stages

SAMPLE_SYMBOLS = 300
TEMPERATURES = (0.5, 0.8, 1.0)
LINES = 200
MAX_LINE_SYMBOLS = 200  # of a line that are sampled and compared
MAX_KNOWN_SYMBOLS = 50_000_000  # in the training text, whose lines are all held in memory

LogitsOf = Callable[[NDArray[np.int32], Any], tuple[NDArray[np.float32], Any]]
"""(previous [N], state [S, N, H]) -> (logits [N, V], state)."""
InitialState = Callable[[int], Any]
"""N -> the state [S, N, H] of N streams before their first symbol."""


def sample_texts(
    logits_of: LogitsOf,
    initial_state: InitialState,
    vocabulary: Vocabulary,
    generator: np.random.Generator,
    stages: Stages | None = None,
) -> dict[str, str]:
    """One text of `SAMPLE_SYMBOLS` symbols for each of `TEMPERATURES`, without a prompt.

    Raises:
        Stopped: `stages` was asked to stop.
    """
    first = np.full(len(TEMPERATURES), RESERVED, np.int32)
    state = initial_state(len(TEMPERATURES))
    ids = _sampled(logits_of, state, first, SAMPLE_SYMBOLS, np.array(TEMPERATURES), generator, stages or Stages())
    return {str(temperature): vocabulary.decode(row) for temperature, row in zip(TEMPERATURES, ids, strict=True)}


class Novelty:
    """The share of sampled lines that a corpus of lines does not contain (as in makemore).

    Lines are equal if their first `MAX_LINE_SYMBOLS` symbols are.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._line_end = int(corpus.vocabulary.encode("\n")[0])
        self._training = set(self._lines(corpus.training))
        self._validation = set(self._lines(corpus.validation))

    @classmethod
    def of(cls, corpus: Corpus) -> "Novelty | None":
        """The novelty for this corpus; None where the text has no lines, or too many to hold in memory."""
        small = len(corpus.training) <= MAX_KNOWN_SYMBOLS
        return cls(corpus) if small and corpus.vocabulary.encode("\n")[0] != RESERVED else None

    def measure(
        self,
        logits_of: LogitsOf,
        initial_state: InitialState,
        generator: np.random.Generator,
        stages: Stages | None = None,
    ) -> dict[str, float]:
        """Sample the first line of `LINES` streams at temperature 1, and look up those that are not empty.

        More lines of a stream would count short lines more often than long ones.

        Returns:
            `lines`, their number; `in_training`, `in_validation` and `new`, their shares.

        Raises:
            Stopped: `stages` was asked to stop.
        """
        _, state = logits_of(np.full(LINES, RESERVED, np.int32), initial_state(LINES))
        first = np.full(LINES, self._line_end, np.int32)
        ids = _sampled(
            logits_of, state, first, MAX_LINE_SYMBOLS, np.ones(LINES), generator, stages or Stages(), end=self._line_end
        )
        lines = [line for row in ids if (line := next(self._lines(row)))]
        shares = {"lines": float(len(lines)), "in_training": 0.0, "in_validation": 0.0, "new": 0.0}
        for line in lines:
            known = "in_training" if line in self._training else "in_validation" if line in self._validation else "new"
            shares[known] += 1 / len(lines)
        return shares

    def _lines(self, ids: NDArray[Any]) -> Iterator[bytes]:
        """The bytes of the first ids of each line, empty lines and an unfinished last line included."""
        ends = np.flatnonzero(ids == self._line_end)
        for start, stop in zip(np.append(0, ends + 1), np.append(ends, len(ids)), strict=True):
            yield ids[start : min(stop, start + MAX_LINE_SYMBOLS)].astype(np.uint16).tobytes()


def _sampled(
    logits_of: LogitsOf,
    state: Any,
    first: NDArray[np.int32],
    length: int,
    temperatures: NDArray[np.float64],
    generator: np.random.Generator,
    stages: Stages,
    end: int = RESERVED,
) -> NDArray[np.int32]:
    """Symbols [N, length] sampled by N streams that start with `first` [N]; id 0 is never sampled.

    They are fewer than `length` where every stream has sampled `end` before.
    """
    previous, columns, ended = first, [], np.zeros(len(first), np.bool_)
    stages.enter("sampling", length)
    for _ in range(length):
        logits, state = logits_of(previous, state)
        scaled = logits.astype(np.float64) / temperatures[:, None]
        scaled[:, RESERVED] = -np.inf
        # Gumbel-max trick: the argmax of logits plus Gumbel noise is a sample from their softmax.
        previous = (scaled + generator.gumbel(size=scaled.shape)).argmax(axis=1).astype(np.int32)
        columns.append(previous)
        stages.advance()
        ended |= previous == end
        if ended.all():
            break
    return np.stack(columns, axis=1)
