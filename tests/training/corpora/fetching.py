"""A fetch as a test wants it: whole, stopped in between, or refused."""

from pathlib import Path

import pytest

from training.corpora.catalogue import Entry
from training.corpora.download import Patience, fetch
from training.errors import ReportedError

IMPATIENT = Patience(timeout_s=5, waits_s=(0, 0, 0))


def fetched(entry: Entry, folder: Path) -> list[str]:
    """Fetch, check that the file is whole and alone, and return what was said."""
    said: list[str] = []
    path = fetch(entry, folder, say=said.append, patience=IMPATIENT)
    assert path == folder / entry.file
    assert list(folder.iterdir()) == [path]
    return said


def stopped(entry: Entry, folder: Path, at: int = 1) -> tuple[list[str], Path]:
    """Press Ctrl-C once `at` bytes are there; returns what was said, and the partial file."""
    said: list[str] = []

    def press(done: int, total: int | None) -> None:
        if done >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry, folder, say=said.append, progress=press, patience=IMPATIENT)
    assert not (folder / entry.file).exists()
    return said, folder / f".{entry.file}.partial"


def refusal(entry: Entry, folder: Path) -> str:
    """The one sentence of a fetch that fails."""
    with pytest.raises(ReportedError) as refused:
        fetch(entry, folder, say=lambda _: None, patience=IMPATIENT)
    assert "\n" not in str(refused.value)
    assert not (folder / entry.file).exists()
    return str(refused.value)
