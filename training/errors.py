"""Exceptions whose message, one sentence, is printed to the user."""


class ReportedError(Exception):
    """A command failed; the message gives the reason."""

    exit_code = 1


class InputError(ReportedError):
    """Invalid input. The message names the given value and a valid one."""


class DamagedRun(InputError):
    """A file of a run is damaged or missing."""

    def __init__(self, fact: str) -> None:
        super().__init__(f"{fact}: restore it from a backup, or discard the run with `train --restart`.")
        self.fact = fact  # the message without the advice, for a run that `train` does not know
