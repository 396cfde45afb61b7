"""Files and folders that are whole or absent, on a disk that takes no more and in a process that is killed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import ENVIRONMENT
from tests.training.full_disk import disk_takes
from tests.training.learning.runs import run_in
from training.errors import InputError, ReportedError
from training.files import replacing, sentence, write_atomically
from training.learning.loop import train
from training.release.publish import Release, publish


def test_a_full_disk_keeps_the_old_content_and_leaves_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    write_atomically(path, b"old")
    with disk_takes(1000), pytest.raises(OSError, match=r"checkpoint\.npz"):
        write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from training.files import write_atomically

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[2], die)
write_atomically(Path(sys.argv[1]), b"new" * 100_000)
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_killed_while_it_writes_it_leaves_the_old_content(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "checkpoint.npz"
    write_atomically(path, b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], env=ENVIRONMENT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_atomically(path, b"newer")  # what the dead left aside is in nobody's way
    assert path.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_by_a_whole_one_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    for content in ("first", "second"):
        with replacing(folder, {"text"}) as aside:
            (aside / "text").write_text(content)
        assert (folder / "text").read_text() == content
    with pytest.raises(FileNotFoundError), replacing(folder, {"text"}) as aside:
        (aside / "missing" / "text").write_text("third")
    assert (folder / "text").read_text() == "second"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="more than an encoded corpus"), replacing(tmp_path, {"text"}):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_full_disk_keeps_the_last_good_checkpoint_and_then_nothing_of_a_version(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.take_step()
    run.save()
    good = (tmp_path / "checkpoint.npz").read_bytes()
    with disk_takes(1000), pytest.raises(OSError, match=r"checkpoint\.npz|history\.jsonl"):
        train(run)
    assert (tmp_path / "checkpoint.npz").read_bytes() == good
    assert train(run_restored(tmp_path))
    done, models = run_restored(tmp_path), tmp_path / "models"
    release = Release("tale", done.result(), done.config, done.corpus)
    with disk_takes(1000), pytest.raises(ReportedError, match=r"cannot be written to .*/tale: File too large\.$"):
        publish(release, models)
    assert list((models / "tale").iterdir()) == []
    assert publish(release, models) == models / "tale" / "1"


def test_a_full_disk_is_one_sentence_without_an_error_number() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/mine/checkpoint.npz")
    assert sentence(full) == "runs/mine/checkpoint.npz: No space left on device."
    assert sentence(OSError("stdin is closed")) == "stdin is closed"


@pytest.mark.parametrize("damage", [lambda good: good[:-1000], lambda good: b"", lambda good: b"x" * len(good)])
def test_a_damaged_checkpoint_is_said_to_be_one(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    run_in(tmp_path).save()
    checkpoint = tmp_path / "checkpoint.npz"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(InputError, match=r"checkpoint\.npz is damaged.*--restart"):
        run_restored(tmp_path)


def run_restored(folder: Path):
    run = run_in(folder)
    run.restore()
    return run
