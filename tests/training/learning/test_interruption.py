"""A signal stops a run in any stage, in real processes; the resumed run ends like an uninterrupted one."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.processes import started, training
from tests.texts import write_corpus

NETWORK = ["--layers", "1", "--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "10"]
DROPOUT = ["--dropout", "0", "--output-dropout", "0.1", "--weight-dropout", "0"]
RUN = [*NETWORK, *DROPOUT, "--steps", "50", "--force"]
MEASURED = ("chars_per_second", "seconds", "elapsed_seconds")


def signal_in_stage(stage_and_number: tuple[str, int]) -> None:
    """Runs in the training process: send the signal to it in the middle of this stage."""
    from training.learning.stages import Stages

    stage, number = stage_and_number
    advance = Stages.advance

    def interrupted(self: Any, parts: int = 1) -> None:
        if self.current == stage:
            os.kill(os.getpid(), number)
            while not self.should_stop():  # another thread receives the signal
                threading.Event().wait(0.001)
        advance(self, parts)

    Stages.advance = interrupted  # type: ignore[method-assign]


def signal_twice_and_hang(_: None) -> None:
    """Runs in the training process: send two signals to it while the main thread hangs."""
    from training.learning.run import TrainingRun

    def hang(self: Any) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Event().wait()
        return 0.0

    TrainingRun.take_step = hang  # type: ignore[method-assign]


def run_of(*arguments: str, folder: Path, before: Any) -> tuple[int | None, str]:
    """The exit code and stderr of a command."""
    err = folder / "err"
    err.unlink(missing_ok=True)
    process = started(*arguments, cwd=folder, out=folder / "out", err=err, before=before)
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode, err.read_text()


def history_of(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "runs" / name / "history.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in MEASURED} for line in lines]


def probe_of(folder: Path, name: str) -> Any:
    manifest = json.loads((folder / "models" / name / "1/assets.extra/manifest.json").read_text())
    return manifest["probe"], manifest["metrics"]


def test_a_run_stopped_in_every_stage_ends_with_the_same_bits(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt", words=15_000)
    training("train", "--name", "straight", "--corpus", str(corpus), *RUN, cwd=tmp_path)
    begin = ["train", "--name", "stopped", "--corpus", str(corpus), *RUN]
    stages = {
        "training": signal.SIGHUP,
        "calibration": signal.SIGTERM,
        "evaluation": signal.SIGINT,
        "sampling": signal.SIGHUP,
        "export": signal.SIGTERM,
        "validation text": signal.SIGINT,
    }
    for stage, number in stages.items():
        code, errors = run_of(*begin, folder=tmp_path, before=(signal_in_stage, (stage, number)))
        assert code == 128 + number, (stage, errors)
        assert errors.splitlines()[-1].endswith("--name stopped --resume"), errors
        assert "Traceback" not in errors
        assert not [*(tmp_path / "models").glob("stopped/*")], stage
        begin = ["train", "--name", "stopped", "--resume", "--force"]
    assert "Published" in training(*begin, cwd=tmp_path).stdout
    assert history_of(tmp_path, "stopped") == history_of(tmp_path, "straight")
    assert probe_of(tmp_path, "stopped") == probe_of(tmp_path, "straight")


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt")
    begin = ["train", "--name", "me", "--corpus", str(corpus), *RUN]
    code, errors = run_of(*begin, folder=tmp_path, before=(signal_twice_and_hang, None))
    assert code == 130
    assert errors.strip() == "Ended at once. The last checkpoint is kept."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_publishing_by_hand_stops_and_publishes_nothing(tiny: Path, tmp_path: Path, number: int) -> None:
    (tmp_path / "runs").symlink_to(tiny / "runs")
    publish = ["publish", "other", "--from", "runs/tiny"]
    code, errors = run_of(*publish, folder=tmp_path, before=(signal_in_stage, ("export", number)))
    assert (code, errors) == (128 + number, "Stopped; nothing was published.\n")
    assert not [*(tmp_path / "models/other").iterdir()]
