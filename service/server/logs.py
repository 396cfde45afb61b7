"""The log: one JSON object a line on stderr, whoever wrote the record. Knows nothing of what is logged."""

import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from gunicorn.glogging import Logger
from pythonjsonlogger.json import JsonFormatter

log = logging.getLogger(__name__)


class JsonLines(JsonFormatter):
    """A record as JSON: time (RFC 3339, UTC), level, logger, message, then whatever `extra` added."""

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            json_ensure_ascii=True,  # control characters and line separators of any kind
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The record's time; the standard library's own has neither zone nor fraction in RFC 3339's form."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines, in the same form."""

    def setup(self, cfg: Any) -> None:
        """Called at the start and at each reload of gunicorn's settings."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())


def configure() -> None:
    """Send the records of every logger, warnings and the last words of threads through `JsonLines` to stderr."""
    # TensorFlow's C++ writes lines that are not JSON. Its errors reach us as exceptions; only an abort's line is left.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_failure


@contextmanager
def stderr_as_records() -> Iterator[None]:
    """Within: lines that a library writes to stderr past Python are logged at the end, each as a record.

    TensorFlow's C++ writes some while it is imported, before it reads the level that it should log at.
    """
    with tempfile.TemporaryFile() as written:
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written.read().decode(errors="replace").split("\n"):
                if line:
                    log.info("%s", line)


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    name = failure.thread.name if failure.thread else "?"
    log.error("Thread %s ended.", name, exc_info=failure.exc_value)
