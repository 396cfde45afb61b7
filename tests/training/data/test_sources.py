"""The entries of --corpus as sources."""

import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from training.data.selection import Selection
from training.data.sources import NoText, sources, sources_and_notes
from training.errors import InputError


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def content(*paths: str | Path, selection: Selection | None = None) -> list[tuple[str, bytes]]:
    found = sources([str(path) for path in paths], selection or Selection())
    return [(source.name, b"".join(source.blocks())) for source in found]


def test_entries_are_read_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path, "x/b.txt", "x/a/deep.txt", "c.txt", "d.md")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"typed")))
    assert content(folder / "d.md", folder / "x", "-", folder / "*.txt") == [
        ("d.md", b"d.md"),
        ("deep.txt", b"x/a/deep.txt"),
        ("b.txt", b"x/b.txt"),
        ("stdin", b"typed"),
        ("c.txt", b"c.txt"),
    ]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.txt")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert content("~/a.txt") == [("a.txt", b"a.txt")]


def test_an_existing_path_is_not_a_pattern(tmp_path: Path) -> None:
    fill(tmp_path, "[1].txt", "1.txt")
    assert content(tmp_path / "[1].txt") == [("[1].txt", b"[1].txt")]


def test_a_pipe_is_a_source_only_by_its_own_path(tmp_path: Path) -> None:
    os.mkfifo(fill(tmp_path, "a.txt") / "pipe")
    assert [source.name for source in sources([str(tmp_path)])] == ["a.txt"]
    (source,) = sources([str(tmp_path / "pipe")])
    assert not source.repeatable


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("missing.txt", InputError, "missing.txt does not exist."),
        ("empty", NoText, "empty is a folder with no text file in it."),
        ("*.nothing", NoText, "*.nothing matches no file."),
        ("dangling.txt", InputError, "dangling.txt cannot be read: No such file or directory."),
        ("a\nb", InputError, "a\\nb does not exist."),
        ("dangling.txt/b", InputError, "dangling.txt/b does not exist."),
        ("\0", InputError, "\\x00 does not exist."),
        ("x" * 300, InputError, f"{'x' * 300} cannot be read: File name too long."),
    ],
)
def test_an_entry_without_a_file_is_refused(tmp_path: Path, name: str, kind: type[InputError], words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling.txt").symlink_to("nowhere")
    with pytest.raises(kind) as refusal:
        content(tmp_path / name)
    assert str(refusal.value) == f"--corpus {tmp_path}/{words}"


def test_a_selection_that_leaves_nothing_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt")
    with pytest.raises(NoText, match=r"no text file in it \(--include applied\)\.$") as refusal:
        content(tmp_path, selection=Selection(include=("*.rst",)))
    assert refusal.value.display_path == str(tmp_path)
    with pytest.raises(NoText, match=r"a\.txt is left out \(--include and --exclude applied\)\.$"):
        content(tmp_path / "a.txt", selection=Selection(include=("*.txt",), exclude=("a.*",)))


def test_members_of_an_archive_are_selected_by_their_paths(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "books.zip", "w") as archive:
        for name in ("a.txt", "b.md", "sub/c.txt"):
            archive.writestr(name, name)
    names = [name for name, _ in content(tmp_path, selection=Selection(include=("*.txt",), exclude=("sub",)))]
    assert names == ["books.zip/a.txt"]


def test_left_out_links_are_noted(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt")
    (tmp_path / "again.txt").symlink_to("a.txt")
    for number in range(12):
        (tmp_path / f"broken-{number:02}").symlink_to("nowhere")
    _, notes = sources_and_notes([str(tmp_path)], Selection())
    assert notes[0].startswith(f"Broken links were left out: {tmp_path}/broken-00, ")
    assert notes[0].endswith("broken-09 and 2 more.")
    assert notes[1] == "Links to files or folders that are already read were left out: 1."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_a_source_that_cannot_be_read(tmp_path: Path) -> None:
    fill(tmp_path, "locked/a.txt")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(InputError, match="locked cannot be read: Permission denied"):
            content(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_names_are_recorded_as_utf_8_on_one_line(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/na\xefve.txt", "wb") as file:
        file.write(b"abc")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a\nb", b"one")
    found = sources([str(tmp_path)])
    assert [source.name for source in found] == ["b.zip/a\\nb", "na\ufffdve.txt"]
    assert [source.display_path for source in found] == [f"{tmp_path}/{source.name}" for source in found]
    assert list(found[1].blocks()) == [b"abc"]
