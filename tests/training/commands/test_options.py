"""Flags and arguments that several commands share."""

import re
import shutil
from pathlib import Path

import pytest

from tests.training.commands.cli import refusal, run
from training.commands.options import published
from training.errors import InputError
from training.release.store import NAME


@pytest.mark.parametrize(
    ("given", "proposed"),
    [
        ("Upper", "upper"),
        ("My Novel", "my-novel"),
        ("-Über/alles-", "uber-alles"),
        ("a_b.c 1", "a_b.c-1"),
        ("a/b", "a-b"),
        ("Émile Zola", "emile-zola"),
        ("..my model..", "my-model"),
        ("x" * 65, "x" * 64),
    ],
)
def test_a_similar_valid_name_is_proposed(given: str, proposed: str) -> None:
    assert refusal("train", f"--name={given}", "--corpus", "-").endswith(f", for example {proposed}.")
    assert re.fullmatch(NAME, proposed)


@pytest.mark.parametrize("name", ["", "Upper", "-dash", "a/b", "..", "x" * 65, "é"])
def test_an_invalid_name_is_refused(name: str) -> None:
    assert "1 to 64 of a-z" in refusal("train", f"--name={name}", "--corpus", "-")


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "nightly.toml").write_text('[[model]]\nname = "mine"\ncorpus = "~/texts"\nminutes = 1\n')
    assert f"There is no model in {tmp_path}/models yet." in run("list", "--models=~/models").output
    resumed = run("train", "--name", "mine", "--resume", "--runs=~/runs")
    assert str(resumed.exception).startswith(f"There is no run to resume in {tmp_path}/runs/mine")
    missing = run("train", "--name", "mine", "--corpus=~/texts", "--runs=~/runs", "--models=~/models")
    assert str(missing.exception) == f"--corpus {tmp_path}/texts does not exist."
    unknown = run("retrain", "other", "--config=~/nightly.toml")
    assert str(unknown.exception) == "No model 'other' is configured, only mine."


@pytest.mark.parametrize("flag", ["--models", "--runs", "--config"])
def test_an_empty_path_is_refused(flag: str) -> None:
    assert f"Invalid value for '{flag}': the path must not be empty." in refusal("retrain", f"{flag}=")


@pytest.mark.parametrize("damage", ["manifest", "weights", "graph"])
def test_a_damaged_version_is_one_sentence(tiny: Path, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(tiny / "models/tiny/1", tmp_path / "tiny/1")
    if damage == "manifest":
        (folder / "assets.extra/manifest.json").write_text("{}")
    else:
        path = folder / {"weights": "variables/variables.data-00000-of-00001", "graph": "saved_model.pb"}[damage]
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"^{folder} is damaged \("):
        published(tmp_path, "tiny")


@pytest.mark.parametrize("start", ["", "a/b/c", "../models", "a/", "a/one", "a/0", "a/-1", "/1", "Tale"])
def test_an_invalid_version_reference_is_refused(tmp_path: Path, start: str) -> None:
    sentence = refusal("train", "--name", "a", "--corpus", "-", "--init-from", start, "--runs", str(tmp_path))
    assert f"{start!r} must be NAME or NAME/VERSION" in sentence


@pytest.mark.parametrize("given", ["", "本", "--", "..."])
def test_no_name_is_proposed_if_no_letter_or_digit_is_left(given: str) -> None:
    assert refusal("train", f"--name={given}", "--corpus", "-").endswith("and begin with a letter or digit.")
