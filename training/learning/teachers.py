"""Trained networks write text for another network to learn from, with the probability of each next symbol.

The mean of several networks' probabilities predicts better than each of them, and a network that learns the mean keeps
much of the gain (Hinton et al. 2015, arXiv 1503.02531). It learns on text that the networks wrote: on the text that
they were trained on, their probabilities are too sure (docs/experiments.md).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.data.teacher_text import IDS, PROBABILITIES
from training.data.vocabulary import RESERVED
from training.errors import InputError
from training.learning.stages import Stages
from training.network.network import Network, state_shape

MAX_PASSAGES = 512
LENGTH = 2000  # at least, of a passage, where the text is longer


class Ensemble:
    """Networks over the same V symbols. Their probabilities are averaged."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self.symbols = networks[0].symbols
        self.draw = tf.function(self._draw, autograph=False)

    def initial_states(self, rows: int) -> list[NDArray[np.float32]]:
        """Zeros [S, N, H] for each network."""
        return [np.zeros(state_shape(network.config, rows), np.float32) for network in self._networks]

    def _draw(self, previous: Any, states: Any, uniforms: Any) -> tuple[Any, Any, Any]:
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


def write_text(
    ensemble: Ensemble,
    folder: Path,
    *,
    characters: int,
    window: int,
    dtype: np.dtype[Any],
    seed: int,
    stages: Stages,
) -> None:
    """Write about so many symbols, in passages, into `folder` for `TeacherText.open`.

    Args:
        ensemble: the networks that write.
        folder: is created.
        characters: at most; the passages have equal lengths.
        window: T of the run, the shortest passage.
        dtype: of an id in the file.
        seed: of the draws.
        stages: shows progress.

    Raises:
        InputError: there are fewer characters than a window has.
    """
    if characters < window:
        raise InputError(f"--teacher-chars must be at least --window, {window}, not {characters}.")
    passages = max(1, min(MAX_PASSAGES, characters // max(LENGTH, window)))
    length = characters // passages
    folder.mkdir()
    shape = (passages, length)
    ids = np.lib.format.open_memmap(folder / IDS, "w+", dtype, shape)
    probabilities = np.lib.format.open_memmap(folder / PROBABILITIES, "w+", np.float16, (*shape, ensemble.symbols))
    generator = np.random.Generator(np.random.PCG64([seed, length]))
    previous, states = np.full(passages, RESERVED, np.int32), ensemble.initial_states(passages)
    stages.enter("writing the teachers' text", length)
    for place in range(length):
        previous, mean, states = ensemble.draw(previous, states, generator.random(passages, dtype=np.float32))
        ids[:, place], probabilities[:, place] = previous, mean
        stages.advance()
    ids.flush()
    probabilities.flush()
