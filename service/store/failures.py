"""Failures of work that is repeated: logged once until the work succeeds again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Failures:
    """Keeps exceptions from ending a loop, and remembers the last one of each subject so as not to log it twice."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    @contextmanager
    def caught(self, subject: str) -> Iterator[None]:
        """Catch and log every exception of the work on `subject`, which begins a sentence of the log.

        An OSError is logged without its trace: the reason is the disk or its permissions.
        """
        try:
            yield
            self._last.pop(subject, None)
        except OSError as error:
            if self._is_new(subject, error):
                log.warning("%s cannot be read and stays as it is: %s.", subject, error)
        except Exception as error:
            if self._is_new(subject, error):
                log.exception("%s stays as it is: unexpected error.", subject)

    def _is_new(self, subject: str, error: Exception) -> bool:
        before, self._last[subject] = self._last.get(subject), repr(error)
        return before != repr(error)
