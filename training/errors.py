"""Exceptions whose message is the one sentence that the person at the terminal gets."""


class ReportedError(Exception):
    """A command failed; the message says why."""


class InputError(ReportedError):
    """Bad input. The message names what was given and what would do."""
