"""What would fail late fails before the first step: folders that cannot be written to, disks that are too small."""

from pathlib import Path

import pytest

from tests.processes import training
from tests.texts import write_corpus
from training.config import TrainConfig
from training.learning.disk_space import parameters_of
from training.network.network import Network
from training.network.weights import weights_of

HUGE = ["--units", "1000000", "--window", "10"]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("embedding", [0, 3])
def test_parameters_are_counted_without_a_network(cell: str, embedding: int) -> None:
    config = TrainConfig(cell=cell, layers=2, units=5, embedding=embedding)
    assert parameters_of(config, 7) == weights_of(Network(config, 7)).parameters


@pytest.mark.parametrize("flag", ["--runs", "--models"])
def test_a_folder_that_cannot_be_created_is_said_before_the_text_is_read(tmp_path: Path, flag: str) -> None:
    (tmp_path / "file").touch()
    for place in ("/proc/none", "file/below"):
        words = ["train", "--name", "mine", "--corpus", "nowhere.txt", flag, place]
        refused = training(*words, cwd=tmp_path, check=False)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"Error: {flag}: {place}/mine cannot be created: ")
        assert len(refused.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_version_is_not_published_into_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").touch()
    refused = training("publish", "mine", "--from", "run", "--models", "/proc", cwd=tmp_path, check=False)
    assert refused.stderr.startswith("Error: --models: /proc/mine cannot be created: ")


@pytest.mark.parametrize("flag", ["--runs", "--models"])
def test_a_night_does_not_begin_where_it_could_not_end(tmp_path: Path, flag: str) -> None:
    (tmp_path / "nightly.toml").write_text('[[model]]\nname = "mine"\ncorpus = "texts"\nminutes = 1\n')
    refused = training("retrain", flag, "/proc", cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: {flag}: /proc/mine cannot be created: ")


def test_a_network_that_the_disk_has_no_room_for_is_refused_with_both_sizes(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.txt")
    refused = training("train", "--name", "mine", "--corpus", "corpus.txt", *HUGE, cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert "A network of 12," in refused.stderr
    assert "of disk space in models/mine and runs/mine" in refused.stderr
    assert "are free" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "models").exists()
    assert not [*(tmp_path / "runs").iterdir()]
