"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): one factor on the logits, fitted after training.

A network trained with dropout is overconfident once dropout is off, most of all on text that it was not trained on. One
factor on its logits corrects most of that (Melis et al. 2017, arXiv 1707.05589, tune the same number). It is fitted on
the beginning of the training part, which no gradient uses: the factor is that of unseen text, and the validation text
is not used twice.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED
from training.learning.stages import Stages

STREAMS = 50
CHARACTERS = 1000  # of each stream, at most
WINDOW = 100
MAX_LOGITS = 16_000_000  # of all streams: a large vocabulary gets fewer streams
SCALES = [round(0.70 + 0.01 * i, 2) for i in range(51)]

Step = Callable[[NDArray[np.int32], Any], tuple[Any, Any]]
"""(previous [N, T], state [S, N, H]) -> (logits [N, T, V], state)."""
Losses = Callable[[Any, NDArray[np.int32]], Any]
"""(logits [N, T, V], targets [N, T]) -> nats of each target [N, T]."""


def logit_scale(
    step: Step,
    losses: Losses,
    initial_state: Callable[[int], Any],
    ids: NDArray[Any],
    *,
    symbols: int,
    stages: Stages | None = None,
) -> float:
    """The factor on the logits, one of `SCALES`, that gives the lowest loss on a text.

    Args:
        step: computes the logits.
        losses: computes the nats of each target from logits.
        initial_state: N -> the state of N streams before their first character.
        ids: the text [characters]; at most the first 50,000 are read, as parallel streams.
        symbols: V, the size of the vocabulary.
        stages: shows progress and asks for a stop.

    Raises:
        Stopped: `stages` was asked to stop.
    """
    stages = stages or Stages()
    characters = min(CHARACTERS, len(ids))
    streams = max(1, min(STREAMS, len(ids) // characters, MAX_LOGITS // (characters * symbols)))
    targets = np.asarray(ids[: streams * characters], np.int32).reshape(streams, characters)
    previous = np.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=RESERVED)
    state, totals = initial_state(streams), np.zeros(len(SCALES))
    windows = range(0, characters, WINDOW)
    stages.enter("calibration", len(windows))
    for start in windows:
        window = slice(start, start + WINDOW)
        logits, state = step(previous[:, window], state)
        totals += [float(ops.sum(losses(logits * s, targets[:, window]))) for s in SCALES]
        stages.advance()
    return SCALES[totals.argmin()]
