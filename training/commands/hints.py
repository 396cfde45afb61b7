"""Commands as text that a person can paste: this interpreter, the folders that were given, quoted for a shell."""

import shlex
from pathlib import Path

from training.packages import interpreter

DEFAULTS = {"runs": Path("runs"), "models": Path("models")}


def program() -> str:
    """How the running interpreter starts the command line from this folder, e.g. `.venv/bin/python -m training`."""
    return f"{interpreter()} -m training"


def command(*words: str | Path, **folders: Path) -> str:
    """The command line with these words. `runs` and `models` are left out where they are the default folders."""
    flags = [f"--{name}={folder}" for name, folder in folders.items() if folder != DEFAULTS[name]]
    return f"{program()} {shlex.join(map(str, [*words, *flags]))}"
