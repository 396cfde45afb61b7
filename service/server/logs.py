"""The log: one JSON object a line on stderr, for the records of every library."""

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
    """A record as JSON: time (RFC 3339, UTC), level, logger, message, then the fields of `extra`."""

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            json_ensure_ascii=True,  # control characters and line separators of any kind
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The record's time in RFC 3339, with a fraction and a zone, which the standard library's format lacks."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's records in the same form."""

    def setup(self, cfg: Any) -> None:
        """Set the handlers; gunicorn calls this at the start and at each reload of its settings."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())


def configure() -> None:
    """Log the records of every logger, warnings and uncaught exceptions of threads through `JsonLines` to stderr."""
    # TensorFlow's C++ logs lines that are not JSON. Its errors also raise exceptions; level 3 keeps only fatal lines.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_failure


@contextmanager
def stderr_as_records() -> Iterator[None]:
    """Log the lines that native code writes to stderr inside the block as records, at its end.

    TensorFlow's C++ writes some during its import, before it reads its log level.
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
    log.error("Thread %s ended because of an unexpected error.", name, exc_info=failure.exc_value)
