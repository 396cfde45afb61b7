"""The training run: trains on a text, keeps itself in a folder, and ends with the best weights.

    runs/<name>/run.json          the plan: configuration and corpus (folder.py)
    runs/<name>/corpus/           the text, encoded (data/corpus.py)
    runs/<name>/checkpoint.npz    everything that a resume needs
    runs/<name>/history.jsonl     one line per evaluation
    runs/<name>/tensorboard/      the same for TensorBoard

Knows nothing of artifacts or versions.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training import jsonl
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.teacher_targets import TeacherTargets, windows_of
from training.errors import ReportedError
from training.files import write_atomically
from training.learning.backend import make_trainer
from training.learning.checkpoint import Checkpoint
from training.learning.evaluate import Loss
from training.learning.folder import CHECKPOINT, HISTORY
from training.learning.schedule import has_ended, learning_rate
from training.learning.stages import Stages
from training.learning.validation import Validation
from training.network.weights import NetworkWeights, scale_logits, weights_of

if TYPE_CHECKING:
    from training.learning.collectives import Workers

# At least; a small text has epochs of a few steps.
STEPS_BETWEEN_EVALUATIONS = 25
# An evaluation reads at most this share of the characters trained on since the last one. With the default network,
# reading a character takes less than half as long as training on it: evaluations take at most a tenth of the run.
EVALUATED_SHARE = 0.25
SECONDS_BETWEEN_CHECKPOINTS = 60


class Diverged(ReportedError):
    """The loss or its gradient is not finite; the last good checkpoint is unchanged."""


@dataclass(frozen=True)
class Trained:
    """The result of a run."""

    weights: NetworkWeights
    validation: Loss
    history: list[dict[str, Any]]


class TrainingRun:
    """A network in training on a text. `folder` holds everything that is needed to resume after a kill."""

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        folder: Path,
        *,
        start_from: NetworkWeights | None = None,
        teachers: TeacherTargets | None = None,
        replicas: int | None = None,
        workers: "Workers | None" = None,
    ) -> None:
        """Set up step 0, with random weights or those of another network; `replicas` and `workers` as `make_trainer`.

        With `teachers`, the targets are probabilities, and some rows of each batch read what the teachers wrote.

        Raises:
            InputError: the text is too short for the configuration, or `start_from` is of another shape.
        """
        self.config = config
        self.corpus = corpus
        self.folder = folder
        self._windows = windows_of(corpus.training, config, teachers)
        self.stages = Stages()
        self.trainer = make_trainer(config, len(corpus.vocabulary), start_from, replicas=replicas, workers=workers)
        self.validation = Validation(config, corpus, self.trainer, self.stages)
        self._state: Any = self.validation.initial_state(config.batch_size)
        self.best_weights: list[NDArray[Any]] = []  # of all variables of the network, at the best evaluation
        self._in_flight: list[tuple[Any, Any]] = []  # loss and norm of steps that a device may still compute
        self._losses: list[float] = []  # of the other training steps since the last evaluation
        self._clipped = 0  # of these, the steps whose gradient had a norm above `grad_clip`
        self._seconds = 0.0  # that they took
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self._saved_s = time.monotonic()

    @property
    def steps_per_epoch(self) -> int:
        """Windows of each stream."""
        return self._windows.per_epoch

    @property
    def total_steps(self) -> int:
        """Optimisation steps of the run, if nothing stops it early."""
        return self.config.total_steps(self.steps_per_epoch)

    @property
    def is_finished(self) -> bool:
        """Whether all steps are taken, or `patience` evaluations in a row brought no new best."""
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
        """Train on one window of every stream; returns the last known mean loss of a step in nats per character.

        The loss of this step is read once `steps_in_flight` steps of the trainer are started.

        Raises:
            Diverged: the loss or the gradient of this step or of one in flight is not finite.
        """
        started_s = time.monotonic()
        loss, norm, self._state = self.trainer.train(
            self._windows.next(), self._state, rate=self._learning_rate(self.step), step=self.step
        )
        self.step += 1
        self._in_flight.append((loss, norm))
        self._seconds += time.monotonic() - started_s
        if not self._losses or len(self._in_flight) >= self.trainer.steps_in_flight:
            self.wait()
        return self._losses[-1]

    def wait(self) -> None:
        """Wait for the steps in flight, and read their losses.

        Raises:
            Diverged: the loss or the gradient of one of them is not finite.
        """
        started_s = time.monotonic()
        in_flight, self._in_flight = self._in_flight, []
        for before_last, (loss, norm) in zip(range(len(in_flight) - 1, -1, -1), in_flight, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self.step -= before_last
                raise self._diverged(f"the loss is {float(loss)}, its gradient's norm {float(norm)}")
            self._losses.append(float(loss))
            self._clipped += 0 < self.config.grad_clip < float(norm)
        self._seconds += time.monotonic() - started_s

    def is_evaluation_due(self) -> bool:
        """Every `eval_every` epochs, less often where that would take too long, and at the end; once at a step."""
        if self.step in (0, self.history[-1]["step"] if self.history else 0):
            return False
        fewest = math.ceil(self.validation.characters / EVALUATED_SHARE / self.chars_per_step)
        every = max(STEPS_BETWEEN_EVALUATIONS, fewest, round(self.config.eval_every * self.steps_per_epoch))
        return self.step % every == 0 or self.step == self.total_steps

    def evaluate(self) -> dict[str, Any]:
        """Score the validation text, draw samples, keep the weights if they are the best; returns the history line.

        The network is scored as it would be published: its weights averaged, its logits scaled.

        Raises:
            Diverged: the loss is not finite.
            Stopped: the stages were asked to stop; the run is as it was before, and this evaluation still due.
        """
        self.wait()
        with self.trainer.averaged():
            record = self.score()
            self.history.append(record)
            if record is self.best:
                # Copies: the next step may write into the memory of a variable.
                self.best_weights = [np.array(variable.numpy()) for variable in self.trainer.network.variables]
        self._losses, self._clipped, self._seconds = [], 0, 0.0
        self.stages.reset()
        write_atomically(self.folder / HISTORY, "".join(map(jsonl.line, self.history)).encode())
        return record

    def score(self) -> dict[str, Any]:
        """The history line of the network as it is. Changes nothing of the run.

        Raises:
            Diverged: the loss is not finite.
            Stopped: the stages were asked to stop.
        """
        loss = self.validation.loss()
        if not math.isfinite(loss.nats_per_char):
            raise self._diverged(f"the validation loss is {loss.nats_per_char}")
        record: dict[str, Any] = {
            "step": self.step,
            "epoch": self.step / self.steps_per_epoch,
            "chars_seen": self.step * self.chars_per_step,
            "training_nats_per_char": float(np.mean(self._losses)),
            "validation_nats_per_char": loss.nats_per_char,
            "logit_scale": self.validation.logit_scale,
            "clipped_share": self._clipped / len(self._losses),
            "learning_rate": self._learning_rate(self.step - 1),
            "chars_per_second": round(len(self._losses) * self.chars_per_step / self._seconds),
        }
        record |= self.validation.samples(np.random.Generator(np.random.PCG64([self.config.seed, self.step])))
        self.stages.clock()
        record["seconds"] = {stage: round(seconds, 3) for stage, seconds in self.stages.seconds.items()}
        record["elapsed_seconds"] = round(self.stages.elapsed_seconds, 3)
        return record

    def result(self) -> Trained:
        """The weights of the best evaluation, and its loss."""
        assert self.best is not None
        network = self.trainer.network
        for variable, array in zip(network.variables, self.best_weights, strict=True):
            variable.assign(array)
        loss = Loss(self.best["validation_nats_per_char"], len(self.validation.ids))
        return Trained(scale_logits(weights_of(network), self.best["logit_scale"]), loss, self.history)

    def save(self) -> None:
        """Write the checkpoint that `restore` reads.

        Raises:
            Diverged: the loss or the gradient of a step in flight is not finite.
        """
        self.wait()
        self.stages.switch("saving")
        variables = {name: (variable.numpy() for variable in group) for name, group in self.trainer.variables.items()}
        Checkpoint(
            arrays=variables | {"best": self.best_weights, "state": [np.asarray(self._state)]},
            values={
                "step": self.step,
                "windows": self._windows.position(),
                "losses": self._losses,
                "clipped": int(self._clipped),
                "seconds": self._seconds,
                "history": self.history,
                "stages": {"seconds": self.stages.seconds, "elapsed_seconds": self.stages.elapsed_seconds},
            },
        ).save(self.folder / CHECKPOINT)
        self._saved_s = time.monotonic()

    def is_checkpoint_due(self) -> bool:
        """Whether the last checkpoint is older than `SECONDS_BETWEEN_CHECKPOINTS`."""
        return time.monotonic() - self._saved_s > SECONDS_BETWEEN_CHECKPOINTS

    def restore(self) -> None:
        """Continue from the last checkpoint, bit for bit; from step 0 where none was written yet.

        Raises:
            InputError: the checkpoint is damaged.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        checkpoint = Checkpoint.load(path)
        for name, variables in self.trainer.variables.items():
            for variable, array in zip(variables, checkpoint.arrays.get(name, []), strict=True):
                variable.assign(array)
        self.best_weights = list(checkpoint.arrays.get("best", []))
        (self._state,) = checkpoint.arrays["state"]
        self.step = checkpoint.values["step"]
        self._windows.seek(checkpoint.values["windows"])
        self._losses = checkpoint.values["losses"]
        self._clipped = checkpoint.values.get("clipped", 0)  # absent in checkpoints of older versions
        self._seconds = checkpoint.values["seconds"]
        self.history = checkpoint.values["history"]
        for name, value in checkpoint.values.get("stages", {}).items():  # absent in checkpoints of older versions
            setattr(self.stages, name, value)

    def _diverged(self, how: str) -> Diverged:
        return Diverged(
            f"Training diverged at step {self.step}: {how}. "
            f"Try a lower --learning-rate (now {self.config.learning_rate:g}) or --grad-clip."
        )

    @property
    def _validation_losses(self) -> list[float]:
        return [record["validation_nats_per_char"] for record in self.history]

    def _learning_rate(self, step: int) -> float:
        steps_per_epoch, losses = self.steps_per_epoch, self._validation_losses
        return learning_rate(self.config, step, steps_per_epoch=steps_per_epoch, validation_losses=losses)
