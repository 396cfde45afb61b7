"""Reading the files of a published version, without the code of service and training."""

import json
from pathlib import Path
from typing import Any


def manifest_of(version: Path) -> dict[str, Any]:
    """The manifest of a version's folder."""
    fields: dict[str, Any] = json.loads((version / "assets.extra/manifest.json").read_text(encoding="utf-8"))
    return fields


def history_of(version: Path) -> list[dict[str, Any]]:
    """The records of the version's history, one for each evaluation."""
    lines = (version / "assets.extra/history.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def says_loss(printed: str, model: str, part: str, manifest: dict[str, Any]) -> bool:
    """Whether `evaluate` printed the manifest's loss of this part."""
    nats, unit = manifest["metrics"][part]["nats_per_char"], manifest["unit"]
    return any(line.startswith(f"{model}, {part}: {nats:.4f} nats/{unit}") for line in printed.splitlines())
