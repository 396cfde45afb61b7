import logging

import pytest

from service.store.failures import Failures


def fail(failures: Failures, error: Exception | None, subject: str = "Model 'a'") -> None:
    with failures.caught(subject):
        if error:
            raise error


def test_a_repeated_failure_is_logged_once_until_the_work_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    for error in (OSError("first"), OSError("first"), OSError("second"), None, OSError("second")):
        fail(failures, error)
    assert caplog.messages == [
        f"Model 'a' cannot be read and stays as it is: {word}." for word in ("first", "second", "second")
    ]


def test_subjects_are_remembered_apart(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    for subject in ("Model 'a'", "Model 'b'", "Model 'a'"):
        fail(failures, OSError("no"), subject)
    assert len(caplog.messages) == 2


def test_only_unexpected_errors_are_logged_with_their_trace(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    fail(failures, OSError("no"))
    fail(failures, ZeroDivisionError("division"))
    assert [(record.levelno, bool(record.exc_info)) for record in caplog.records] == [
        (logging.WARNING, False),
        (logging.ERROR, True),
    ]


def test_an_exit_is_not_caught() -> None:
    with pytest.raises(SystemExit), Failures().caught("The store"):
        raise SystemExit
