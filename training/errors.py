"""The one exception that means: the person at the terminal can mend this."""


class InputError(Exception):
    """Bad input. The message is one sentence that names what was given and what would do."""
