"""When the records are, what a stop does to one, and what Prometheus hears of them."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.processes import ROOT
from training.retraining.metrics import RetrainingMetrics
from training.retraining.record import INTERRUPTED, PUBLISHED, REFUSED, Record, last_completed
from training.retraining.schedule import is_due

BERLIN = ZoneInfo("Europe/Berlin")
THREE = datetime(2026, 1, 1, 3).time()


def utc(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (utc(2026, 11, 21, 2, 0), utc(2026, 11, 21, 12), False),  # it was at three in Berlin
        (utc(2026, 11, 20, 2, 0), utc(2026, 11, 21, 12), True),
        (utc(2026, 11, 20, 2, 0), utc(2026, 11, 21, 1, 59), False),  # it is not three yet
        (utc(2026, 11, 20, 2, 0), utc(2026, 11, 21, 2, 0), True),
        (utc(2026, 7, 20, 1, 0), utc(2026, 7, 21, 0, 59), False),  # summer time
        (utc(2026, 7, 20, 1, 0), utc(2026, 7, 21, 1, 0), True),
        (None, utc(2026, 11, 21, 12), True),
    ],
)
def test_a_night_is_due_if_none_was_since_the_last_time_of_day(last: datetime | None, now: datetime, due: bool) -> None:
    assert is_due([last], THREE, BERLIN, now) is due
    assert is_due([utc(2027, 1, 1), last], THREE, BERLIN, now) is due  # one of several models


def record(models: Path, started: str, decision: str, **facts: object) -> None:
    Record("a", started, decision=decision, **facts).append(models)  # type: ignore[arg-type]


def test_an_interrupted_night_counts_as_none(tmp_path: Path) -> None:
    assert last_completed(tmp_path, "a") is None
    record(tmp_path, "2026-11-20T02:00:00+00:00", PUBLISHED)
    record(tmp_path, "2026-11-21T02:00:00+00:00", INTERRUPTED)
    assert last_completed(tmp_path, "a") == utc(2026, 11, 20, 2)


def test_prometheus_hears_of_the_records(tmp_path: Path) -> None:
    losses = {"fresh": {"old": 2.0, "new": 1.5, "characters": 1000.0}}
    record(tmp_path, "2026-11-20T02:00:00+00:00", PUBLISHED, losses=losses, seconds=60.0)
    record(tmp_path, "2026-11-21T02:00:00+00:00", REFUSED, seconds=90.0, characters=7)
    registry = CollectorRegistry()
    registry.register(RetrainingMetrics(tmp_path, ["a", "never"]))
    lines = generate_latest(registry).decode().splitlines()
    assert 'charloom_retraining_runs_total{decision="failed",model="never"} 0.0' in lines
    assert {line for line in lines if not line.startswith("#") and not line.endswith(" 0.0")} == {
        'charloom_retraining_runs_total{decision="published",model="a"} 1.0',
        'charloom_retraining_runs_total{decision="refused",model="a"} 1.0',
        'charloom_retraining_start_seconds{model="a"} 1.7952264e+09',
        'charloom_retraining_duration_seconds{model="a"} 90.0',
        'charloom_retraining_corpus_characters{model="a"} 7.0',
        'charloom_retraining_loss_nats{model="a",of="old",text="fresh"} 2.0',
        'charloom_retraining_loss_nats{model="a",of="new",text="fresh"} 1.5',
    }


# In the place of `retrain`: says when it runs, and when it is asked to stop.
STAND_IN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"saved\\n"), sys.exit(1)))  # print may be at work already
print("night", flush=True)
time.sleep(float(sys.argv[1]))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("over", flush=True)
"""
SCHEDULE = """
import sys
from datetime import datetime
from zoneinfo import ZoneInfo
from training.retraining.schedule import Schedule
at = datetime(2026, 1, 1, (datetime.now(ZoneInfo("UTC")).hour + 12) % 24).time()
Schedule([sys.executable, "-c", sys.argv[1], sys.argv[2]], at, ZoneInfo("UTC")).run(at_once=sys.argv[3] == "now")
print("end", flush=True)
"""


def schedule(seconds: float, when: str) -> subprocess.Popen[str]:
    """A schedule whose night takes so long, and begins now or in twelve hours."""
    return subprocess.Popen(
        [sys.executable, "-c", SCHEDULE, STAND_IN, str(seconds), when],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_the_night_which_is_waited_for(signal_: signal.Signals) -> None:
    process = schedule(600, "now")
    assert process.stdout is not None
    assert process.stdout.readline() == "night\n"
    os.killpg(process.pid, signal_)  # as a terminal does: the night hears of it once, through its parent
    assert process.communicate(timeout=60)[0] == "saved\nend\n"
    assert process.returncode == 0


def test_a_night_ends_and_the_schedule_goes_on(tmp_path: Path) -> None:
    process = schedule(0, "now")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["night\n", "over\n"]
    assert process.poll() is None
    process.terminate()
    assert process.communicate(timeout=60)[0] == "end\n"


def test_before_its_time_nothing_runs() -> None:
    process = schedule(0, "later")
    deadline = time.monotonic() + 60
    while not (listens := _listens(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)  # until it listens to signals
    assert listens
    process.terminate()
    assert process.communicate(timeout=60)[0] == "end\n"


def _listens(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)
