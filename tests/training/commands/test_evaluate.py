"""`evaluate`: a block of lines, or an object of JSON, for each part of a text."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.training.commands.cli import refusal, run
from training.data.selection import Selection
from training.learning.evaluate import Loss
from training.release.score import Score

LONG = Score("validation", Loss(1.0, 2234, (0.9, 1.1)), 0, Loss(1.5, 2048, (1.25, 1.75)), Loss(1.25, 2234, (1.2, 1.3)))
SHORT = Score("test", Loss(0.5, 99), 1000, None, Loss(0.25, 99))


def manifest_of(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "version": int(version), "unit": "byte" if name == "bytewise" else "char"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls of `score`, which finds two parts."""
    calls: list[Any] = []

    def score(model: Any, corpus: tuple[str, ...], *, against: Any, **options: Any) -> list[Score]:
        calls.append((corpus, against and against.manifest, options))
        found = [LONG, SHORT] if against else [replace(part, against=None) for part in (LONG, SHORT)]
        return [replace(part, warning="It was trained on a.txt.") for part in found] if "a.txt" in corpus else found

    def published(models: Path, name: str, version: str = "3", *, precision: str = "float32") -> Any:
        return SimpleNamespace(manifest=manifest_of(name, version), precision=precision)

    monkeypatch.setattr("training.commands.evaluate.published", published)
    monkeypatch.setattr("training.release.score.score", score)
    return calls


def test_each_part_is_printed_with_its_losses(calls: list[Any]) -> None:
    flags = ["--corpus", "x", "--corpus", "y", "--part", "test", "--include", "*.txt", "--encoding", "latin-1"]
    result = run("evaluate", "a/3", *flags)
    assert result.output == (
        "a 3, validation: 1.0000 nats/char, 1.4427 bits/char, perplexity 2.718, 2,234 characters, 0 unknown\n"
        "  standard error 0.1000 nats/char, over 2 blocks of 1,000 characters\n"
        "  1.5000 ± 0.2500 nats/char in 2 cold windows of 256 characters\n"
        "a 3, test: 0.5000 nats/char, 0.7213 bits/char, perplexity 1.649, 99 characters, 1,000 unknown\n"
    )
    options = {"encoding": "latin-1", "parts": ("test",), "selection": Selection(include=("*.txt",))}
    assert calls == [(("x", "y"), None, options)]


def test_another_model_is_compared_over_the_same_blocks(calls: list[Any]) -> None:
    lines = run("evaluate", "a/3", "--against", "b/2", "--corpus", "x").output.splitlines()
    assert lines[3] == "  0.2500 ± 0.0500 nats/char less than b 2, which has 1.2500 (paired by blocks)"
    assert lines[5] == "  0.2500 nats/char more than b 2, which has 0.2500"
    assert calls[0][1] == manifest_of("b", "2")


def test_a_byte_model_has_losses_for_each_byte(calls: list[Any]) -> None:
    result = run("evaluate", "bytewise", "--against", "b/2", "--corpus", "x")
    assert result.output.splitlines()[:4] == [
        "bytewise 3, validation: 1.0000 nats/byte, 1.4427 bits/byte, perplexity 2.718, 2,234 bytes, 0 unknown",
        "  standard error 0.1000 nats/byte, over 2 blocks of 1,000 bytes",
        "  1.5000 ± 0.2500 nats/byte in 2 cold windows of 256 bytes",
        "  0.2500 ± 0.0500 nats/byte less than b 2, which has 1.2500 (paired by blocks)",
    ]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_warning_is_printed_on_stderr(calls: list[Any], flags: list[str]) -> None:
    warned, silent = (run("evaluate", "a", "--corpus", corpus, *flags) for corpus in ("a.txt", "x"))
    assert warned.stderr.splitlines()[0] == "Warning: It was trained on a.txt."
    assert (warned.stdout, silent.stderr) == (silent.stdout, "")


def test_bfloat16_is_compared_with_float32(calls: list[Any]) -> None:
    lines = run("evaluate", "a", "--precision", "bfloat16", "--corpus", "x").output.splitlines()
    assert lines[0].startswith("a 3 in bfloat16, validation: 1.0000 nats/char")
    assert lines[3] == "  0.2500 ± 0.0500 nats/char less than a 3, which has 1.2500 (paired by blocks)"
    lines = run("evaluate", "a", "--precision", "bfloat16", "--against", "b/2", "--corpus", "x").output.splitlines()
    assert " than b 2, " in lines[3]


def test_json_has_the_numbers_of_each_part(calls: list[Any]) -> None:
    validation, test = json.loads(run("evaluate", "a", "--against", "b/2", "--corpus", "x", "--json").output)
    assert validation == {
        "model": "a",
        "version": 3,
        "precision": "float32",
        "part": "validation",
        "nats_per_char": 1.0,
        "bits_per_char": pytest.approx(1.442695),
        "perplexity": pytest.approx(2.718282),
        "characters": 2234,
        "unknown": 0,
        "standard_error": pytest.approx(0.1),
        "blocks": 2,
        "cold_256": {"nats_per_char": 1.5, "standard_error": 0.25, "windows": 2},
        "against": {
            "model": "b",
            "version": 2,
            "precision": "float32",
            "nats_per_char": 1.25,
            "difference": -0.25,
            "standard_error": pytest.approx(0.05),
        },
    }
    assert (test["standard_error"], test["blocks"], test["cold_256"]) == (None, 0, None)
    assert (test["against"]["difference"], test["against"]["standard_error"]) == (0.25, None)
    (alone, _) = json.loads(run("evaluate", "a", "--corpus", "x", "--json").output)
    assert alone["against"] is None


def test_a_corpus_is_required_and_a_part_is_one_of_three(tmp_path: Path) -> None:
    assert "--corpus" in refusal("evaluate", "a")
    assert "'validation'" in refusal("evaluate", "a", "--corpus", "-", "--part", "most")
    assert "'B'" in refusal("evaluate", "a", "--corpus", "-", "--against", "B")
