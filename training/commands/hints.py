"""Commands as text that a person can paste: for this interpreter and the given folders, quoted for a shell."""

import shlex
import shutil
import sys
from pathlib import Path

from training.packages import executable, interpreter
from training.release.remote import shown

DEFAULTS = {"runs": Path("runs"), "models": Path("models")}


def program() -> str:
    """The command that starts this program from the working directory.

    `.venv/bin/python -m training`, for example; `charloom` or `.venv/bin/charloom` if it was started as charloom.
    """
    started = Path(sys.argv[0])
    if started.stem != "charloom":
        return f"{interpreter()} -m training"
    script = started if started.name == "charloom" else Path(sys.executable).with_name("charloom")
    if not script.exists():
        return f"{interpreter()} -m charloom"
    return "charloom" if shutil.which("charloom") == str(script) else executable(script)


def command(*words: str | Path, **folders: Path) -> str:
    """The command line with these words. `runs` and `models` are left out where they are the default folders."""
    flags = [f"--{name}={shown(folder)}" for name, folder in folders.items() if folder != DEFAULTS[name]]
    return f"{program()} {shlex.join(map(str, [*words, *flags]))}"
