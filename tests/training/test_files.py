"""A disk that takes no more, in the size of files that a process may write."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.training.test_run import run_in
from training.data.corpus import Corpus
from training.data.vocabulary import Vocabulary
from training.errors import ReportedError
from training.files import write_atomically
from training.learning.run import train
from training.release.publish import Release, publish


@contextmanager
def disk_takes(bytes_: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_old_content_and_leaves_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    write_atomically(path, b"old")
    with disk_takes(1000), pytest.raises(OSError, match=r"checkpoint\.npz"):
        write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_publishes_nothing_and_says_so(tmp_path: Path) -> None:
    text = "abcdefgh" * 50
    run = run_in(tmp_path, text)
    assert train(run)
    vocabulary, models = Vocabulary.of(text), tmp_path / "models"
    release = Release("tale", run.result(), run.config, Corpus(text, ()), vocabulary)
    with disk_takes(1000), pytest.raises((ReportedError, OSError)):
        publish(release, models)
    assert list((models / "tale").iterdir()) == []
    assert publish(release, models) == models / "tale" / "1"
