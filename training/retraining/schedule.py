"""When the nights are: once a day, never two at once, one that was missed made up once. Knows no model.

A night is a process of its own: what it took is free in the morning, and what kills it does not end the schedule.
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
    """Runs `command` every day at a time of day, until it is told to stop."""

    def __init__(self, command: Sequence[str], at: time, time_zone: ZoneInfo) -> None:
        self._command = command
        self._trigger = CronTrigger(hour=at.hour, minute=at.minute, timezone=time_zone)
        self._zone = time_zone
        self._scheduler = BackgroundScheduler(timezone=time_zone)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._night: subprocess.Popen[bytes] | None = None

    def run(self, *, at_once: bool) -> None:
        """Until SIGTERM or SIGINT: a night under way is passed on the signal, saves itself, and is waited for."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        now = datetime.now(self._zone)
        self._scheduler.add_job(
            self._spend,
            self._trigger,
            next_run_time=now if at_once else self._trigger.get_next_fire_time(None, now),
            coalesce=True,  # a laptop that slept through three of them makes up one
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.start()
        self._stopping.wait()
        with self._lock:
            if self._night:
                self._night.send_signal(signal.SIGTERM)
        self._scheduler.shutdown()

    def _spend(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            # A session of its own: Ctrl-C at the terminal reaches it through us, once.
            self._night = subprocess.Popen(self._command, start_new_session=True)
        self._night.wait()
        with self._lock:
            self._night = None


def is_due(last_nights: Iterable[datetime | None], at: time, time_zone: ZoneInfo, now: datetime) -> bool:
    """Whether one of the models had no night since the last that was to be; None: it never had one."""
    today = datetime.combine(now.astimezone(time_zone).date(), at, time_zone)
    last = today if today <= now else datetime.combine(today.date() - timedelta(days=1), at, time_zone)
    return any(night is None or night < last for night in last_nights)
