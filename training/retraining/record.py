"""The records of a model's retraining runs: one line each in `models/<name>/retraining.jsonl`."""

import dataclasses
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from training import jsonl

RECORDS = "retraining.jsonl"

DECISIONS = ("published", "refused", "unchanged", "interrupted", "failed")
PUBLISHED, REFUSED, UNCHANGED, INTERRUPTED, FAILED = DECISIONS

# JSON has no NaN: a number that is not finite is written as null.
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


@dataclass
class Record:
    """The facts of one retraining run, filled in while it is in progress."""

    model: str
    started: str  # RFC 3339, UTC
    decision: str = FAILED
    reason: str = ""  # one sentence
    seconds: float = 0.0
    parent: int | None = None  # the served version, from which the run started
    version: int | None = None  # the published version
    resumed: bool = False  # whether the run continued one that was interrupted
    new_files: int = 0
    gone_files: int = 0
    characters: int = 0
    new_symbols: int = 0
    steps: int = 0
    losses: dict[str, dict[str, Number]] = field(default_factory=dict)  # text -> {old, new: nats/char; characters}

    def append(self, models: Path) -> None:
        """Add the record to the model's file."""
        store = models / self.model
        store.mkdir(parents=True, exist_ok=True)
        jsonl.append(store / RECORDS, dataclasses.asdict(self))


_RECORD = TypeAdapter(Record)


def records(models: Path, name: str) -> list[dict[str, Any]]:
    """All records of a model, oldest first. Lines that cannot be read are left out, with a warning."""
    found, damage = jsonl.read(models / name / RECORDS, _checked)
    if damage:
        jsonl.warn_once(damage)
    return found


def last_completed(models: Path, name: str) -> datetime | None:
    """The start of the last retraining run of a model that was not interrupted, or None."""
    started = [record["started"] for record in records(models, name) if record["decision"] != INTERRUPTED]
    # A time without a zone, as an edited line may have, is local.
    return datetime.fromisoformat(started[-1]).astimezone(UTC) if started else None


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """All fields of a `Record`, with defaults.

    Raises:
        ValueError: a field is missing, or has another type.
    """
    try:
        record = _RECORD.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    datetime.fromisoformat(record.started)
    return dataclasses.asdict(record)
