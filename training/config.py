"""Every setting of a training run. Knows no file, no framework; a run folder and a manifest carry it as JSON."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from training.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The whole configuration of one run; with the corpus it determines every weight.

    `batch_size` streams (N) read the training text side by side in windows of `window` (T) characters.
    """

    layers: int = 2
    units: int = 256
    embedding: int = 64
    dropout: float = 0.3
    weight_dropout: float = 0.4
    batch_size: int = 32
    window: int = 100
    epochs: int = 60
    learning_rate: float = 4e-3
    warmup_steps: int = 200
    grad_clip: float = 1.0
    cold_start: float = 0.01
    eval_every: float = 1.0
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("layers", "units", "embedding", "batch_size", "window", "epochs"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("dropout", "weight_dropout"):
            _require(0 <= getattr(self, name) < 1, name, "at least 0 and below 1", getattr(self, name))
        _require(0 <= self.cold_start <= 1, "cold_start", "between 0 and 1", self.cold_start)
        for name in ("learning_rate", "grad_clip", "eval_every"):
            _require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        _require(self.warmup_steps >= 0, "warmup_steps", "at least 0", self.warmup_steps)
        _require(0 <= self.seed < 2**63, "seed", "between 0 and 2^63-1", self.seed)
        _require_split(self.split)

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON; `from_json` gives it back."""
        return dataclasses.asdict(self) | {"split": list(self.split)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "TrainConfig":
        """The configuration that `to_json` wrote."""
        return cls(**(fields | {"split": tuple(fields["split"])}))


def _require(condition: bool, name: str, range_: str, value: object) -> None:
    if not condition:
        raise InputError(f"--{name.replace('_', '-')} must be {range_}, not {value}.")


def _require_split(split: tuple[float, float, float]) -> None:
    train, validation, test = split
    given = ",".join(f"{part:g}" for part in split)
    if train <= 0 or validation <= 0 or test < 0:
        raise InputError(f"--split needs a training and a validation part above 0 and no part below 0, not {given}.")
    if abs(train + validation + test - 1) > 1e-6:
        raise InputError(f"--split must add up to 1, not {train + validation + test:g} ({given}).")
