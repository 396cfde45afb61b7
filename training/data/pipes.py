"""Standard input and named pipes as sources. They can be read once and only forwards."""

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from training.data.reader import Opened, Source, shown


def stdin() -> Source:
    """Standard input."""
    return Source("stdin", "- (stdin)", False, _open_stdin)


def pipe(path: Path) -> Source:
    """A named pipe, or another path that is not a regular file."""
    return Source(shown(path.name), shown(path), False, partial(path.open, "rb"))


def _open_stdin() -> Opened:
    if sys.stdin is None:
        raise OSError("stdin is closed")
    return nullcontext(sys.stdin.buffer)
