"""Waiting for a condition, by polling until a deadline."""

import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.02


def wait_until(
    condition: Callable[[], Any], timeout_s: float = 60, *, explain: Callable[[], object] = lambda: ""
) -> Any:
    """Call `condition` until it is true, and return its value.

    Raises:
        AssertionError: it was still false after `timeout_s`; the message is that of `explain`.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"{condition} is still false after {timeout_s} s. {explain()}"
        time.sleep(POLL_SECONDS)
    return value
