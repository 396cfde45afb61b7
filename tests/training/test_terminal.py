"""The terminal: output that cannot be written ends no command, and the progress fits a pipe and a narrow terminal."""

import os
import pty
import signal
import struct
import subprocess
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Any

import pytest

from tests.processes import COMMAND, ENVIRONMENT, started
from tests.waiting import wait_until
from training.terminal import STOP_SIGNALS, quietly, stop_on_signal

NETWORK = ["--layers", "1", "--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "10"]
DROPOUT = ["--dropout", "0", "--output-dropout", "0", "--weight-dropout", "0"]
RUN = [*NETWORK, *DROPOUT, "--steps", "50", "--force"]
TEXT = "Кот сидел на ковре — «мяу». " * 120


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text(TEXT)
    return tmp_path / "corpus.txt"


def close_readers(_: None) -> None:
    """Runs in the process that trains: makes stdout and stderr pipes without a reader."""
    for number in (1, 2):
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, number)


@pytest.mark.slow
def test_characters_that_the_terminal_lacks_end_neither_train_nor_sample(corpus: Path) -> None:
    train = ["train", "--name", "me", "--corpus", str(corpus), *RUN]
    sample = ["sample", "me", "--prompt", "Кот"]
    for encoding, arguments in (("ascii", train), ("ascii", sample), ("latin-1", sample), ("cp1252", sample)):
        environment = ENVIRONMENT | {"PYTHONIOENCODING": encoding}
        result = subprocess.run(
            [*COMMAND, *arguments], cwd=corpus.parent, env=environment, capture_output=True, check=False
        )
        assert result.returncode == 0, result.stderr
    assert (corpus.parent / "models/me/1").exists()


def test_a_pipe_without_a_reader_ends_neither_train_nor_sample(corpus: Path) -> None:
    for arguments in (["train", "--name", "me", "--corpus", str(corpus), *RUN], ["sample", "me"]):
        out = corpus.parent / "out"
        process = started(*arguments, cwd=corpus.parent, out=out, err=out, before=(close_readers, None))
        process.join()
        assert process.exitcode == 0
    assert (corpus.parent / "models/me/1").exists()


def test_with_stdout_closed_a_run_is_trained_and_published(corpus: Path) -> None:
    command = " ".join([*COMMAND, "train", "--name", "me", "--corpus", str(corpus), *RUN, ">&-"])
    result = subprocess.run(
        command, shell=True, cwd=corpus.parent, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (corpus.parent / "models/me/1").exists()


def test_output_lost_on_a_full_disk_is_reported_at_the_end(tiny: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [*COMMAND, "sample", "tiny"],
            cwd=tiny,
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "Error: Some of the output is lost: No space left on device."


def print_every_line(_: None) -> None:
    """Runs in the process that trains: prints a line at each step, and not each half minute."""
    from training.learning import progress

    progress.SECONDS_BETWEEN_LINES = -1


def test_without_a_terminal_progress_is_printed_in_lines(corpus: Path) -> None:
    err = corpus.parent / "err"
    arguments = ["train", "--name", "me", "--corpus", str(corpus), *RUN]
    process = started(
        *arguments, cwd=corpus.parent, out=corpus.parent / "out", err=err, before=(print_every_line, None)
    )
    process.join()
    assert process.exitcode == 0
    lines = err.read_text().splitlines()
    (step,) = [line for line in lines if "step 30 of 50" in line]
    assert step.startswith("epoch 0.4/0.7, step 30 of 50 (60%), ")
    assert step.endswith(" bits")
    assert " nats " in step
    for stage in ("evaluation 100%", "sampling 50%", "export", "validation text 100%"):
        assert any(line.startswith(stage) for line in lines), stage


def drawn_on_a_terminal(corpus: Path, columns: int) -> str:
    """The output of a training run on a terminal of this width."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [*COMMAND, "train", "--name", "me", "--corpus", str(corpus), *RUN]
    process: Any = subprocess.Popen(command, cwd=corpus.parent, env=ENVIRONMENT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 10_000)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0, written
    os.close(ours)
    return written.decode()


def test_the_bar_fits_60_columns(corpus: Path) -> None:
    bars = [
        bar for bar in drawn_on_a_terminal(corpus, 60).split("\r") if "bits" in bar and "epoch" in bar and "|" in bar
    ]
    assert bars
    for bar in bars:
        bar = bar.split("\n")[0].split("\x1b")[0].rstrip()
        assert len(bar) <= 60
        assert bar.endswith(" bits"), bar
        assert "nats" in bar
        assert "/0.7 " in bar


def print_and_fail() -> None:
    os.write(2, b"the reason")
    raise SyntaxError


def test_hidden_output_is_shown_if_an_import_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with quietly():
        os.write(2, b"a greeting")
    assert capfd.readouterr().err == ""
    with pytest.raises(SyntaxError), quietly():
        print_and_fail()
    assert capfd.readouterr().err == "the reason"


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_asks_for_a_stop_and_the_handlers_return_afterwards(number: signal.Signals) -> None:
    handlers = [signal.getsignal(each) for each in STOP_SIGNALS]
    with stop_on_signal() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        wait_until(stop)
        assert stop.exit_code == 128 + number
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == handlers
