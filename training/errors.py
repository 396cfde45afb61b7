"""Exceptions whose message, one sentence, is printed to the user."""


class ReportedError(Exception):
    """A command failed; the message gives the reason."""

    exit_code = 1


class InputError(ReportedError):
    """Invalid input. The message names the given value and a valid one."""
