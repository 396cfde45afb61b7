"""Folders of finished runs for tests of reports."""

import json
from pathlib import Path
from typing import Any

from tests.texts import write_corpus
from training.config import TrainConfig
from training.data.prepare import prepare

LOSSES = [2.9, 2.1, 1.4, 0.9, 0.95]
NASTY = "<script>alert('&amp;')</script>\n\x00\x07\x7f\x9f\ud800\u202eend</pre>"


def evaluation(number: int, validation: float, **changes: Any) -> dict[str, Any]:
    """A line of history.jsonl."""
    return {
        "step": 10 * number,
        "epoch": number / 2,
        "chars_seen": 1000 * number,
        "training_nats_per_char": validation + 0.1,
        "validation_nats_per_char": validation,
        "logit_scale": 0.97,
        "learning_rate": 0.004 / number,
        "chars_per_second": 40_000.0 + number,
        "samples": {"0.5": f"cool {number} {NASTY} unfin", "1.0": f"hot {number} cut-of"},
    } | changes


def write_run(
    folder: Path,
    evaluations: list[dict[str, Any]] | None = None,
    settings: dict[str, Any] | None = None,
    words: int = 600,
    **plan: Any,
) -> Path:
    """A run's folder with an encoded corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    text = write_corpus(folder / "text.txt", words)
    config = TrainConfig(batch_size=4, window=20, split=(0.8, 0.2, 0.0), **(settings or {}))
    prepare([str(text)], config, folder / "corpus")
    fields = {"config": config.to_json(), "corpus": ["text.txt"], "published": None} | plan
    (folder / "run.json").write_text(json.dumps(fields), encoding="utf-8")
    if evaluations is None:
        evaluations = [evaluation(number, nats) for number, nats in enumerate(LOSSES, 1)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evaluations), encoding="utf-8")
    return folder
