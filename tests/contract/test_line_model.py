"""A vanilla RNN on a list of names: lines shuffled, rare symbols left out, early stopping."""

import itertools
import json
from pathlib import Path

import pytest

from service.model.model import Model
from tests.contract.published import history_of, manifest_of, says_loss
from tests.processes import training

FLAGS = {
    "cell": "rnn",
    "split-by": "line",
    "split": "0.8,0.1,0.1",
    "min-count": "5",
    "layers": "2",
    "units": "12",
    "embedding": "0",
    "batch-size": "4",
    "window": "20",
    "epochs": "40",
    "optimizer": "sgd",
    "warmup-steps": "0",
    "learning-rate": "1e-30",  # changes no bit of the weights, so no evaluation improves on the first
    "schedule": "plateau",
    "decay-after": "1",
    "decay-rate": "0.5",
    "patience": "2",
    "seed": "6",
}


def names() -> str:
    """Names of three syllables in alphabetical order, and one with a letter that no other has."""
    syllables = ["an", "be", "co", "di", "el", "fa"]
    lines = ["".join(parts) for parts in itertools.product(syllables, repeat=3)]
    return "\n".join([*lines, "zoë"]) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`names.txt`, `models/names/1`, its run, and the output of its training in `printed`."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "names.txt").write_text(names(), encoding="utf-8")
    flags = [item for name, value in FLAGS.items() for item in (f"--{name}", value)]
    done = training("train", "--name", "names", "--corpus", "names.txt", *flags, "--force", cwd=folder)
    (folder / "printed").write_text(done.stdout, encoding="utf-8")
    return folder


def test_rare_symbols_are_left_out_and_counted_in_the_output(folder: Path) -> None:
    counts = {symbol: names().count(symbol) for symbol in set(names())}
    kept = sorted(symbol for symbol, count in counts.items() if count >= 5)
    assert manifest_of(folder / "models/names/1")["vocabulary"] == [None, *kept]
    rare = [count for count in counts.values() if count < 5]
    printed = (folder / "printed").read_text(encoding="utf-8")
    assert f"{len(rare)} rare symbols ({sum(rare)} occurrences) became id 0." in printed


def test_lines_are_never_cut(folder: Path) -> None:
    manifest = manifest_of(folder / "models/names/1")
    split = manifest["corpus"]["split"]
    lines = len(names().splitlines())
    assert split["train"][1] % 7 in (0, 4)  # all lines have seven characters except "zoë\n"
    assert split["test"][1] == len(names())
    assert manifest["config"]["split_by"] == "line"
    validation = range(int(lines * 0.8), int(lines * 0.9))
    assert split["validation"][1] - split["validation"][0] in (7 * len(validation), 7 * len(validation) - 3)


def test_patience_ended_the_run_and_the_plateau_lowered_the_learning_rate(folder: Path) -> None:
    rates = [line["learning_rate"] for line in history_of(folder / "models/names/1")]
    assert len(rates) == 3
    assert rates[2] / rates[1] == pytest.approx(0.5)
    assert history_of(folder / "models/names/1")[-1]["epoch"] < 40


def test_the_history_has_the_share_of_new_lines_in_the_samples(folder: Path) -> None:
    for line in history_of(folder / "models/names/1"):
        assert list(line["samples"]) == ["0.5", "0.8", "1.0"]
        novelty = line["novelty"]
        assert novelty["lines"] > 0
        assert novelty["in_training"] + novelty["in_validation"] + novelty["new"] == pytest.approx(1)


@pytest.mark.parametrize("file", ["names.txt", "copy.txt"])
def test_evaluate_splits_the_lines_as_the_training_did(folder: Path, file: str) -> None:
    (folder / file).write_text(names(), encoding="utf-8")
    parts = [item for part in ("train", "validation", "test") for item in ("--part", part)]
    printed = training("evaluate", "names", "--corpus", file, *parts, cwd=folder).stdout
    manifest = manifest_of(folder / "models/names/1")
    for part in ("validation", "test"):
        assert says_loss(printed, "names 1", part, manifest)
    start, stop = manifest["corpus"]["split"]["train"]
    assert "names 1, train: " in printed
    assert f"{stop - start:,} characters" in printed.splitlines()[0]


def test_the_service_loads_an_rnn(folder: Path) -> None:
    model = Model(folder / "models/names/1")
    assert model.initial_state(3).shape == (2, 3, 12)


def test_the_report_shows_the_best_loss_and_the_version(folder: Path) -> None:
    printed = training("report", "names", cwd=folder).stdout
    assert printed == "Wrote runs/names/report.html\n"
    page = (folder / "runs/names/report.html").read_text(encoding="utf-8")
    best = min(line["validation_nats_per_char"] for line in history_of(folder / "models/names/1"))
    assert f"{best:.4f}" in page
    assert "models/names/1" in page


def test_restarting_a_run_starts_an_empty_tensorboard_folder(folder: Path) -> None:
    board = folder / "runs/names/tensorboard"
    (first,) = board.iterdir()
    assert "tfevents" in first.name
    flags = [item for name, value in (FLAGS | {"patience": "1"}).items() for item in (f"--{name}", value)]
    training("train", "--name", "names", "--corpus", "names.txt", *flags, "--restart", "--force", cwd=folder)
    (second,) = board.iterdir()
    assert second.name != first.name
    assert manifest_of(folder / "models/names/2")["version"] == 2
    assert len((folder / "runs/names/history.jsonl").read_text().splitlines()) == 2
    assert json.loads((folder / "runs/names/run.json").read_text())["published"] == "models/names/2"
