"""The training run: takes a configuration and a text, keeps itself in a folder, ends with the best weights.

    runs/<name>/run.json          the plan: configuration and corpus (folder.py)
    runs/<name>/checkpoint.npz    how far it is
    runs/<name>/history.jsonl     one line per evaluation

Knows nothing of artifacts or versions.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.corpus import Corpus, split
from training.data.vocabulary import Vocabulary
from training.data.windows import Windows
from training.errors import InputError, ReportedError
from training.files import write_atomically
from training.learning.calibrate import logit_scale
from training.learning.checkpoint import Checkpoint
from training.learning.evaluate import Loss, evaluate
from training.learning.folder import CHECKPOINT, HISTORY
from training.learning.network import NetworkWeights, build_network, scale_logits, state_shape, weights_of
from training.learning.progress import Progress, sample_text
from training.learning.step import (
    learning_rate,
    make_evaluation_step,
    make_training_step,
    next_symbol_losses,
)

SECONDS_BETWEEN_CHECKPOINTS = 60
STEPS_BETWEEN_EVALUATIONS = 25  # at least: an epoch of a small text is over before a sample of it is written


class Diverged(ReportedError):
    """The loss or its gradient is no longer a number; the last good checkpoint is untouched."""


@dataclass(frozen=True)
class Trained:
    """What a finished run hands on."""

    weights: NetworkWeights
    validation: Loss
    history: list[dict[str, Any]]


class TrainingRun:
    """A network on its way through a text. `folder` holds all that is needed to go on after a kill."""

    def __init__(self, config: TrainConfig, corpus: Corpus, vocabulary: Vocabulary, folder: Path) -> None:
        """Set up step 0.

        Raises:
            InputError: the text is too short for the configuration.
        """
        self.config = config
        self.vocabulary = vocabulary
        self.folder = folder
        ids = vocabulary.encode(corpus.text)
        parts = split(len(ids), config.split)
        self._validation_ids = ids[slice(*parts.validation)]
        if not len(self._validation_ids):
            raise InputError(f"The validation part of {len(ids):,} characters is empty: use a longer corpus.")
        self._training_ids = ids[slice(*parts.train)]
        self._windows = Windows(
            self._training_ids,
            batch_size=config.batch_size,
            window=config.window,
            cold_start=config.cold_start,
            seed=config.seed,
        )
        self._network = build_network(config, len(vocabulary))
        self._optimizer = keras.optimizers.Adam()
        self._train_step = make_training_step(self._network, self._optimizer, config.grad_clip, config.batch_size)
        self._evaluation_step = make_evaluation_step(self._network)
        self._state = self._cold_state(config.batch_size)
        self._logit_scale = 1.0
        self._best_weights: list[NDArray[Any]] = []
        self._losses: list[float] = []  # of the training steps since the last evaluation
        self.step = 0
        self.history: list[dict[str, Any]] = []

    @property
    def total_steps(self) -> int:
        """Optimisation steps of the whole run."""
        return self._windows.per_epoch * self.config.epochs

    @property
    def parameters(self) -> int:
        """Trained numbers of the network."""
        return int(self._network.count_params())

    @property
    def chars_per_step(self) -> int:
        """N times T."""
        return self.config.batch_size * self.config.window

    @property
    def best(self) -> dict[str, Any] | None:
        """The history line of the best weights so far."""
        return min(self.history, key=lambda record: record["validation_nats_per_char"], default=None)

    def take_step(self) -> float:
        """One window of every stream; returns its mean loss in nats.

        Raises:
            Diverged: the loss or the gradient is not finite.
        """
        window = self._windows.next()
        self._optimizer.learning_rate.assign(learning_rate(self.config, self.step, self.total_steps))
        loss, norm, self._state = self._train_step(window.previous, window.targets, window.fresh, self._state)
        self.step += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(
                f"Training diverged at step {self.step}: the loss is {float(loss)}, its gradient's norm {float(norm)}. "
                f"Try a lower --learning-rate (now {self.config.learning_rate:g}) or --grad-clip."
            )
        self._losses.append(float(loss))
        return float(loss)

    def is_evaluation_due(self) -> bool:
        """Every `eval_every` epochs, and at the end."""
        every = max(STEPS_BETWEEN_EVALUATIONS, round(self.config.eval_every * self._windows.per_epoch))
        return self.step % every == 0 or self.step == self.total_steps

    def evaluate(self) -> dict[str, Any]:
        """Score the validation text, draw a sample, keep the weights if they are the best; returns the history line.

        The network is scored as it would be published, its logits scaled by what suits the training text.
        """
        self._logit_scale = logit_scale(self._evaluation_step, self._cold_state, self._training_ids)
        loss = evaluate(self._read, self._cold_state(1), self._validation_ids)
        record = {
            "step": self.step,
            "epoch": self.step / self._windows.per_epoch,
            "chars_seen": self.step * self.chars_per_step,
            "training_nats_per_char": float(np.mean(self._losses)),
            "validation_nats_per_char": loss.nats_per_char,
            "logit_scale": self._logit_scale,
            "learning_rate": learning_rate(self.config, self.step - 1, self.total_steps),
            "sample": sample_text(
                self._logits_of,
                self._cold_state(1),
                self.vocabulary,
                np.random.Generator(np.random.PCG64([self.config.seed, self.step])),
            ),
        }
        self._losses = []
        self.history.append(record)
        if record is self.best:
            self._best_weights = self._network.get_weights()
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.history)
        write_atomically(self.folder / HISTORY, lines.encode())
        return record

    def result(self) -> Trained:
        """The weights of the best evaluation."""
        assert self.best is not None
        self._network.set_weights(self._best_weights)
        loss = Loss(self.best["validation_nats_per_char"], len(self._validation_ids))
        return Trained(scale_logits(weights_of(self._network), self.best["logit_scale"]), loss, self.history)

    def save(self) -> None:
        """Write the checkpoint that `restore` reads."""
        Checkpoint(
            arrays={
                "network": [variable.numpy() for variable in self._network.variables],
                "optimizer": [variable.numpy() for variable in self._optimizer.variables],
                "best": self._best_weights,
                "state": [np.asarray(self._state)],
            },
            values={
                "step": self.step,
                "windows": self._windows.position(),
                "losses": self._losses,
                "history": self.history,
            },
        ).save(self.folder / CHECKPOINT)

    def restore(self) -> None:
        """Go on from the last checkpoint, bit for bit; from step 0 where none was written yet."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        checkpoint = Checkpoint.load(path)
        for variables, name in (
            (self._network.variables, "network"),
            (self._optimizer.variables, "optimizer"),
        ):
            for variable, array in zip(variables, checkpoint.arrays[name], strict=True):
                variable.assign(array)
        self._best_weights = checkpoint.arrays.get("best", [])
        self._state = checkpoint.arrays["state"][0]
        self.step = checkpoint.values["step"]
        self._windows.seek(checkpoint.values["windows"])
        self._losses = checkpoint.values["losses"]
        self.history = checkpoint.values["history"]

    def _cold_state(self, streams: int) -> NDArray[np.float32]:
        return np.zeros(state_shape(self.config, streams), np.float32)

    def _read(self, previous: NDArray[np.int32], targets: NDArray[np.int32], state: Any) -> Any:
        logits, state = self._evaluation_step(previous[None], state)
        return next_symbol_losses(logits * self._logit_scale, targets[None]).numpy()[0], state

    def _logits_of(self, previous: NDArray[np.int32], state: Any) -> Any:
        logits, state = self._evaluation_step(previous, state)
        return logits.numpy()[0, 0] * self._logit_scale, state


def train(run: TrainingRun, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Take the run to its end. Returns False when `should_stop` asked for a stop first; the run is saved then."""
    progress = Progress(run.total_steps * run.chars_per_step, run.step * run.chars_per_step)
    saved_at = time.monotonic()
    try:
        while run.step < run.total_steps:
            progress.step(run.chars_per_step, run.take_step())
            evaluated = run.is_evaluation_due()
            if evaluated:
                record = run.evaluate()
                progress.evaluation(record, best=record is run.best)
            stop = should_stop()
            if evaluated or stop or time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                run.save()
                saved_at = time.monotonic()
            if stop and run.step < run.total_steps:
                return False
    finally:
        progress.close()
    return True
