"""Downloads for tests: complete, stopped in between, or refused."""

from pathlib import Path

import pytest

from training.corpora.catalogue import Entry
from training.corpora.download import RetryPolicy, fetch
from training.errors import ReportedError

RETRIES = RetryPolicy(timeout_s=5, waits_s=(0, 0, 0))


def fetched(entry: Entry, folder: Path) -> list[str]:
    """Download, check that no other file is in the folder, and return the sentences for the user."""
    said: list[str] = []
    path = fetch(entry, folder, say=said.append, retries=RETRIES)
    assert path == folder / entry.file
    assert list(folder.iterdir()) == [path]
    return said


def stopped(entry: Entry, folder: Path, at: int = 1) -> tuple[list[str], Path]:
    """Press Ctrl-C after `at` bytes; returns the sentences for the user and the partial file."""
    said: list[str] = []

    def interrupt(done: int, total: int | None) -> None:
        if done >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry, folder, say=said.append, progress=interrupt, retries=RETRIES)
    assert not (folder / entry.file).exists()
    return said, folder / f".{entry.file}.partial"


def refusal(entry: Entry, folder: Path) -> str:
    """The sentence of a failed download."""
    with pytest.raises(ReportedError) as refused:
        fetch(entry, folder, say=lambda _: None, retries=RETRIES)
    assert "\n" not in str(refused.value)
    assert not (folder / entry.file).exists()
    return str(refused.value)
