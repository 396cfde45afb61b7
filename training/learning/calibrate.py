"""How much too sure of itself a network is once its dropout is off.

A network that learned with dropout is more certain without it than the text warrants, and most of all on text that it
did not learn from. One number, by which its logits are multiplied, mends most of that. It is fitted on the beginning of
the training part, which no gradient sees: so validation stays unseen, and the number is that of unseen text (Guo et
al. 2017, arXiv 1706.04599; Melis et al. 2017, arXiv 1707.05589, tune the same number).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED
from training.learning.stages import Stages
from training.learning.step import next_symbol_losses

STREAMS = 50
CHARACTERS = 1000  # of each stream
WINDOW = 100
MAX_LOGITS = 16_000_000  # in all: fewer streams where there are many symbols
SCALES = [round(0.70 + 0.01 * i, 2) for i in range(51)]

Step = Callable[[NDArray[np.int32], Any], tuple[tf.Tensor, Any]]
"""(previous [N, T], state) -> (logits [N, T, V], state)."""


def logit_scale(
    step: Step,
    initial_state: Callable[[int], Any],
    ids: NDArray[Any],
    *,
    symbols: int,
    stages: Stages | None = None,
) -> float:
    """The factor, to two decimals, under which a network over V `symbols` predicts `ids` [characters] best.

    At most the first 50,000 are read, as parallel streams; `initial_state(N)` is the state of N streams before them.

    Raises:
        Stopped: `stages` was asked to stop.
    """
    stages = stages or Stages()
    characters = min(CHARACTERS, len(ids))
    streams = max(1, min(STREAMS, len(ids) // characters, MAX_LOGITS // (characters * symbols)))
    targets = np.asarray(ids[: streams * characters], np.int32).reshape(streams, characters)
    previous = np.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=RESERVED)
    state, losses = initial_state(streams), np.zeros(len(SCALES))
    windows = range(0, characters, WINDOW)
    stages.enter("calibration", len(windows))
    for start in windows:
        window = slice(start, start + WINDOW)
        logits, state = step(previous[:, window], state)
        losses += [float(tf.reduce_sum(next_symbol_losses(logits * s, targets[:, window]))) for s in SCALES]
        stages.advance()
    return SCALES[losses.argmin()]
