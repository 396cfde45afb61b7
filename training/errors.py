"""Exceptions whose message is the one sentence that the person at the terminal gets."""


class ReportedError(Exception):
    """A command failed; the message says why."""

    exit_code = 1


class InputError(ReportedError):
    """Bad input. The message names what was given and what would do."""
