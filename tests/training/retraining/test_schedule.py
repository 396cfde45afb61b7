"""The schedule: when a run is due, and how a stop reaches it."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.processes import ROOT
from tests.waiting import wait_until
from training.retraining.schedule import is_due

BERLIN = ZoneInfo("Europe/Berlin")
THREE = datetime(2026, 1, 1, 3).time()


def utc(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (utc(2026, 11, 21, 2, 0), utc(2026, 11, 21, 12), False),  # it ran at three in Berlin
        (utc(2026, 11, 20, 2, 0), utc(2026, 11, 21, 12), True),
        (utc(2026, 11, 20, 2, 0), utc(2026, 11, 21, 1, 59), False),  # it is not three yet
        (utc(2026, 11, 20, 2, 0), utc(2026, 11, 21, 2, 0), True),
        (utc(2026, 7, 20, 1, 0), utc(2026, 7, 21, 0, 59), False),  # summer time
        (utc(2026, 7, 20, 1, 0), utc(2026, 7, 21, 1, 0), True),
        (None, utc(2026, 11, 21, 12), True),
    ],
)
def test_a_run_is_due_if_none_began_since_the_last_time_of_day(last: datetime | None, now: datetime, due: bool) -> None:
    assert is_due([last], THREE, BERLIN, now) is due
    assert is_due([utc(2027, 1, 1), last], THREE, BERLIN, now) is due  # one of several models


# Runs instead of `retrain`; prints when it starts, ends, and is stopped.
STAND_IN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"saved\\n"), sys.exit(1)))  # print is not reentrant
print("started", flush=True)
time.sleep(float(sys.argv[1]))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ended", flush=True)
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
    """Start a schedule whose command takes so many seconds, and begins `now` or in twelve hours."""
    return subprocess.Popen(
        [sys.executable, "-c", SCHEDULE, STAND_IN, str(seconds), when],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_passed_on_to_the_running_command_which_is_waited_for(signal_: signal.Signals) -> None:
    process = schedule(600, "now")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal_)  # as a terminal does; the command gets it once, through the schedule
    assert process.communicate(timeout=60)[0] == "saved\nend\n"
    assert process.returncode == 0


def test_the_schedule_continues_after_its_command_has_ended() -> None:
    process = schedule(0, "now")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["started\n", "ended\n"]
    assert process.poll() is None
    process.terminate()
    assert process.communicate(timeout=60)[0] == "end\n"


def test_before_its_time_no_command_is_started() -> None:
    process = schedule(0, "later")
    wait_until(lambda: _handles_sigterm(process.pid))
    process.terminate()
    assert process.communicate(timeout=60)[0] == "end\n"


def _handles_sigterm(pid: int) -> bool:
    """Whether the process has installed its handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)
