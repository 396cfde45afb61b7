"""Measures a network while it learns: temperature scaling, the loss on the validation text, samples and their novelty.

Knows the trainer and the text; knows no step, history or checkpoint.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.learning.calibrate import logit_scale
from training.learning.evaluate import Loss, evaluate
from training.learning.samples import Novelty, sample_texts
from training.learning.stages import Stages
from training.learning.trainer import Trainer
from training.network.network import state_shape


class Validation:
    """Measures the network of `trainer` as it would be published: with its logits multiplied by `logit_scale`."""

    def __init__(self, config: TrainConfig, corpus: Corpus, trainer: Trainer, stages: Stages) -> None:
        self._config, self._corpus, self._trainer, self._stages = config, corpus, trainer, stages
        self._held_out_characters = config.held_out(len(corpus.training))
        self._novelty = Novelty.of(corpus) if config.split_by == "line" else None
        self.logit_scale = 1.0

    @cached_property
    def ids(self) -> NDArray[Any]:
        """The validation text. Of encoded parts it is fetched here, once, and so only by a worker that evaluates."""
        return np.asarray(self._corpus.validation[: self._config.eval_chars])

    @cached_property
    def _held_out(self) -> NDArray[Any]:
        return np.asarray(self._corpus.training[: self._held_out_characters])

    @property
    def characters(self) -> int:
        """The number of characters that one call of `loss` reads."""
        return min(len(self._corpus.validation), self._config.eval_chars) + self._held_out_characters

    def loss(self) -> Loss:
        """Fit `logit_scale` to the held-out text, and compute the loss on the validation text under it.

        Raises:
            Stopped: the run's stages were asked to stop.
        """
        if self._held_out_characters:
            symbols, stages = len(self._corpus.vocabulary), self._stages
            self.logit_scale = logit_scale(
                self._trainer.read,
                self._trainer.losses,
                self.initial_state,
                self._held_out,
                symbols=symbols,
                stages=stages,
            )
        return evaluate(self.read, self.initial_state, self.ids, stages=self._stages)

    def samples(self, generator: np.random.Generator) -> dict[str, Any]:
        """The `samples`, and for a corpus of lines their `novelty`, of a line of history.jsonl.

        Raises:
            Stopped: the run's stages were asked to stop.
        """
        vocabulary, stages = self._corpus.vocabulary, self._stages
        found: dict[str, Any] = {
            "samples": sample_texts(self._logits_of, self.initial_state, vocabulary, generator, stages)
        }
        if self._novelty:
            found["novelty"] = self._novelty.measure(self._logits_of, self.initial_state, generator, stages)
        return found

    def initial_state(self, rows: int) -> NDArray[np.float32]:
        """Zeros [S, N, H] for N rows."""
        return np.zeros(state_shape(self._config, rows), np.float32)

    def read(self, previous: NDArray[np.int32], targets: NDArray[np.int32], state: Any) -> Any:
        """Nats of each target [N, T] and the state after them: a `training.learning.evaluate.Reader`."""
        logits, state = self._trainer.read(previous, state)
        return np.asarray(self._trainer.losses(logits * self.logit_scale, targets)), state

    def _logits_of(self, previous: NDArray[np.int32], state: Any) -> Any:
        logits, state = self._trainer.read(previous[:, None], state)
        return np.asarray(logits)[:, 0] * self.logit_scale, state
