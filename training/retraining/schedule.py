"""Runs a command once a day, never twice at once, and makes up a missed run once. Knows nothing of models.

The command is a process of its own: its memory is freed when it ends, and a crash does not end the schedule.
"""

import signal
import subprocess
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger


class Schedule:
    """Runs `command` every day at the time `at`, until SIGTERM or SIGINT."""

    def __init__(self, command: Sequence[str], at: time, time_zone: ZoneInfo) -> None:
        self._command = command
        self._trigger = CronTrigger(hour=at.hour, minute=at.minute, timezone=time_zone)
        self._zone = time_zone
        self._scheduler = BackgroundScheduler(timezone=time_zone)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *, at_once: bool) -> None:
        """Block until SIGTERM or SIGINT. A command in progress then gets SIGTERM and is waited for.

        Args:
            at_once: Whether to start the command now, and not only at the next time `at`.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        now = datetime.now(self._zone)
        self._scheduler.add_job(
            self._run_command,
            self._trigger,
            next_run_time=now if at_once else self._trigger.get_next_fire_time(None, now),
            coalesce=True,  # after several missed runs, as on a laptop that was asleep, one is made up
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.start()
        self._stopping.wait()
        with self._lock:
            if self._process:
                self._process.send_signal(signal.SIGTERM)
        self._scheduler.shutdown()

    def _run_command(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            # A session of its own: Ctrl-C in the terminal reaches the command once, through `run`.
            self._process = subprocess.Popen(self._command, start_new_session=True)
        self._process.wait()
        with self._lock:
            self._process = None


def is_due(last: Iterable[datetime | None], at: time, time_zone: ZoneInfo, now: datetime) -> bool:
    """Whether a model has missed the latest time `at`.

    Args:
        last: For each model, the start of its last completed run, or None.
        at: Time of day of the schedule, in `time_zone`.
        time_zone: Zone of `at`.
        now: The current time, with any zone.
    """
    today = datetime.combine(now.astimezone(time_zone).date(), at, time_zone)
    latest = today if today <= now else datetime.combine(today.date() - timedelta(days=1), at, time_zone)
    return any(started is None or started < latest for started in last)
