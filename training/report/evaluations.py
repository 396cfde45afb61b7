"""The evaluations of a run, read from its history.jsonl."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import jsonl
from training.errors import InputError


@dataclass(frozen=True)
class Evaluation:
    """One line of history.jsonl; a number that was not measured is nan."""

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
    elapsed_seconds: float  # since the start of the run
    seconds: dict[str, float]  # stage -> its duration since the previous evaluation

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Evaluation":
        """From the object of a line; fields that a report does not need may be missing."""
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
        """The epoch without unnecessary zeros: 12, 0.25."""
        return f"{self.epoch:.2f}".rstrip("0").rstrip(".")

    @property
    def bits(self) -> float:
        """The validation loss in bits per symbol."""
        return self.validation / math.log(2)


def read_history(folder: Path) -> list[Evaluation]:
    """The evaluations of the run in `folder`, at least one; logs a warning about invalid lines and skips them.

    Raises:
        InputError: There is none yet, or no line is valid.
    """
    evaluations, damage = jsonl.read(folder / "history.jsonl", Evaluation.from_json)
    if damage and not evaluations:
        raise InputError(damage)
    if damage:
        jsonl.warn_once(damage)
    if not evaluations:
        raise InputError(f"The run in {folder} has no evaluation yet: its report can be written after the first one.")
    return evaluations


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"its validation loss is {value}")
    return float(value)


def _measured(value: float | None) -> float:
    return math.nan if value is None else float(value)
