"""`evaluate`: one line for each part of a text."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.training.commands.cli import refusal, run
from training.data.selection import Selection
from training.learning.evaluate import Loss


def test_each_part_is_printed_with_its_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def score(model: Any, corpus: tuple[str, ...], **options: Any) -> list[tuple[str, Loss, int]]:
        calls.append((corpus, options))
        return [("validation", Loss(1.0, 1234), 0), ("test", Loss(0.5, 99), 1000)]

    model = SimpleNamespace(manifest={"name": "a", "version": 3})
    monkeypatch.setattr("training.commands.evaluate.published", lambda models, *reference: model)
    monkeypatch.setattr("training.release.score.score", score)
    flags = ["--corpus", "x", "--corpus", "y", "--part", "test", "--include", "*.txt", "--encoding", "latin-1"]
    result = run("evaluate", "a/3", *flags)
    assert result.output == (
        "a 3, validation: 1.0000 nats/char, 1.4427 bits/char, perplexity 2.718, 1,234 characters, 0 unknown\n"
        "a 3, test: 0.5000 nats/char, 0.7213 bits/char, perplexity 1.649, 99 characters, 1,000 unknown\n"
    )
    options = {"encoding": "latin-1", "parts": ("test",), "selection": Selection(include=("*.txt",))}
    assert calls == [(("x", "y"), options)]


def test_a_corpus_is_required_and_a_part_is_one_of_three(tmp_path: Path) -> None:
    assert "--corpus" in refusal("evaluate", "a")
    assert "'validation'" in refusal("evaluate", "a", "--corpus", "-", "--part", "most")
