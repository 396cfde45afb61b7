"""The files of a version: which ones are read, and how a version's identity follows them."""

import os
from pathlib import Path

import pytest

from service.model import files
from service.model.files import FileError
from tests.waiting import wait_until

NAME = "assets.extra/manifest.json"
CONTENT = b'{"name": "tale"}'


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The folder of a version with one file."""
    (tmp_path / "1/assets.extra").mkdir(parents=True)
    (tmp_path / "1" / NAME).write_bytes(CONTENT)
    return tmp_path / "1"


def a_sparse_file(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**30)


def a_link_out_of_the_version(path: Path) -> None:
    outside = path.parents[2] / "outside"
    outside.touch()
    path.symlink_to(outside)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is not a regular file"),
        (Path.mkdir, "is not a regular file"),
        (a_sparse_file, "has 1073741824 bytes, and at most 1000 are read"),
        (a_link_out_of_the_version, "is a link out of the version's folder"),
        (lambda path: path.symlink_to("/dev/zero"), "is a link out of the version's folder"),
        (lambda path: path.symlink_to(path.name), "cannot be read"),
    ],
)
def test_only_bounded_regular_files_of_the_version_are_read(version: Path, make, words: str) -> None:
    assert files.read(version, NAME, 1000) == CONTENT
    (version / NAME).unlink()
    with pytest.raises(FileNotFoundError):
        files.read(version, NAME, 1000)
    make(version / NAME)
    with pytest.raises(FileError, match=f"its {NAME} {words}"):
        files.read(version, NAME, 1000)


def test_links_within_a_version_and_to_a_version_are_followed(tmp_path: Path) -> None:
    # As Kubernetes mounts a volume: a link to a link to the file.
    (tmp_path / "elsewhere/..today/assets.extra").mkdir(parents=True)
    (tmp_path / "elsewhere/..today" / NAME).write_bytes(CONTENT)
    (tmp_path / "elsewhere/..data").symlink_to("..today")
    (tmp_path / "elsewhere/assets.extra").symlink_to("..data/assets.extra")
    (tmp_path / "2").symlink_to("elsewhere")
    assert files.read(tmp_path / "2", NAME, 1000) == CONTENT


def test_a_version_with_regular_files_passes_the_check(version: Path) -> None:
    (version / "saved_model.pb").touch()
    (version / "other").mkdir()
    os.mkfifo(version / "other/ignored")
    files.check(version)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "assets/names.txt"])
def test_the_check_refuses_other_files_where_tensorflow_reads(version: Path, name: str) -> None:
    path = version / name
    path.parent.mkdir(exist_ok=True)
    for make, words in (
        (os.mkfifo, "is not a regular file"),
        (a_link_out_of_the_version, "is a link out of the version's folder"),
        (lambda path: path.symlink_to("gone"), "cannot be read: No such file"),
    ):
        make(path)
        with pytest.raises(FileError, match=f"its {name} {words}"):
            files.check(version)
        path.unlink()


def test_only_files_that_tensorflow_reads_into_memory_are_bounded(version: Path) -> None:
    (version / "variables").mkdir()
    a_sparse_file(version / "variables/weights")
    files.check(version)
    a_sparse_file(version / "saved_model.pb")
    with pytest.raises(FileError, match=r"its saved_model.pb has 1073741824 bytes, and at most 268435456 are read"):
        files.check(version)


def become_readable(path: Path) -> None:
    """Change the file's status only; the clock of a file system may be coarse."""
    before = path.stat()
    wait_until(lambda: path.chmod(0o600) or path.stat().st_ctime_ns != before.st_ctime_ns)
    after = path.stat()
    assert (before.st_mtime_ns, before.st_ino, before.st_size) == (after.st_mtime_ns, after.st_ino, after.st_size)


@pytest.mark.parametrize("folder", ["", *files.FOLDERS])
def test_the_identity_changes_with_every_file_that_is_read(version: Path, folder: str) -> None:
    (version / folder).mkdir(exist_ok=True)
    before = files.identity(version)
    for change in (Path.touch, lambda path: path.write_text("x"), become_readable, Path.unlink):
        change(version / folder / "file")
        after = files.identity(version)
        assert after != before
        before = after


def test_the_identity_does_not_recurse(tmp_path: Path) -> None:
    for folder in ("a/1/other", "a/1/assets.extra/deeper", "outside/variables"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("outside", "outside/variables", "a/1/other", "a/1/assets.extra/deeper"):
        (tmp_path / folder / "unseen").touch()
    (tmp_path / "a/1/variables").symlink_to(tmp_path / "outside/variables")
    (tmp_path / "a/2").symlink_to(tmp_path / "outside")
    assert {Path(name).name for name, *_ in files.identity(tmp_path / "a/1")} == {
        *("other", "assets.extra", "variables", "deeper")
    }
    assert [name for name, *_ in files.identity(tmp_path / "a/2")] == ["unseen", "variables", "variables/unseen"]


def test_no_more_than_a_bounded_number_of_files_is_listed(tmp_path: Path) -> None:
    for number in range(2 * files.MAX_FILES):
        (tmp_path / f"{number}").touch()
    assert len(files.identity(tmp_path)) == files.MAX_FILES + 1
    with pytest.raises(FileError, match="it has more than 256 files"):
        files.check(tmp_path)


def test_json_is_parsed() -> None:
    assert files.parse('{"a": [1, 2.5, null, "é"]}'.encode()) == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "Expecting"),
        (b"\xff", "utf-8"),
        (b"[NaN]", "nan, which is not a finite number"),
        (b'{"a": -1e999}', "-inf, which is not a finite number"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\ud800": 1}', "half of a surrogate pair"),
        (b"[" * 33 + b"]" * 33, "deeper than 32 levels"),
        (b"[" * 100_000, "deeper than 32 levels"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_that_cannot_be_written_again_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        files.parse(data)
