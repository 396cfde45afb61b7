"""What a night did for a model: one line of `models/<name>/retraining.jsonl`, for people and for metrics."""

import dataclasses
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from training import jsonl

NIGHTS = "retraining.jsonl"

DECISIONS = ("published", "refused", "unchanged", "interrupted", "failed")
PUBLISHED, REFUSED, UNCHANGED, INTERRUPTED, FAILED = DECISIONS


# In a file, a number that is not finite is null.
Measured = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


@dataclass
class Night:
    """One night's work for one model, filled in as it goes."""

    model: str
    started: str  # RFC 3339, UTC
    decision: str = FAILED
    reason: str = ""  # one sentence
    seconds: float = 0.0
    parent: int | None = None  # the version that served and that it started from
    version: int | None = None  # that was published
    resumed: bool = False  # it went on with a run that another night had begun
    new_files: int = 0
    gone_files: int = 0
    characters: int = 0
    new_symbols: int = 0
    steps: int = 0
    losses: dict[str, dict[str, Measured]] = field(default_factory=dict)  # text -> {old, new}: nats/char; characters

    def append(self, models: Path) -> None:
        """Add the line to the model's record."""
        store = models / self.model
        store.mkdir(parents=True, exist_ok=True)
        jsonl.append(store / NIGHTS, dataclasses.asdict(self))


_NIGHT = TypeAdapter(Night)


def nights(models: Path, name: str) -> list[dict[str, Any]]:
    """Every night of a model, oldest first; a line that cannot be read is left out, with a warning."""
    records, damage = jsonl.read(models / name / NIGHTS, _checked)
    if damage:
        jsonl.warn_once(damage)
    return records


def last_night(models: Path, name: str) -> datetime | None:
    """When the last night of a model began that came to its end; None: there was none."""
    ended = [night["started"] for night in nights(models, name) if night["decision"] != INTERRUPTED]
    # A time without a zone, which only a person writes, is local.
    return datetime.fromisoformat(ended[-1]).astimezone(UTC) if ended else None


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `Night`, all of them and of their types.

    Raises:
        ValueError: one is missing, or of another type.
    """
    try:
        night = _NIGHT.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    datetime.fromisoformat(night.started)
    return dataclasses.asdict(night)
