"""The record of retraining runs: its lines as read by people, by the next run and by Prometheus."""

import json
import logging
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from training.retraining.metrics import Nights
from training.retraining.record import PUBLISHED, Night, last_night, nights

LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
STARTED = "2026-11-20T02:00:00+00:00"


@pytest.mark.parametrize(
    "damaged",
    [b'{"model": "a", "sta', b"\xff\xfe", b"3", b"{}", b'{"model": "a", "started": "yesterday"}', b"[" * 100_000],
    ids=["incomplete", "not UTF-8", "no object", "empty", "no time", "too deep"],
)
def test_an_invalid_line_affects_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: bytes) -> None:
    Night("a", STARTED, decision=PUBLISHED).append(tmp_path)
    path = tmp_path / "a" / "retraining.jsonl"
    path.write_bytes(path.read_bytes() + damaged)  # without a line's end, as after a crash
    Night("a", "2026-11-21T02:00:00+00:00", decision=PUBLISHED).append(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert [night["started"][:10] for night in nights(tmp_path, "a")] == ["2026-11-20", "2026-11-21"]
        assert last_night(tmp_path, "a") == datetime(2026, 11, 21, 2, tzinfo=UTC)
        registry = CollectorRegistry()
        registry.register(Nights(tmp_path, ["a"]))
        exposed = generate_latest(registry).decode()
    assert 'charloom_retraining_runs_total{decision="published",model="a"} 2.0' in exposed
    (warning,) = caplog.messages
    assert f"{path}, line 2 cannot be read and is left out" in warning
    assert "\n" not in warning


def test_line_ends_in_a_reason_end_no_record(tmp_path: Path) -> None:
    reason = f"--corpus texts/a{LINE_ENDS}\udcff.txt is not UTF-8."
    Night("a", STARTED, reason=reason).append(tmp_path)
    (night,) = nights(tmp_path, "a")
    assert night["reason"] == reason


def test_a_record_with_unescaped_characters_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    line = {"model": "a", "started": STARTED, "decision": "failed", "reason": "a\u2028b\x85"}
    (tmp_path / "a" / "retraining.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [night["reason"] for night in nights(tmp_path, "a")] == ["a\u2028b\x85"]


def test_a_loss_that_is_not_a_number_is_nan_for_prometheus(tmp_path: Path) -> None:
    Night("a", STARTED, losses={"fresh": {"old": 2.0, "new": math.nan, "characters": 9.0}}).append(tmp_path)
    registry = CollectorRegistry()
    registry.register(Nights(tmp_path, ["a"]))
    assert 'charloom_retraining_loss_nats{model="a",of="new",text="fresh"} NaN' in generate_latest(registry).decode()
