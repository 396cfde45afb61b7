"""The training run: takes a configuration and a text, keeps itself in a folder, ends with the best weights.

    runs/<name>/run.json          the plan: configuration and corpus (folder.py)
    runs/<name>/corpus/           the text, encoded (data/corpus.py)
    runs/<name>/checkpoint.npz    how far it is
    runs/<name>/history.jsonl     one line per evaluation
    runs/<name>/tensorboard/      the same for TensorBoard

Knows nothing of artifacts or versions.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import jsonl
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.windows import Windows
from training.errors import ReportedError
from training.files import write_atomically
from training.learning.backend import make_trainer
from training.learning.calibrate import logit_scale
from training.learning.checkpoint import Checkpoint
from training.learning.evaluate import Loss, evaluate
from training.learning.folder import CHECKPOINT, HISTORY
from training.learning.samples import Novelty, sample_texts
from training.learning.schedule import has_ended, learning_rate
from training.learning.stages import Stages
from training.learning.step import next_symbol_losses
from training.network.network import state_shape
from training.network.weights import NetworkWeights, scale_logits, weights_of

STEPS_BETWEEN_EVALUATIONS = 25  # at least: an epoch of a small text is over before a sample of it is written
# An evaluation reads at most this share of the characters trained on since the last one: with a character read costing
# less than half of one trained on, at most a tenth of a run goes into evaluations.
EVALUATED_SHARE = 0.25


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

    def __init__(
        self, config: TrainConfig, corpus: Corpus, folder: Path, *, start_from: NetworkWeights | None = None
    ) -> None:
        """Set up step 0, with random weights or those of another network.

        Raises:
            InputError: the text is too short for the configuration, or `start_from` is of another shape.
        """
        self.config = config
        self.corpus = corpus
        self.folder = folder
        held_out = config.held_out(len(corpus.training))
        self._held_out = corpus.training[:held_out]
        self._windows = Windows(
            corpus.training[held_out:],
            batch_size=config.batch_size,
            window=config.window,
            cold_start=config.cold_start,
            seed=config.seed,
        )
        self.trainer = make_trainer(config, len(corpus.vocabulary), start_from)
        self._novelty = Novelty.of(corpus) if config.split_by == "line" else None
        self._state: Any = self._cold_state(config.batch_size)
        self._logit_scale = 1.0
        self._best_weights: list[NDArray[Any]] = []
        self._losses: list[float] = []  # of the training steps since the last evaluation
        self._seconds = 0.0  # that they took
        self.stages = Stages()
        self.step = 0
        self.history: list[dict[str, Any]] = []

    @property
    def steps_per_epoch(self) -> int:
        """Windows of each stream."""
        return self._windows.per_epoch

    @property
    def total_steps(self) -> int:
        """Optimisation steps of the whole run, if nothing stops it early."""
        return self.config.total_steps(self._windows.per_epoch)

    @property
    def is_finished(self) -> bool:
        """All epochs are read, or `patience` evaluations in a row brought no new best."""
        return has_ended(self.config, self.step, self.total_steps, self._validation_losses)

    @property
    def parameters(self) -> int:
        """Trained numbers of the network."""
        return int(self.trainer.network.count_params())

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
        started = time.monotonic()
        loss: float
        loss, norm, self._state = self.trainer.train(
            self._windows.next(), self._state, rate=self._learning_rate(self.step), step=self.step
        )
        self.step += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._diverged(f"the loss is {loss}, its gradient's norm {norm}")
        self._losses.append(loss)
        self._seconds += time.monotonic() - started
        return loss

    def is_evaluation_due(self) -> bool:
        """Every `eval_every` epochs, less often where that would take too long, and at the end; once at a step."""
        if self.step in (0, self.history[-1]["step"] if self.history else 0):
            return False
        read = len(self._scored) + len(self._held_out)
        fewest = math.ceil(read / EVALUATED_SHARE / self.chars_per_step)
        every = max(STEPS_BETWEEN_EVALUATIONS, fewest, round(self.config.eval_every * self._windows.per_epoch))
        return self.step % every == 0 or self.step == self.total_steps

    def evaluate(self) -> dict[str, Any]:
        """Score the validation text, draw samples, keep the weights if they are the best; returns the history line.

        The network is scored as it would be published: its weights averaged, its logits scaled by what suits the text
        that was held out of training for it.

        Raises:
            Diverged: the loss is not finite.
            Stopped: `stages` was asked to stop; the run is as it was before, and this evaluation still due.
        """
        with self.trainer.averaged():
            record = self.score()
            self.history.append(record)
            if record is self.best:
                self._best_weights = [variable.numpy() for variable in self.trainer.network.variables]
        self._losses, self._seconds = [], 0.0
        self.stages.forget()
        write_atomically(self.folder / HISTORY, "".join(map(jsonl.line, self.history)).encode())
        return record

    def score(self) -> dict[str, Any]:
        """What `evaluate` measures: the history line of the network as it is. Changes nothing of the run."""
        self._logit_scale = self._fitted_logit_scale()
        loss = evaluate(self._read, self._cold_state, self._scored, stages=self.stages)
        if not math.isfinite(loss.nats_per_char):
            raise self._diverged(f"the validation loss is {loss.nats_per_char}")
        return self._measured(loss)

    def result(self) -> Trained:
        """The weights of the best evaluation."""
        assert self.best is not None
        network = self.trainer.network
        for variable, array in zip(network.variables, self._best_weights, strict=True):
            variable.assign(array)
        loss = Loss(self.best["validation_nats_per_char"], len(self._scored))
        return Trained(scale_logits(weights_of(network), self.best["logit_scale"]), loss, self.history)

    def save(self) -> None:
        """Write the checkpoint that `restore` reads."""
        self.stages.switch("saving")
        variables = {name: (variable.numpy() for variable in group) for name, group in self.trainer.variables.items()}
        Checkpoint(
            arrays=variables | {"best": self._best_weights, "state": [np.asarray(self._state)]},
            values={
                "step": self.step,
                "windows": self._windows.position(),
                "losses": self._losses,
                "seconds": self._seconds,
                "history": self.history,
                "stages": {"seconds": self.stages.seconds, "elapsed_seconds": self.stages.elapsed_seconds},
            },
        ).save(self.folder / CHECKPOINT)

    def restore(self) -> None:
        """Go on from the last checkpoint, bit for bit; from step 0 where none was written yet."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        checkpoint = Checkpoint.load(path)
        for name, variables in self.trainer.variables.items():
            for variable, array in zip(variables, checkpoint.arrays.get(name, []), strict=True):
                variable.assign(array)
        self._best_weights = list(checkpoint.arrays.get("best", []))
        (self._state,) = checkpoint.arrays["state"]
        self.step = checkpoint.values["step"]
        self._windows.seek(checkpoint.values["windows"])
        self._losses = checkpoint.values["losses"]
        self._seconds = checkpoint.values["seconds"]
        self.history = checkpoint.values["history"]
        for name, value in checkpoint.values.get("stages", {}).items():  # absent in checkpoints of older versions
            setattr(self.stages, name, value)

    def _diverged(self, how: str) -> Diverged:
        return Diverged(
            f"Training diverged at step {self.step}: {how}. "
            f"Try a lower --learning-rate (now {self.config.learning_rate:g}) or --grad-clip."
        )

    def _measured(self, loss: Loss) -> dict[str, Any]:
        """The line of history.jsonl."""
        generator = np.random.Generator(np.random.PCG64([self.config.seed, self.step]))
        record = {
            "step": self.step,
            "epoch": self.step / self._windows.per_epoch,
            "chars_seen": self.step * self.chars_per_step,
            "training_nats_per_char": float(np.mean(self._losses)),
            "validation_nats_per_char": loss.nats_per_char,
            "logit_scale": self._logit_scale,
            "learning_rate": self._learning_rate(self.step - 1),
            "chars_per_second": round(len(self._losses) * self.chars_per_step / self._seconds),
            "samples": sample_texts(self._logits_of, self._cold_state, self.corpus.vocabulary, generator, self.stages),
        }
        if self._novelty:
            record["novelty"] = self._novelty.measure(self._logits_of, self._cold_state, generator, self.stages)
        self.stages.clock()
        record["seconds"] = {stage: round(seconds, 3) for stage, seconds in self.stages.seconds.items()}
        record["elapsed_seconds"] = round(self.stages.elapsed_seconds, 3)
        return record

    @property
    def _scored(self) -> NDArray[Any]:
        """The part of the validation text that evaluations read."""
        return self.corpus.validation[: self.config.eval_chars]

    @property
    def _validation_losses(self) -> list[float]:
        return [record["validation_nats_per_char"] for record in self.history]

    def _learning_rate(self, step: int) -> float:
        per_epoch, losses = self._windows.per_epoch, self._validation_losses
        return learning_rate(self.config, step, steps_per_epoch=per_epoch, validation_losses=losses)

    def _fitted_logit_scale(self) -> float:
        if not len(self._held_out):
            return 1.0
        symbols = len(self.corpus.vocabulary)
        return logit_scale(self.trainer.read, self._cold_state, self._held_out, symbols=symbols, stages=self.stages)

    def _cold_state(self, streams: int) -> NDArray[np.float32]:
        return np.zeros(state_shape(self.config, streams), np.float32)

    def _read(self, previous: NDArray[np.int32], targets: NDArray[np.int32], state: Any) -> Any:
        logits, state = self.trainer.read(previous, state)
        return next_symbol_losses(logits * self._logit_scale, targets).numpy(), state

    def _logits_of(self, previous: NDArray[np.int32], state: Any) -> Any:
        logits, state = self.trainer.read(previous[:, None], state)
        return np.asarray(logits)[:, 0] * self._logit_scale, state
