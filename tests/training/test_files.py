"""Files and folders that are replaced completely or not at all, and checks of disks before long jobs."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ENVIRONMENT
from tests.training.full_disk import disk_takes
from tests.training.learning.runs import restored_in, run_in
from training.errors import InputError, ReportedError
from training.files import replacing, require_space, require_writable, sentence, write_atomically
from training.learning.loop import train
from training.release.publish import Release, publish


def test_a_full_disk_keeps_the_old_content_and_no_other_file(tmp_path: Path) -> None:
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
def test_a_process_killed_while_it_writes_leaves_the_old_content(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "checkpoint.npz"
    write_atomically(path, b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], env=ENVIRONMENT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_atomically(path, b"newer")  # the leftover of the killed process is no obstacle
    assert path.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    for content in ("first", "second"):
        with replacing(folder, {"text"}) as aside:
            (aside / "text").write_text(content)
        assert (folder / "text").read_text() == content
    with pytest.raises(FileNotFoundError), replacing(folder, {"text"}) as aside:
        (aside / "missing" / "text").write_text("third")
    assert (folder / "text").read_text() == "second"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="more than an encoded corpus"), replacing(tmp_path, {"text"}):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_full_disk_keeps_the_last_checkpoint_and_nothing_of_a_version(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.take_step()
    run.save()
    good = (tmp_path / "checkpoint.npz").read_bytes()
    with disk_takes(1000), pytest.raises(OSError, match=r"checkpoint\.npz|history\.jsonl"):
        train(run)
    assert (tmp_path / "checkpoint.npz").read_bytes() == good
    assert train(restored_in(tmp_path))
    done, models = restored_in(tmp_path), tmp_path / "models"
    release = Release("tale", done.result(), done.config, done.corpus)
    with disk_takes(1000), pytest.raises(ReportedError, match=r"cannot be written to .*/tale: File too large\.$"):
        publish(release, models)
    assert list((models / "tale").iterdir()) == []
    assert publish(release, models) == models / "tale" / "1"


def test_an_error_of_the_disk_is_one_sentence_without_its_number() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/mine/checkpoint.npz")
    assert sentence(full) == "runs/mine/checkpoint.npz: No space left on device."
    assert sentence(OSError("stdin is closed")) == "stdin is closed"


def test_needs_on_one_disk_are_added(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    half = {tmp_path / "a/b": int(free * 0.6)}
    require_space(half, "It")
    with pytest.raises(InputError, match=r"It needs about .* MB of disk space in .*a/b and .*c, and .* MB are free"):
        require_space(half | {tmp_path / "c": int(free * 0.6)}, "It")


def test_a_folder_that_can_be_written_to_is_left_as_it_is(tmp_path: Path) -> None:
    require_writable(tmp_path / "models" / "mine", "--models")
    require_writable(tmp_path, "--models")
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_cannot_be_created_or_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"^--models: {tmp_path}/file/below cannot be created: Not a directory\.$"):
        require_writable(tmp_path / "file/below", "--models")
    with pytest.raises(InputError, match=r"^--runs: /proc cannot be written to: "):
        require_writable(Path("/proc"), "--runs")
