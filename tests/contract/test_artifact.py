"""A published version has every part of models/README.md, and the service refuses one that does not."""

import json
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from service.model.model import Model, ModelError
from tests.contract.published import history_of, manifest_of
from tests.processes import training
from tests.servers import Server
from training.config import TrainConfig

FIELDS = {
    "format": int,
    "name": str,
    "version": int,
    "created": str,
    "unit": str,
    "normalization": str,
    "vocabulary": list,
    "cell": str,
    "layers": int,
    "units": int,
    "parameters": int,
    "dtype": str,
    "tensorflow": str,
    "charloom": str,
    "corpus": dict,
    "config": dict,
    "seed": int,
    "metrics": dict,
    "parent": type(None),
    "teachers": list,
    "git_commit": (str, type(None)),
    "probe": dict,
}


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A version that the test may damage."""
    return Path(shutil.copytree(tiny / "models/tiny/1", tmp_path / "tiny/1"))


def test_the_manifest_has_every_field_of_the_contract(tiny: Path) -> None:
    manifest = manifest_of(tiny / "models/tiny/1")
    assert set(manifest) == set(FIELDS)
    for name, kind in FIELDS.items():
        assert isinstance(manifest[name], kind), name
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", manifest["created"])
    assert manifest["vocabulary"] == [None, *sorted(set((tiny / "corpus.txt").read_text()))]
    assert (manifest["unit"], manifest["normalization"], manifest["dtype"]) == ("char", "NFC", "float32")
    assert TrainConfig.from_json(manifest["config"]).seed == manifest["seed"] == 1
    (file,) = manifest["corpus"]["files"]
    assert (file["path"], file["bytes"]) == ("corpus.txt", (tiny / "corpus.txt").stat().st_size)
    ranges = manifest["corpus"]["split"]
    assert ranges["train"][1] == ranges["validation"][0]
    assert ranges["test"][1] == manifest["corpus"]["characters"]
    for part in ("validation", "test"):
        metrics = manifest["metrics"][part]
        assert metrics["characters"] == ranges[part][1] - ranges[part][0]
        assert metrics["bits_per_char"] == pytest.approx(metrics["nats_per_char"] / np.log(2))


def test_the_history_has_a_record_for_each_evaluation(tiny: Path) -> None:
    assert [line["epoch"] for line in history_of(tiny / "models/tiny/1")] == [1, 2, 3, 4]


def test_a_version_is_readable_by_other_users_and_stands_alone(tiny: Path) -> None:
    version = tiny / "models/tiny/1"
    assert version.stat().st_mode & stat.S_IROTH
    assert [child.name for child in version.parent.iterdir()] == ["1"]  # no partial version is left


def test_the_service_loads_a_published_version(tiny: Path) -> None:
    model = Model(tiny / "models/tiny/1")
    assert model.row_multiple in (1, 2, 4, 8, 16, 32)


def damage_weights(version: Path) -> None:
    """Swap the halves of the file, which keeps its length."""
    path = next((version / "variables").glob("*.data-*"))
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    path.write_bytes(bytes(content[half:] + content[:half]))


def change_manifest(**changes):
    def change(version: Path) -> None:
        path = version / "assets.extra/manifest.json"
        path.write_text(json.dumps(manifest_of(version) | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda version: (version / "saved_model.pb").unlink(), "cannot load it"),
        (lambda version: (version / "saved_model.pb").write_bytes(b"not a graph"), "cannot load it"),
        (lambda version: shutil.rmtree(version / "variables"), "cannot load it"),
        (damage_weights, "probe|cannot load it"),
        (lambda version: shutil.rmtree(version / "assets.extra"), "no assets.extra/manifest.json"),
        (change_manifest(version=7), "says that it is tiny/7"),
        (change_manifest(unit="word"), "unit 'word'"),
        (change_manifest(vocabulary=[None, *"abcdefgh"]), "probe"),
        (change_manifest(probe={"prompt": "the", "seed": 1, "symbols": [1, 2, 3], "logprobs": [0, 0, 0]}), "probe"),
    ],
    ids=[
        "no graph", "not a graph", "no weights", "swapped weights", "no manifest",
        "another version's manifest", "unknown unit", "another vocabulary", "another probe",
    ],
)  # fmt: skip
def test_a_broken_version_is_refused_when_it_loads(copy: Path, damage, words: str) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=words):
        Model(copy)


@pytest.mark.parametrize("prompt", ["the c", "the cat\r\nsat\r"])
def test_sample_and_the_service_write_the_same_text(tiny: Path, server: Server, prompt: str) -> None:
    fields = {"prompt": prompt, "temperature": 0.7, "length": 120, "seed": 11}
    served = server.generate(**fields)
    flags = [item for name, value in fields.items() for item in (f"--{name}", str(value))]
    printed = training("sample", "tiny", *flags, cwd=tiny)
    assert printed.stdout == fields["prompt"] + served["text"] + "\n"
    assert "seed 11" in printed.stderr


def test_evaluate_prints_the_losses_of_the_manifest(tiny: Path) -> None:
    metrics = manifest_of(tiny / "models/tiny/1")["metrics"]
    printed = training("evaluate", "tiny", "--corpus", "corpus.txt", cwd=tiny).stdout.splitlines()
    for line, part in zip(printed, ("validation", "test"), strict=True):
        assert f"tiny 1, {part}: {metrics[part]['nats_per_char']:.4f} nats/char" in line


def test_evaluate_can_read_the_training_part(tiny: Path) -> None:
    manifest = manifest_of(tiny / "models/tiny/1")
    printed = training("evaluate", "tiny", "--corpus", "corpus.txt", "--part", "train", cwd=tiny).stdout
    loss, error, cold = printed.splitlines()
    assert loss.startswith("tiny 1, train: ")
    assert f"{manifest['corpus']['split']['train'][1]:,} characters, 0 unknown" in loss
    assert "standard error" in error
    assert "cold windows of 256" in cold


def test_evaluate_reads_all_of_another_text(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("the cat ran on XYZ")
    printed = training("evaluate", "tiny", "--corpus", str(tmp_path / "other.txt"), cwd=tiny).stdout
    assert "text:" in printed
    assert "18 characters, 3 unknown" in printed
