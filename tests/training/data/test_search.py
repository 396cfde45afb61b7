"""Files below folders, behind links and by patterns."""

import os
from pathlib import Path

import pytest

from training.data.search import by_pattern, in_folder, is_pattern
from training.data.selection import Selection

ALL = Selection()


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def found(folder: Path, pattern: str = "", selection: Selection = ALL) -> list[str]:
    result = by_pattern(str(folder / pattern), selection) if pattern else in_folder(folder, selection)
    return [str(file.path.relative_to(folder)) for file in result.files]


def test_a_folder_is_read_in_name_order_without_hidden_files(tmp_path: Path) -> None:
    fill(tmp_path, "b.txt", "a/deep.txt", "a/.hidden", ".git/config", "a/.cache/x.txt", "B.txt")
    assert found(tmp_path) == ["B.txt", "a/deep.txt", "b.txt"]


def test_a_pattern_finds_files_below(tmp_path: Path) -> None:
    fill(tmp_path, "x/1.txt", "x/y/2.txt", "x/y/3.md", "0.txt", ".hidden.txt")
    assert found(tmp_path, "**/*.txt") == ["0.txt", "x/1.txt", "x/y/2.txt"]
    assert found(tmp_path, "**") == ["0.txt", "x/1.txt", "x/y/2.txt", "x/y/3.md"]
    assert found(tmp_path, "x/*") == ["x/1.txt"]
    assert found(tmp_path, "*/y/[0-9].*") == ["x/y/2.txt", "x/y/3.md"]
    assert found(tmp_path, ".*.txt") == [".hidden.txt"]
    for pattern in ("none*/a.txt", "none/*.txt", "none/**/*.txt", "0.txt/**"):
        assert found(tmp_path, pattern) == []


def test_the_path_of_a_file_is_not_a_pattern(tmp_path: Path) -> None:
    fill(tmp_path, "[1].txt")
    assert not is_pattern(str(tmp_path / "[1].txt"))
    assert is_pattern(str(tmp_path / "[2].txt"))
    assert not is_pattern(str(tmp_path / "missing.txt"))


def test_excluded_folders_are_not_entered(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.txt", "b/2.txt")
    assert found(tmp_path, selection=Selection(exclude=("a",))) == ["b/2.txt"]
    assert found(tmp_path, "**/*.txt", Selection(exclude=("a",))) == ["b/2.txt"]


def test_paths_are_relative_to_the_folder_or_to_the_part_before_the_pattern(tmp_path: Path) -> None:
    fill(tmp_path, "a/b/1.txt")
    assert [file.within for file in in_folder(tmp_path / "a", ALL).files] == ["b/1.txt"]
    assert [file.within for file in by_pattern(str(tmp_path / "a/*/1.txt"), ALL).files] == ["b/1.txt"]


@pytest.mark.parametrize("pattern", ["", "**"])
def test_links_are_followed_once_and_loops_end(tmp_path: Path, pattern: str) -> None:
    elsewhere, folder = fill(tmp_path / "elsewhere", "far.txt"), fill(tmp_path / "texts", "near.txt")
    (folder / "again.txt").symlink_to("near.txt")
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (folder / "broken.txt").symlink_to("nowhere")
    result = by_pattern(str(folder / pattern), ALL) if pattern else in_folder(folder, ALL)
    assert [file.path.name for file in result.files] == ["far.txt", "near.txt"]
    assert [link.name for link in result.broken_links] == ["broken.txt", "self"]
    assert result.repeated == 2


def test_a_file_that_is_only_linked_is_found(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/link").symlink_to(tmp_path / "a.txt")
    assert found(tmp_path / "texts") == ["link"]


def test_pipes_are_ignored(tmp_path: Path) -> None:
    os.mkfifo(fill(tmp_path, "a.txt") / "pipe")
    assert found(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("pattern", ["", "**/*.txt", "*/*.txt"])
def test_an_unreadable_folder_is_found_with_its_error(tmp_path: Path, pattern: str) -> None:
    (fill(tmp_path, "a.txt") / "locked").mkdir()
    (tmp_path / "locked").chmod(0)
    try:
        result = by_pattern(str(tmp_path / pattern), ALL) if pattern else in_folder(tmp_path, ALL)
        (locked,) = [file for file in result.files if file.error]
        assert locked.path == tmp_path / "locked"
    finally:
        (tmp_path / "locked").chmod(0o700)
