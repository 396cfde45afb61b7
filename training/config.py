"""Every setting of a training run, with its default and range. Knows no files and no framework."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.errors import InputError

CHOICES = {
    "unit": ("char", "byte"),
    "normalization": ("NFC", "none"),
    "split_by": ("char", "each-file", "line", "file"),
    "cell": ("lstm", "gru", "rnn"),
    "optimizer": ("adamw", "adam", "rmsprop", "adagrad", "sgd"),
    "schedule": ("cosine", "constant", "step", "plateau"),
    "clip_by": ("norm", "value"),
    "precision": ("float32", "mixed_bfloat16"),
}

# Settings that a run takes from the model that it starts from; with others, the weights would not fit.
INHERITED = ("unit", "normalization", "cell", "layers", "units", "embedding")
MIN_HELD_OUT, MAX_HELD_OUT = 1000, 50_000
LEFT_OUT_BLOCK = 10_000
MOST = 1_000_000  # minutes, epochs between evaluations, or a clipping threshold: more could overflow
MOST_RATE = 1000.0  # learning rate or weight decay: no run survives more


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The configuration of one run. Together with the corpus, it determines every weight.

    The training text is read by `batch_size` (N) parallel streams, in windows of `window` (T) characters.
    `charloom train --help` explains each setting.
    """

    # text
    unit: str = "char"
    normalization: str = "NFC"
    encoding: str = "utf-8"
    min_count: int = 1
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)
    split_by: str = "char"
    leave_out: str = "none"
    # network
    cell: str = "lstm"
    layers: int = 2
    units: int = 256
    embedding: int = 64
    input_dropout: float = 0.0
    dropout: float = 0.3
    output_dropout: float = 0.3
    weight_dropout: float = 0.4
    # regularisation and optimisation
    batch_size: int = 32
    window: int = 100
    epochs: int = 60
    steps: int = 0
    minutes: float = 0.0
    optimizer: str = "adamw"
    learning_rate: float = 4e-3
    schedule: str = "cosine"
    warmup_steps: int = 200
    decay_rate: float = 0.97
    decay_after: int = 10
    grad_clip: float = 1.0
    clip_by: str = "norm"
    weight_decay: float = 0.05
    ema: float = 0.0
    cold_start: float = 0.01
    precision: str = "float32"
    # distillation; without effect where there are no teachers
    teacher_weight: float = 0.4
    teacher_share: float = 0.25
    teacher_chars: int = 8_000_000
    # evaluation
    eval_every: float = 1.0
    eval_chars: int = 500_000
    patience: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            _require(not isinstance(value, float) or math.isfinite(value), name, "a finite number", value)
        for name, allowed in CHOICES.items():
            _require(getattr(self, name) in allowed, name, f"one of {', '.join(allowed)}", getattr(self, name))
        for name in ("min_count", "layers", "units", "batch_size", "window", "epochs", "eval_chars", "teacher_chars"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in (
            "embedding",
            "steps",
            "minutes",
            "warmup_steps",
            "decay_after",
            "patience",
        ):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("input_dropout", "dropout", "output_dropout", "weight_dropout", "ema"):
            _require(0 <= getattr(self, name) < 1, name, "at least 0 and below 1", getattr(self, name))
        _require(0 <= self.cold_start <= 1, "cold_start", "between 0 and 1", self.cold_start)
        _require(0 < self.teacher_share < 1, "teacher_share", "above 0 and below 1", self.teacher_share)
        _require(0 <= self.teacher_weight <= 1, "teacher_weight", "between 0 and 1", self.teacher_weight)
        part = part_of(self.leave_out)
        is_part = part is not None and part[1] > 1
        _require(
            self.leave_out == "none" or is_part,
            "leave_out",
            "none or I/N with I below N, and N at least 2",
            self.leave_out,
        )
        _require(0 < self.decay_rate <= 1, "decay_rate", "above 0 and at most 1", self.decay_rate)
        limits = f"above 0 and at most {MOST_RATE:,g}"
        _require(0 < self.learning_rate <= MOST_RATE, "learning_rate", limits, self.learning_rate)
        limits = f"at least 0 and at most {MOST_RATE:,g}"
        _require(0 <= self.weight_decay <= MOST_RATE, "weight_decay", limits, self.weight_decay)
        _require(0 < self.eval_every <= MOST, "eval_every", f"above 0 and at most {MOST:,}", self.eval_every)
        _require(0 <= self.grad_clip <= MOST, "grad_clip", f"at least 0 and at most {MOST:,}", self.grad_clip)
        _require(self.minutes <= MOST, "minutes", f"at most {MOST:,}", self.minutes)
        _require(0 <= self.seed < 2**63, "seed", "between 0 and 2^63-1", self.seed)
        _require_split(self.split)

    @property
    def has_dropout(self) -> bool:
        """Whether any of the four dropout rates is above 0."""
        return max(self.input_dropout, self.dropout, self.output_dropout, self.weight_dropout) > 0

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimisation steps of the run, unless it is stopped early."""
        return self.steps or self.epochs * steps_per_epoch

    @property
    def teacher_rows(self) -> int:
        """The rows of a batch that read the text of teachers: at least one, and not all."""
        return min(max(round(self.teacher_share * self.batch_size), 1), self.batch_size - 1)

    def held_out(self, characters: int) -> int:
        """Characters at the start of a training part of `characters` that are held out for temperature scaling.

        learning/calibrate.py fits the temperature on them, because text that was trained on would make it too
        confident. They are the start of the part, because its end is most like the validation text. 0 without
        dropout, and for a text of which a fiftieth is too short to fit on.
        """
        held_out = min(MAX_HELD_OUT, characters // 50)
        return held_out if self.has_dropout and held_out >= MIN_HELD_OUT else 0

    def left_out(self, characters: int) -> list[tuple[int, int]]:
        """The blocks [start, stop) of a training part of `characters` that `leave_out` leaves out.

        They are every Nth block of the text that is not held out for temperature scaling, so that a network has seen
        the text around each of them. A text that is too short for whole blocks has one for each part.
        """
        start, (part, parts) = self.held_out(characters), part_of(self.leave_out) or (0, 0)
        if not parts:
            return []
        block = min(LEFT_OUT_BLOCK, -(-(characters - start) // parts))
        starts = range(start + part * block, characters, parts * block)
        return [(first, min(first + block, characters)) for first in starts]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; `from_json` reads it."""
        return dataclasses.asdict(self) | {"split": list(self.split)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "TrainConfig":
        """The configuration of an object made by `to_json`."""
        return cls(**(fields | {"split": tuple(fields["split"])}))


def with_decay_of_optimizer(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a configuration, with no weight decay for another optimizer than AdamW that does not set it."""
    is_adamw = settings.get("optimizer", TrainConfig.optimizer) == "adamw"
    return ({} if is_adamw else {"weight_decay": 0.0}) | dict(settings)


def _require(condition: bool, name: str, range_: str, value: object) -> None:
    if not condition:
        raise InputError(f"--{name.replace('_', '-')} must be {range_}, not {value}.")


def part_of(value: str) -> tuple[int, int] | None:
    """I and N of I/N, where I counts N parts from 0; None of any other text."""
    part, _, parts = value.partition("/")
    return (int(part), int(parts)) if re.fullmatch("[0-9]{1,5}/[0-9]{1,5}", value) and int(part) < int(parts) else None


def _require_split(split: tuple[float, float, float]) -> None:
    train, validation, test = split
    given = ",".join(f"{part:g}" for part in split)
    if not (train > 0 and validation > 0 and test >= 0):  # written so that nan is refused
        raise InputError(f"--split needs a training and a validation part above 0 and no part below 0, not {given}.")
    if abs(train + validation + test - 1) > 1e-6:
        raise InputError(f"--split must add up to 1, not {train + validation + test:g} ({given}).")
