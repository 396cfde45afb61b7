"""`corpus`: the list of the blog post's texts, and the encoding of a text in parts."""

from pathlib import Path

import pytest

from tests.training.commands.cli import failure, refusal, run
from training.corpora.catalogue import CATALOGUE
from training.data.parts import location_of_parts


def test_corpora_are_listed_in_columns() -> None:
    head, *lines = run("corpus", "list").output.splitlines()
    assert head.split() == ["name", "size", "licence"]
    assert len(lines) == len(CATALOGUE)
    for line, entry in zip(lines, CATALOGUE.values(), strict=True):
        assert line.startswith(f"{entry.name} ")
        assert line.index(entry.licence) == head.index("licence")
        assert line[head.index("size") + len("size") :].startswith("  ")


def test_a_fetched_corpus_comes_with_the_command_that_trains_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.corpora.download.fetch", lambda entry, to, **_: to / entry.name)
    output = run("corpus", "fetch", "shakespeare", "--to", str(tmp_path)).output
    assert output.endswith(f" train --name shakespeare --preset shakespeare --corpus {tmp_path}/shakespeare\n")
    assert run("corpus", "fetch", "names", "--to", str(tmp_path)).output == ""  # `fetch` says that it must be unpacked


def test_an_unknown_corpus_is_refused_with_the_known_ones() -> None:
    assert "'shakespeare'" in refusal("corpus", "fetch", "novels")


def test_every_part_of_a_text_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text\r\n" * 40)
    flags = ["--corpus", str(tmp_path / "text.txt"), "--to", str(tmp_path / "parts")]
    for part in range(2):
        result = run("corpus", "encode", *flags, "--part", f"{part}/2")
        assert result.output == (
            f"Line ends became LF: 20 CR LF.\nPart {part} of 2: 200 characters in {tmp_path}/parts.\n"
        )
    assert location_of_parts([str(tmp_path / "parts")])
    assert run("corpus", "encode", *flags, "--part", "0/1", "--unit", "byte").output == (
        f"Part 0 of 1: 440 bytes in {tmp_path}/parts.\n"
    )


@pytest.mark.parametrize("part", ["2/2", "1", "1/0", "-1/2", "1/2/3", "a/b", ""])
def test_a_part_is_one_of_so_many(tmp_path: Path, part: str) -> None:
    said = refusal("corpus", "encode", "--corpus", "text.txt", "--to", str(tmp_path), "--part", part)
    assert said == f"Error: Invalid value for '--part': {part!r} must be I/N with I from 0 to N - 1, for example 0/16."


def test_a_text_that_cannot_be_encoded_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--corpus", "none.txt", "--to", str(tmp_path), "--part", "0/1"]
    assert failure(monkeypatch, capfd, "corpus", "encode", *flags) == "Error: --corpus none.txt does not exist."
