"""`corpus`: the list of the blog post's texts."""

from pathlib import Path

import pytest

from tests.training.commands.cli import refusal, run
from training.corpora.catalogue import CATALOGUE


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


def test_an_unknown_corpus_is_refused_with_the_known_ones() -> None:
    assert "'shakespeare'" in refusal("corpus", "fetch", "novels")
