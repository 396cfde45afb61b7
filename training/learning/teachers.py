"""Trained networks compute targets for another network: probabilities of each next symbol.

The mean of several networks' probabilities predicts better than each of them, and a network that learns from them keeps
a part of the gain (Hinton et al. 2015, arXiv 1503.02531). On text that a network was trained on, its probabilities are
too sure. So each part of the corpus is labelled by a network that has not seen it, and all together write a text
(docs/experiments.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED
from training.learning.stages import Stages
from training.network.network import Network, state_shape

WARM_UP, WINDOW = 500, 100


@dataclass(frozen=True)
class Teacher:
    """A network with trained weights, and the blocks [start, stop) of the training part that it has not seen."""

    network: Network
    blocks: Sequence[tuple[int, int]]


def predict(teacher: Teacher, ids: NDArray[Any], probabilities: NDArray[np.float16], stages: Stages) -> None:
    """Write the probabilities of the symbols in the blocks that a teacher has not seen.

    Each block is a stream, after the `WARM_UP` symbols before it; without them at the text's start.

    Args:
        teacher: predicts.
        ids: [symbols] of the training part.
        probabilities: [at most symbols, V] of the last symbols, is written to.
        stages: shows progress.
    """
    begins, ends = np.array(teacher.blocks).T[:, :, None]
    # The text's start is the start of a window, before which the state is reset.
    starts = np.where(begins < WARM_UP, begins - begins % WINDOW, begins)
    longest, skipped = int(np.max(ends - starts)), len(ids) - len(probabilities)
    read = tf.function(teacher.network, autograph=False, reduce_retracing=True)
    state: Any = np.zeros(state_shape(teacher.network.config, len(begins)), np.float32)
    stages.enter("labelling the text", longest + WARM_UP)
    for step in range(-WARM_UP, longest, WINDOW):
        places = starts + np.arange(step, min(step + WINDOW, 0 if step < 0 else longest))
        inside = (places > 0) & (places <= ends)
        previous = np.where(inside, ids[np.where(inside, places - 1, 0)], RESERVED).astype(np.int32)
        logits, state = read(previous, state)
        state = tf.where(places[None, :, -1:] < 0, 0.0, state)  # before the text
        if step >= 0:
            labelled = (places >= begins) & (places < ends)
            probabilities[places[labelled] - skipped] = tf.nn.softmax(logits).numpy()[labelled]
        stages.advance(places.shape[1])


class Ensemble:
    """Networks over the same V symbols. Their probabilities are averaged."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self.symbols = networks[0].symbols
        self._draw = tf.function(self._drawn, autograph=False)

    def write(
        self, ids: NDArray[Any], probabilities: NDArray[np.float16], generator: np.random.Generator, stages: Stages
    ) -> None:
        """Write a text.

        Args:
            ids: [passages, length], is written to. Each passage starts without a context.
            probabilities: [passages, length, V] of the symbol at each place, is written to.
            generator: of the draws.
            stages: shows progress.
        """
        passages, length = ids.shape
        previous: Any = np.full(passages, RESERVED, np.int32)
        states: Any = [np.zeros(state_shape(network.config, passages), np.float32) for network in self._networks]
        stages.enter("writing a text", length)
        for place in range(length):
            previous, mean, states = self._draw(previous, states, generator.random(passages, dtype=np.float32))
            ids[:, place], probabilities[:, place] = previous, mean
            stages.advance()

    def _drawn(self, previous: Any, states: Any, uniforms: Any) -> tuple[Any, Any, Any]:
        """Draw the symbols [N] after `previous` [N] with `uniforms` [N].

        Returns:
            The symbols, the probabilities [N, V] in float16, and the states after `previous`.
        """
        read = [network(previous[:, None], state) for network, state in zip(self._networks, states, strict=True)]
        mean = tf.add_n([tf.nn.softmax(logits[:, 0]) for logits, _ in read]) / len(read)
        sums = tf.cumsum(mean[:, RESERVED + 1 :], axis=1)  # id 0 is never drawn
        below = tf.cast(sums <= uniforms[:, None] * sums[:, -1:], tf.int32)
        drawn = tf.minimum(RESERVED + 1 + tf.reduce_sum(below, axis=1), self.symbols - 1)
        return drawn, tf.cast(mean, tf.float16), [state for _, state in read]
