"""The flags that choose files of a corpus."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.training.commands.cli import failure
from training.commands.selection import selection_of, selection_options
from training.data.selection import Selection


def test_the_flags_make_a_selection() -> None:
    found = []

    @click.command()
    @selection_options
    def command(**options: object) -> None:
        found.append(selection_of(options))

    CliRunner().invoke(command, [])
    CliRunner().invoke(command, ["--include", "a", "--include", "b", "--exclude", "c", "--skip-unreadable"])
    assert found == [Selection(), Selection(("a", "b"), ("c",), True)]


def test_train_reads_only_the_selected_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("ab" * 100)
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n")
    train = ["train", "--name", "a", "--corpus", str(tmp_path), "--runs", str(tmp_path / ".runs")]
    for flags, words in [
        (["--include", "*.md"], "no text file in it (--include applied)"),
        (["--exclude", "*.txt"], "logo.png is a PNG image"),
        (["--skip-unreadable"], "The training part has 180 characters"),
    ]:
        assert words in failure(monkeypatch, capfd, *train, *flags)
