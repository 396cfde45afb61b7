"""What a night did for a model: one line of `models/<name>/nights.jsonl`, for people and for metrics."""

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from training.files import write_atomically

NIGHTS = "nights.jsonl"

DECISIONS = ("published", "refused", "unchanged", "interrupted", "failed")
PUBLISHED, REFUSED, UNCHANGED, INTERRUPTED, FAILED = DECISIONS


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
    losses: dict[str, dict[str, float]] = field(default_factory=dict)  # text -> {old, new}: nats/char; characters

    def append(self, models: Path) -> None:
        """Add the line to the model's record."""
        store = models / self.model
        store.mkdir(parents=True, exist_ok=True)
        before = (store / NIGHTS).read_bytes() if (store / NIGHTS).exists() else b""
        line = json.dumps(dataclasses.asdict(self), ensure_ascii=False) + "\n"
        write_atomically(store / NIGHTS, before + line.encode())


def nights(models: Path, name: str) -> list[dict[str, Any]]:
    """Every night of a model, oldest first."""
    path = models / name / NIGHTS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def last_night(models: Path, name: str) -> datetime | None:
    """When the last night of a model began that came to its end; None: there was none."""
    ended = [night["started"] for night in nights(models, name) if night["decision"] != INTERRUPTED]
    return datetime.fromisoformat(ended[-1]) if ended else None
