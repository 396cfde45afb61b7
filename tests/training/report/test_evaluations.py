"""Evaluations from history.jsonl."""

import json
import logging
import math
from pathlib import Path

import pytest

from tests.training.report.runs import evaluation
from training.errors import InputError
from training.report.evaluations import Evaluation, read_history


def write(folder: Path, *lines: str) -> Path:
    (folder / "history.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return folder


def test_losses_are_in_nats_and_bits() -> None:
    found = Evaluation.from_json(evaluation(3, 1.4))
    assert (found.validation, found.training) == (1.4, 1.5)
    assert found.bits == pytest.approx(1.4 / math.log(2))


def test_fields_that_a_report_does_not_need_may_be_missing() -> None:
    found = Evaluation.from_json({"step": 1, "epoch": 1, "chars_seen": 50, "validation_nats_per_char": 2})
    assert (found.samples, found.novelty, found.seconds) == ({}, None, {})
    assert all(map(math.isnan, (found.training, found.learning_rate, found.chars_per_second, found.elapsed_seconds)))


def test_epochs_are_shown_without_unnecessary_zeros() -> None:
    epochs = [Evaluation.from_json(evaluation(1, 2.0, epoch=epoch)).epoch_text for epoch in (12.0, 0.25, 1.5, 0.333)]
    assert epochs == ["12", "0.25", "1.5", "0.33"]


def test_invalid_lines_are_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        json.dumps(evaluation(1, 2.0)),
        '{"step": 30, "epo',
        json.dumps(evaluation(2, 1.5, samples={"1": "\u2028"})),
    ]
    with caplog.at_level(logging.WARNING):
        assert [found.step for found in read_history(write(tmp_path, *lines))] == [10, 20]
    (warning,) = caplog.messages
    assert f"{tmp_path / 'history.jsonl'}, line 2 cannot be read" in warning


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no evaluation yet"),
        ([""], "no evaluation yet"),
        (['{"step": 1}', '{"st'], "line 1 and 1 more cannot be read and are left out: KeyError 'epoch'"),
        (["3"], "line 1"),
        ([json.dumps(evaluation(1, math.nan))], "its validation loss is nan"),
    ],
    ids=["empty", "empty line", "short lines", "no object", "no loss"],
)
def test_a_history_without_a_valid_line_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_history(write(tmp_path, *lines))


def test_a_missing_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"The run in {tmp_path} has no evaluation yet"):
        read_history(tmp_path)
