"""Looking again and again, whatever goes wrong in a look. Knows nothing of what is looked at."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.health import WatchedThread

STALLED_AFTER_S = 600.0  # of one look, in which a large model may load from a slow disk

log = logging.getLogger(__name__)


class Watch:
    """Calls `look` every `seconds` in a thread of its own, until it is closed."""

    def __init__(self, look: Callable[[], None], seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._closed = threading.Event()
        self._troubles = Troubles()
        self._thread = WatchedThread(self._run, "store", stalled_after_s=STALLED_AFTER_S)
        self._thread.start()

    def fault(self) -> str | None:
        """What is wrong with the thread, in a sentence; None: it looks as it should."""
        return self._thread.fault()

    def close(self) -> None:
        """Look no more; returns when the look that is under way has ended."""
        self._closed.set()
        self._thread.join()

    def _run(self, thread: WatchedThread) -> None:
        while not self._closed.wait(self._seconds):
            with thread.task(), self._troubles.surviving("The store"):
                self._look()


class Troubles:
    """What goes wrong with each thing looked at: kept inside, and said once until it goes well again."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    @contextmanager
    def surviving(self, what: str) -> Iterator[None]:
        """Let nothing out that goes wrong with `what`; with its trace in the log if it is not the disk's doing."""
        try:
            yield
            self._said.pop(what, None)
        except OSError as error:
            if self._is_news(what, error):
                log.warning("%s cannot be read, and stays as it is: %s.", what, error)
        except Exception as error:
            if self._is_news(what, error):
                log.exception("%s stays as it is: looking at it failed.", what)

    def _is_news(self, what: str, error: Exception) -> bool:
        before, self._said[what] = self._said.get(what), repr(error)
        return before != repr(error)
