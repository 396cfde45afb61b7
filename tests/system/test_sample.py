"""The commands `sample` and `evaluate`: prompts, filters, several texts, versions, runs."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import COMMAND, ENVIRONMENT, training
from tests.servers import Server

FLAGS = ["--length", "60", "--temperature", "0.9", "--seed", "7"]


def test_top_k_and_top_p_sample_as_in_the_service(tiny: Path, server: Server) -> None:
    served = server.generate(prompt="the ", length=120, seed=3, top_k=4, top_p=0.7)["text"]
    flags = ["--prompt", "the ", "--length", "120", "--seed", "3", "--top-k", "4", "--top-p", "0.7"]
    assert training("sample", "tiny", *flags, cwd=tiny).stdout == f"the {served}\n"
    unfiltered = training("sample", "tiny", *flags[:6], cwd=tiny).stdout
    assert unfiltered != f"the {served}\n"


def test_count_uses_one_seed_after_the_other(tiny: Path) -> None:
    several = training("sample", "tiny", *FLAGS, "--count", "3", cwd=tiny)
    alone = [training("sample", "tiny", *FLAGS[:-1], str(seed), cwd=tiny).stdout for seed in (7, 8, 9)]
    assert several.stdout == "".join(alone)
    assert len(set(alone)) == 3
    assert several.stderr == "seed 7\nseed 8\nseed 9\n"


def test_unknown_characters_of_a_prompt_are_listed_on_stderr(tiny: Path) -> None:
    result = training("sample", "tiny", "--prompt", "the é本é\r\n", *FLAGS, cwd=tiny)
    assert result.stdout.startswith("the é本é\r\n")
    assert "Warning: the model does not know 3 characters of the prompt: 'é' (2), '本' (1).\n" in result.stderr
    assert "Warning" not in training("sample", "tiny", "--prompt", "the cat", *FLAGS, cwd=tiny).stderr


def test_at_most_ten_unknown_characters_are_listed(tiny: Path) -> None:
    stderr = training("sample", "tiny", "--prompt", "БВГДЕЖЗИЙКЛМН", *FLAGS, cwd=tiny).stderr
    assert "13 characters" in stderr
    assert stderr.count("(1)") == 10
    assert "and 3 more" in stderr


def test_a_prompt_file_is_read_like_a_corpus(tiny: Path, tmp_path: Path) -> None:
    expected = training("sample", "tiny", "--prompt", "the cat\nsat ", *FLAGS, cwd=tiny).stdout
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbfthe cat\r\nsat ")
    result = training("sample", "tiny", "--prompt-file", str(tmp_path / "windows.txt"), *FLAGS, cwd=tiny)
    assert result.stdout == expected
    assert "Warning" not in result.stderr
    piped = subprocess.run(
        [*COMMAND, "sample", "tiny", "--prompt-file", "-", *FLAGS], cwd=tiny, env=ENVIRONMENT, input=b"the cat\nsat ",
        capture_output=True, timeout=100, check=True,
    )  # fmt: skip
    assert piped.stdout.decode() == expected


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read: No such file"), (b"the caf\xe9", "is not UTF-8: byte 7")]
)
def test_an_unreadable_prompt_file_is_an_error_of_one_sentence(
    tiny: Path, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "prompt").write_bytes(content)
    result = training("sample", "tiny", "--prompt-file", str(tmp_path / "prompt"), cwd=tiny, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `tiny` with a second version."""
    folder = tmp_path_factory.mktemp("two") / "tiny"
    shutil.copytree(tiny, folder)
    start = ["--init-from", "tiny", "--epochs", "1", "--batch-size", "4", "--window", "20"]
    training("train", "--name", "tiny", "--corpus", "corpus.txt", *start, cwd=folder)
    return folder


def test_a_version_can_be_chosen(folder: Path, tiny: Path) -> None:
    first = training("sample", "tiny/1", *FLAGS, cwd=folder).stdout
    assert first == training("sample", "tiny", *FLAGS, cwd=tiny).stdout
    assert (
        training("sample", "tiny/2", *FLAGS, cwd=folder).stdout == training("sample", "tiny", *FLAGS, cwd=folder).stdout
    )
    assert training("evaluate", "tiny/1", "--corpus", "corpus.txt", cwd=folder).stdout.startswith("tiny 1, validation")
    missing = training("sample", "tiny/9", cwd=folder, check=False)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "no version 9 of tiny" in missing.stderr


def test_a_run_writes_the_same_text_as_its_published_version(tiny: Path) -> None:
    before = sorted(path for path in (tiny / "runs/tiny").rglob("*"))
    published = training("sample", "tiny", "--prompt", "the ", *FLAGS, cwd=tiny).stdout
    assert training("sample", "--run", "runs/tiny", "--prompt", "the ", *FLAGS, cwd=tiny).stdout == published
    assert sorted(path for path in (tiny / "runs/tiny").rglob("*")) == before


def test_a_run_without_a_checkpoint_is_an_error_of_one_sentence(tiny: Path, tmp_path: Path) -> None:
    for content, words in [({}, "it has no run.json"), ({"run.json"}, "it has no checkpoint.npz")]:
        for name in content:
            shutil.copy(tiny / "runs/tiny" / name, tmp_path / name)
        result = training("sample", "--run", str(tmp_path), cwd=tiny, check=False)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        assert words in result.stderr


@pytest.fixture(scope="module")
def without_test(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a version that was trained without a test part, as with the presets."""
    folder = tmp_path_factory.mktemp("untested")
    shutil.copytree(tiny / "models", folder / "models")
    path = folder / "models/tiny/1/assets.extra/manifest.json"
    manifest = json.loads(path.read_text())
    split = manifest["corpus"]["split"]
    split["validation"][1], split["test"][0] = split["test"][1], split["test"][1]
    path.write_text(json.dumps(manifest))
    shutil.copy(tiny / "corpus.txt", folder)
    return folder


def test_a_missing_test_part_is_an_error_of_one_sentence(without_test: Path) -> None:
    for parts in (["--part", "test"], ["--part", "validation", "--part", "test"]):
        result = training("evaluate", "tiny", "--corpus", "corpus.txt", *parts, cwd=without_test, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        assert (
            result.stderr == "Error: tiny 1 was trained without a test part: its text has only train and validation.\n"
        )
    printed = training("evaluate", "tiny", "--corpus", "corpus.txt", cwd=without_test).stdout
    assert printed.startswith("tiny 1, validation: ")
    assert "test:" not in printed


def test_a_part_needs_the_text_of_the_training(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("the cat ran on and on. " * 20)
    arguments = ["evaluate", "tiny", "--corpus", str(tmp_path / "other.txt")]
    result = training(*arguments, "--part", "validation", cwd=tiny, check=False)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "--part validation needs the text that tiny 1 was trained on" in result.stderr
