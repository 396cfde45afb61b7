"""What a run's folder tells of it: plan, evaluations, n-gram baselines. Knows no page and no framework.

`baselines.json` is its own: computed once for a split text, and again where that is another one.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import jsonl
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.errors import InputError
from training.files import write_atomically
from training.learning.folder import BASELINES
from training.learning.schedule import learning_rate
from training.report import ngrams

# Of more evaluations than this a page shows that many: it stays quick to open.
MAX_SHOWN = 200
WARM_UP_POINTS = 20

# Raised when ngrams.py computes something else, so that what runs keep of it is computed again.
BASELINES_FORMAT = 1


@dataclass(frozen=True)
class Evaluation:
    """One line of history.jsonl; nan is a number that was not measured."""

    step: int
    epoch: float
    chars_seen: int
    training: float  # nats per symbol
    validation: float
    learning_rate: float
    chars_per_second: float
    logit_scale: float
    samples: dict[str, str]  # temperature -> text
    novelty: dict[str, float] | None
    elapsed_seconds: float  # since the run began
    seconds: dict[str, float]  # stage -> how long it took since the evaluation before

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Evaluation":
        """From the line's object; what a report can do without may be missing."""
        return cls(
            step=int(fields["step"]),
            epoch=float(fields["epoch"]),
            chars_seen=int(fields["chars_seen"]),
            training=_measured(fields.get("training_nats_per_char")),
            validation=_finite(fields["validation_nats_per_char"]),
            learning_rate=_measured(fields.get("learning_rate")),
            chars_per_second=_measured(fields.get("chars_per_second")),
            logit_scale=_measured(fields.get("logit_scale")),
            samples=dict(fields.get("samples") or {}),
            novelty=fields.get("novelty"),
            elapsed_seconds=_measured(fields.get("elapsed_seconds")),
            seconds=dict(fields.get("seconds") or {}),
        )

    @property
    def epoch_text(self) -> str:
        """The epoch as a person says it: 12, 0.25."""
        return f"{self.epoch:.2f}".rstrip("0").rstrip(".")

    @property
    def bits(self) -> float:
        """The validation loss in bits per symbol."""
        return self.validation / math.log(2)


@dataclass(frozen=True)
class Baselines:
    """Losses of n-gram models on the run's own split, and how much of it they were computed on."""

    nats_per_char: dict[int, float]  # order -> nats per symbol
    counted: int
    predicted: int
    fingerprint: str  # of the text


@dataclass(frozen=True)
class TextFacts:
    """How much text there was, in symbols."""

    symbols: int
    vocabulary: int  # V, the reserved id included
    training: int
    validation: int


@dataclass(frozen=True)
class RunRecord:
    """All that a report is made from."""

    name: str
    plan: dict[str, Any]
    evaluations: list[Evaluation]  # at least one
    text: TextFacts
    baselines: Baselines

    @cached_property
    def best(self) -> Evaluation:
        """The evaluation with the lowest validation loss, whose weights are the ones to publish."""
        return min(self.evaluations, key=lambda evaluation: evaluation.validation)

    @cached_property
    def thinned(self) -> list[Evaluation]:
        """At most `MAX_SHOWN` evaluations, evenly, with the first, the best and the last."""
        count = len(self.evaluations)
        if count <= MAX_SHOWN:
            return self.evaluations
        at = {round(index * (count - 1) / (MAX_SHOWN - 2)) for index in range(MAX_SHOWN - 1)}
        return [item for index, item in enumerate(self.evaluations) if index in at or item is self.best]

    @cached_property
    def warm_up(self) -> list[tuple[float, float]]:
        """(symbols seen, learning rate) along the warm-up, which is often over before the first evaluation."""
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        given = self.plan["config"]
        config = TrainConfig.from_json({name: value for name, value in given.items() if name in known})
        last = self.evaluations[-1]
        steps_per_epoch = max(1, round(last.step / last.epoch)) if last.epoch > 0 else 1
        end = min(config.warmup_steps, last.step)
        steps = sorted({round(end * part / WARM_UP_POINTS) for part in range(WARM_UP_POINTS + 1)}) if end else []
        symbols = config.batch_size * config.window
        return [(step * symbols, learning_rate(config, step, steps_per_epoch=steps_per_epoch)) for step in steps]

    @property
    def unit(self) -> str:
        """The word for one symbol."""
        return "byte" if self.plan["config"].get("unit") == "byte" else "character"

    @property
    def temperatures(self) -> list[str]:
        """Of the samples, the coolest first."""
        return sorted({key for evaluation in self.evaluations for key in evaluation.samples}, key=float)

    @property
    def parameters(self) -> int | None:
        """Trained numbers of the network, known once a version was published."""
        published = self.plan.get("published")
        manifest = Path(published or "") / "assets.extra" / "manifest.json"
        if not published or not manifest.is_file():
            return None
        return int(json.loads(manifest.read_text(encoding="utf-8"))["parameters"])


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`; computes the baselines where they are not kept there yet.

    Raises:
        InputError: there is no run, or no evaluation that can be read.
    """
    if not (folder / "run.json").is_file():
        raise InputError(f"There is no run in {folder}: a report needs the folder that a training run wrote.")
    try:
        plan = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / 'run.json'} is damaged: {error}.") from None
    evaluations = read_history(folder)
    corpus = Corpus.open(folder / "corpus")
    training, validation = corpus.training, corpus.validation
    text = TextFacts(len(corpus), len(corpus.vocabulary), len(training), len(validation))
    baselines = kept_baselines(folder, training, validation, text.vocabulary)
    return RunRecord(folder.resolve().name, plan, evaluations, text, baselines)


def read_history(folder: Path) -> list[Evaluation]:
    """The evaluations of the run in `folder`, at least one; a line that cannot be read is left out, with a warning.

    Raises:
        InputError: there is none yet, or no line can be read.
    """
    evaluations, damage = jsonl.read(folder / "history.jsonl", Evaluation.from_json)
    if damage and not evaluations:
        raise InputError(damage)
    if damage:
        jsonl.warn_once(damage)
    if not evaluations:
        raise InputError(f"The run in {folder} has no evaluation yet: its report can be written after the first one.")
    return evaluations


def kept_baselines(
    folder: Path, training: NDArray[np.integer], validation: NDArray[np.integer], symbols: int
) -> Baselines:
    """The n-gram losses of a split text, from `folder` or computed and kept there."""
    training, validation = ngrams.counted(training), ngrams.predicted(validation)
    key = _fingerprint(training, validation, symbols)
    path = folder / BASELINES
    kept = _kept(path)
    if kept.get("fingerprint") != key:
        losses = ngrams.baselines(training, validation, symbols)
        kept = {"fingerprint": key, "nats_per_char": {str(order): nats for order, nats in losses.items()}}
        write_atomically(path, (json.dumps(kept, indent=1) + "\n").encode())
    losses = {int(order): nats for order, nats in kept["nats_per_char"].items()}
    return Baselines(losses, len(training), len(validation), key)


def _kept(path: Path) -> dict[str, Any]:
    """What lies at `path`; a damaged file is no loss, it is computed again."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _fingerprint(training: NDArray[np.integer], validation: NDArray[np.integer], symbols: int) -> str:
    """Of the very ids that are used: the same whatever files, options and vocabulary order they came by."""
    key = hashlib.sha256(f"{BASELINES_FORMAT} {symbols} {len(training)} {training.dtype} ".encode())
    key.update(np.ascontiguousarray(training).data)
    key.update(np.ascontiguousarray(validation).data)
    return key.hexdigest()


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"its validation loss is {value}")
    return float(value)


def _measured(value: float | None) -> float:
    return math.nan if value is None else float(value)
