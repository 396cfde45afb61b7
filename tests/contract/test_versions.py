"""`list`, `publish --from`, `rollback` and `prune` on versions that the service loads."""

import shutil
from pathlib import Path

import pytest

from service.model.model import Model
from service.store.store import Store
from tests.contract.published import manifest_of
from tests.processes import training


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model and its run."""
    for name in ("models", "runs"):
        shutil.copytree(tiny / name, tmp_path / name)
    return tmp_path


def served(folder: Path) -> int:
    """The version that the service serves from this folder."""
    store = Store(folder / "models", "tiny", Model)
    store.poll()
    return store.ready().manifest.version


def test_a_version_that_is_published_again_is_served_with_the_same_texts(folder: Path) -> None:
    printed = training("publish", "tiny", "--from", "models/tiny/1", cwd=folder).stdout
    assert printed == "Published models/tiny/2, with the weights of models/tiny/1.\n"
    first, second = (manifest_of(folder / f"models/tiny/{version}") for version in (1, 2))
    assert (second["probe"], second["metrics"], second["parent"]) == (first["probe"], first["metrics"], 1)
    assert served(folder) == 2
    texts = [training("sample", f"tiny/{version}", "--seed", "5", cwd=folder).stdout for version in (1, 2)]
    assert texts[0] == texts[1]


def test_a_run_is_published_again_rolled_back_and_pruned(folder: Path) -> None:
    published = training("publish", "tiny", "--from", "runs/tiny", cwd=folder).stdout
    assert "Published models/tiny/2, from step 100 of 100." in published
    first, second = (manifest_of(folder / f"models/tiny/{version}") for version in (1, 2))
    assert second["probe"] == first["probe"]
    assert served(folder) == 2
    listed = training("list", cwd=folder).stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [["model", "version"], ["tiny", "1"], ["tiny", "2"]]

    assert "Version 1 of tiny is served again" in training("rollback", "tiny", cwd=folder).stdout
    assert served(folder) == 1
    assert "only version 1" in training("rollback", "tiny", cwd=folder, check=False).stderr
    training("publish", "tiny", "--from", "runs/tiny", cwd=folder)
    assert served(folder) == 3

    damaged = folder / "models/tiny/3/saved_model.pb"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert training("prune", "tiny", "--keep", "1", cwd=folder).stdout == "Deleted: 2.\n"  # it was withdrawn
    assert served(folder) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rollback", "tiny", "--to", "1"], "is the newest"),
        (["rollback", "tiny", "--to", "7"], "no version 7 of tiny"),
        (["rollback", "other"], "no model 'other'"),
        (["prune", "other"], "no model 'other'"),
        (["list", "other"], "no model 'other'"),
        (["publish", "tiny", "--from", "models"], "models is not the folder of a run"),
    ],
)
def test_a_missing_version_or_run_is_an_error_of_one_sentence(folder: Path, arguments: list[str], words: str) -> None:
    result = training(*arguments, cwd=folder, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert words in line


def test_rollback_refuses_a_damaged_version(folder: Path) -> None:
    training("publish", "tiny", "--from", "runs/tiny", cwd=folder)
    weights = next((folder / "models/tiny/1/variables").glob("*.data-*"))
    weights.write_bytes(weights.read_bytes()[::-1])
    result = training("rollback", "tiny", cwd=folder, check=False)
    assert "Version 1 of tiny is damaged" in result.stderr
    assert served(folder) == 2
