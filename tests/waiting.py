"""Waiting for a condition, by polling until a deadline."""

import time
from collections.abc import Callable
from typing import Any


def wait_until(
    condition: Callable[[], Any],
    timeout_s: float = 60,
    *,
    poll_s: float = 0.02,
    explain: Callable[[], object] = lambda: "",
) -> Any:
    """Call `condition` every `poll_s` seconds until it is true, and return its value.

    Raises:
        AssertionError: it was still false after `timeout_s`; the message is that of `explain`.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"{condition} is still false after {timeout_s} s. {explain()}"
        time.sleep(poll_s)
    return value
