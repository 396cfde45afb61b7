"""The records of retraining runs: what is written is read again, and an invalid line is left out."""

import dataclasses
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from training.retraining.record import INTERRUPTED, PUBLISHED, Record, last_completed, records

LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
STARTED = "2026-11-20T02:00:00+00:00"


@pytest.mark.parametrize(
    "damaged",
    [b'{"model": "a", "sta', b"\xff\xfe", b"3", b"{}", b'{"model": "a", "started": "yesterday"}', b"[" * 100_000],
    ids=["incomplete", "not UTF-8", "no object", "empty", "no time", "too deep"],
)
def test_an_invalid_line_affects_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: bytes) -> None:
    Record("a", STARTED, decision=PUBLISHED).append(tmp_path)
    path = tmp_path / "a" / "retraining.jsonl"
    path.write_bytes(path.read_bytes() + damaged)  # without a line's end, as after a crash
    Record("a", "2026-11-21T02:00:00+00:00", decision=PUBLISHED).append(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert [record["started"][:10] for record in records(tmp_path, "a")] == ["2026-11-20", "2026-11-21"]
        assert last_completed(tmp_path, "a") == datetime(2026, 11, 21, 2, tzinfo=UTC)
    (warning,) = caplog.messages
    assert f"{path}, line 2 cannot be read and is left out" in warning
    assert "\n" not in warning


def test_line_ends_in_a_reason_end_no_record(tmp_path: Path) -> None:
    reason = f"--corpus texts/a{LINE_ENDS}\udcff.txt is not UTF-8."
    Record("a", STARTED, reason=reason).append(tmp_path)
    (record,) = records(tmp_path, "a")
    assert record["reason"] == reason


def test_a_record_with_unescaped_characters_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    line = {"model": "a", "started": STARTED, "decision": "failed", "reason": "a\u2028b\x85"}
    (tmp_path / "a" / "retraining.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [record["reason"] for record in records(tmp_path, "a")] == ["a\u2028b\x85"]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    losses = {"fresh": {"old": 2.0, "new": 1.5, "characters": 9.0}}
    record = Record("a", STARTED, PUBLISHED, "Better.", 1.5, parent=1, version=2, resumed=True, steps=7, losses=losses)
    record.append(tmp_path)
    assert records(tmp_path, "a") == [dataclasses.asdict(record)]
    assert records(tmp_path, "other") == []


def test_an_interrupted_run_is_not_a_completed_one(tmp_path: Path) -> None:
    assert last_completed(tmp_path, "a") is None
    Record("a", STARTED, decision=PUBLISHED).append(tmp_path)
    Record("a", "2026-11-21T02:00:00+00:00", decision=INTERRUPTED).append(tmp_path)
    assert last_completed(tmp_path, "a") == datetime.fromisoformat(STARTED)
