"""A run that is killed many times ends with the bits of an uninterrupted one."""

import json
import random
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.processes import CONTEXT, started, training
from tests.texts import write_corpus
from training.learning.checkpoint import Checkpoint

KILLS = 3
STEPS, EVALUATED_EVERY = 200, 50
NETWORK = ["--units", "12", "--embedding", "4", "--batch-size", "4", "--window", "10", "--seed", "3"]
DROPOUT = [
    f"--{place}dropout={rate}" for place, rate in (("input-", 0.1), ("", 0.2), ("output-", 0.2), ("weight-", 0.3))
]
LEARNING = ["--epochs", "4", "--learning-rate", "0.02", "--schedule", "cosine", "--ema", "0.9", "--cold-start", "0.1"]


@dataclass
class Ended:
    """An uninterrupted run `straight`, a `killed` one, and the moments of its kills."""

    folder: Path
    kills: list[str]

    def checkpoint(self, name: str) -> Checkpoint:
        return Checkpoint.load(self.folder / "runs" / name / "checkpoint.npz")

    def history(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / "runs" / name / "history.jsonl").read_text().splitlines()
        return [without_speed(json.loads(line)) for line in lines]

    def manifest(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / "models" / name / "1/assets.extra/manifest.json").read_text())


def without_speed(record: dict[str, Any]) -> dict[str, Any]:
    measured = ("chars_per_second", "seconds", "elapsed_seconds")
    return {name: value for name, value in record.items() if name not in measured}


def save_and_report_each_step(to: tuple[Connection, int]) -> None:
    """Runs in the training process: save after every step, and send the number of each step and evaluation.

    After the given step it waits to be killed, so that the run cannot end before.
    """
    from training.learning import run

    events, last_step = to

    def reported(method: Any) -> Any:
        def call(self: run.TrainingRun) -> Any:
            result = method(self)
            events.send(self.step)
            while self.step >= last_step:
                signal.pause()
            return result

        return call

    run.SECONDS_BETWEEN_CHECKPOINTS = -1
    run.TrainingRun.take_step = reported(run.TrainingRun.take_step)  # type: ignore[method-assign]
    run.TrainingRun.evaluate = reported(run.TrainingRun.evaluate)  # type: ignore[method-assign]


def kill_once(arguments: list[str], folder: Path, step: int, generator: random.Random) -> int:
    """Let a command train up to `step` and kill it shortly after; returns the last step that it reported."""
    events, theirs = CONTEXT.Pipe(duplex=False)
    log = folder / f"{arguments[2]}.log"
    process = started(*arguments, cwd=folder, out=log, err=log, before=(save_and_report_each_step, (theirs, step + 30)))
    theirs.close()
    try:
        while (reported := events.recv()) < step:
            pass
    except EOFError:
        pytest.fail(f"it ended by itself: {log.read_text()}")
    if step % EVALUATED_EVERY == 0:
        events.poll(generator.uniform(0, 0.3))  # somewhere in the evaluation, or just after it
    process.join(generator.uniform(0, 0.02))  # somewhere in the next step, or in writing the checkpoint of this one
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return reported


def train_under_kills(name: str, arguments: list[str], folder: Path, generator: random.Random) -> list[str]:
    done, kills = 0, list[str]()
    for left in range(KILLS, 0, -1):
        step = done + generator.randint(1, (STEPS - done) // (left + 1))
        if generator.random() < 0.3:
            step = min(STEPS - EVALUATED_EVERY, step - step % -EVALUATED_EVERY)
        begin = ["train", "--name", name, *(arguments if not kills else ["--resume"])]
        done = kill_once(begin, folder, max(step, done + 1), generator)
        kills.append(f"at step {done}")
    assert not (folder / "models" / name).exists()
    assert "Published" in training("train", "--name", name, "--resume", cwd=folder).stdout
    return kills


def both_ways(cell: str, folder: Path, seed: int) -> Ended:
    corpus = write_corpus(folder / "corpus.txt")
    arguments = ["--corpus", str(corpus), "--cell", cell, *NETWORK, *DROPOUT, *LEARNING]
    training("train", "--name", "straight", *arguments, cwd=folder)
    kills = train_under_kills("killed", arguments, folder, random.Random(seed))
    return Ended(folder, [f"seed {seed}", *kills])


@pytest.fixture(scope="module", params=["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return both_ways(request.param, tmp_path_factory.mktemp(request.param), random.SystemRandom().randrange(10**6))


def test_the_checkpoint_of_a_killed_run_is_the_same(ended: Ended) -> None:
    straight, killed, how = ended.checkpoint("straight"), ended.checkpoint("killed"), ended.kills
    assert set(killed.arrays) == {"network", "optimizer", "averages", "best", "state"}
    for group, arrays in straight.arrays.items():
        found = [(array.dtype, array.shape, array.tobytes()) for array in killed.arrays[group]]
        assert found == [(array.dtype, array.shape, array.tobytes()) for array in arrays], (group, how)
    for checkpoint in (straight, killed):
        assert checkpoint.values.pop("seconds") >= 0
        assert checkpoint.values.pop("stages")["elapsed_seconds"] > 0
        checkpoint.values["history"] = [without_speed(record) for record in checkpoint.values["history"]]
    assert killed.values == straight.values, how
    assert straight.values["step"] == STEPS


def test_history_and_model_of_a_killed_run_are_the_same(ended: Ended) -> None:
    how = ended.kills
    assert len(ended.history("straight")) == STEPS // EVALUATED_EVERY
    assert ended.history("killed") == ended.history("straight"), how
    straight, killed = ended.manifest("straight"), ended.manifest("killed")
    for field in ("cell", "config", "metrics", "probe", "vocabulary"):
        assert killed[field] == straight[field], (field, how)
    assert [path.name for path in (ended.folder / "runs/killed").glob(".*")] == [".lock"]
