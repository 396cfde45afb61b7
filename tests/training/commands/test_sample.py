"""The flags of `sample`; tests/system/test_sample.py compares its texts with the service."""

from pathlib import Path

import pytest

from tests.training.commands.cli import failure, refusal


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--temperature", "5.1"], ["--temperature", "5.1", "0<=x<=5"]),
        (["--top-p", "0"], ["--top-p", "0<x<=1"]),
        (["--top-k", "-1"], ["--top-k", "-1", "0<=x"]),
        (["--count", "0"], ["--count", "x>=1"]),
        (["--seed", str(2**63 - 1), "--count", "2"], ["--seed", "--count 2 exceeds", str(2**63 - 1)]),
        (["--prompt", "a", "--prompt-file", "b"], ["either --prompt or --prompt-file"]),
        (["--run", "."], ["either NAME of a published model or --run FOLDER"]),
    ],
)
def test_an_invalid_flag_is_one_sentence(flags: list[str], words: list[str]) -> None:
    sentence = refusal("sample", "a", *flags)
    assert all(word in sentence for word in words)
    assert "Give either NAME" in refusal("sample")


def test_an_unknown_model_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    line = failure(monkeypatch, capfd, "sample", "nothing", "--models", str(tmp_path))
    assert line == f"Error: There is no model 'nothing' in {tmp_path}: train one with --name nothing."
