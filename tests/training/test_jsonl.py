"""Files of one JSON object a line: what a line is, and what a damaged one costs."""

import json
import logging
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.training.report.test_write import Page, evaluation, rows, write_run
from training import jsonl
from training.report.write import write_report
from training.retraining.metrics import Nights
from training.retraining.record import PUBLISHED, Night, last_night, nights

# All that str.splitlines, Python's text files, JavaScript or a terminal take for the end of a line.
LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
STARTED = "2026-11-20T02:00:00+00:00"


def identity(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def test_a_line_holds_no_character_that_a_reader_takes_for_its_end() -> None:
    fields = {"text": f"a{LINE_ENDS}b", LINE_ENDS: [LINE_ENDS]}
    line = jsonl.line(fields)
    assert line.splitlines() == [line.removesuffix("\n")]
    assert json.loads(line) == fields


def test_a_sample_in_any_language_stays_readable() -> None:
    assert jsonl.line({"sample": "Толстой 紅樓夢 é"}) == '{"sample": "Толстой 紅樓夢 é"}\n'


def test_a_line_is_utf8_whatever_a_file_name_holds() -> None:
    line = jsonl.line({"reason": "na\udcefve.txt"})
    assert json.loads(line.encode())["reason"] == "na\udcefve.txt"


def test_numbers_that_json_lacks_become_null() -> None:
    line = jsonl.line(
        {"losses": {"fresh": {"old": math.nan, "new": -math.inf, "characters": 3.0}}, "list": (math.inf,)}
    )
    assert json.loads(line, parse_constant=pytest.fail) == {
        "losses": {"fresh": {"old": None, "new": None, "characters": 3.0}},
        "list": [None],
    }


@pytest.mark.parametrize(
    "damaged",
    [b'{"model": "a", "sta', b"\xff\xfe", b"3", b"{}", b'{"model": "a", "started": "yesterday"}', b"[" * 100_000],
    ids=["half a line", "not UTF-8", "no object", "nothing in it", "no time", "too deep"],
)
def test_a_damaged_line_of_the_nights_costs_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: bytes
) -> None:
    Night("a", STARTED, decision=PUBLISHED).append(tmp_path)
    path = tmp_path / "a" / "retraining.jsonl"
    path.write_bytes(path.read_bytes() + damaged)  # as a crash leaves it: without a line's end
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


def test_a_name_with_line_ends_in_a_reason_ends_no_night(tmp_path: Path) -> None:
    reason = f"--corpus texts/a{LINE_ENDS}\udcff.txt is not UTF-8."
    Night("a", STARTED, reason=reason).append(tmp_path)
    (night,) = nights(tmp_path, "a")
    assert night["reason"] == reason


def test_a_record_that_was_written_with_every_character_as_itself_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    line = {"model": "a", "started": STARTED, "decision": "failed", "reason": "a\u2028b\x85"}
    (tmp_path / "a" / "retraining.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [night["reason"] for night in nights(tmp_path, "a")] == ["a\u2028b\x85"]


def test_a_loss_that_is_no_number_is_one_for_prometheus_too(tmp_path: Path) -> None:
    Night("a", STARTED, losses={"fresh": {"old": 2.0, "new": math.nan, "characters": 9.0}}).append(tmp_path)
    registry = CollectorRegistry()
    registry.register(Nights(tmp_path, ["a"]))
    assert 'charloom_retraining_loss_nats{model="a",of="new",text="fresh"} NaN' in generate_latest(registry).decode()


def test_a_report_leaves_out_half_a_line_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_run(tmp_path / "run", [evaluation(1, 2.0), evaluation(2, 1.5, samples={"1.0": "a\u2028b\x85c"})])
    history = folder / "history.jsonl"
    history.write_bytes(history.read_bytes() + b'{"step": 30, "epo')
    with caplog.at_level(logging.WARNING):
        page = Page(write_report(folder))
    assert [row[1] for row in rows(page, "epoch")] == ["10", "20"]
    (warning,) = caplog.messages
    assert f"{history}, line 3 cannot be read" in warning
