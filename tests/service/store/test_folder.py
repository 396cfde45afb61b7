"""The store's folder on disk: names, versions, order and history."""

import json
import shutil
from pathlib import Path

import pytest

from service.model import files
from service.model.version import ModelVersion
from service.store.folder import HISTORY, Folder
from tests.service.store.fakes import create, publish


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def numbers(folder: Folder, name: str) -> list[int]:
    return [version.number for version in folder.versions(name)]


def test_versions_are_sorted_by_number_and_models_by_name(tmp_path: Path, folder: Folder) -> None:
    publish(tmp_path, "b/1", "a/2", "a/10", "a/9")
    assert folder.names() == ["a", "b"]
    assert folder.versions("a") == [ModelVersion("a", number) for number in (2, 9, 10)]


def test_folders_that_are_not_versions_are_ignored(tmp_path: Path, folder: Folder) -> None:
    publish(tmp_path, "a/1", "a/.partial-x", "a/02", "a/0", "a/-3", "a/latest", "a/٣", "Not A Name/1", ".hidden/1")
    publish(tmp_path, "empty/.partial-1")
    (tmp_path / "a" / "7").touch()  # a file
    assert folder.names() == ["a"]
    assert numbers(folder, "a") == [1]


@pytest.mark.parametrize("name", ["absent", "..", "../a", "a/1", "", "A", "x" * 65])
def test_a_name_that_is_absent_or_not_valid_has_no_versions(tmp_path: Path, name: str) -> None:
    publish(tmp_path, "models/a/1", "models/A/1", "a/1", "1")  # the last two are outside the store
    assert Folder(tmp_path / "models").versions(name) == []


def test_an_absent_store_is_an_error_and_an_absent_model_is_not(tmp_path: Path, folder: Folder) -> None:
    assert folder.versions("a") == []
    (tmp_path / "file").touch()
    assert folder.versions("file") == []
    gone = Folder(tmp_path / "gone")
    for call in (gone.names, lambda: gone.versions("a")):
        with pytest.raises(FileNotFoundError):
            call()


def test_a_model_that_cannot_be_listed_is_named(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "a").symlink_to("a")  # cannot be listed, whatever the user's rights
    assert folder.names() == ["a"]
    with pytest.raises(OSError, match="symbolic links"):
        folder.versions("a")


def test_the_identity_changes_with_the_files_of_a_version(tmp_path: Path, folder: Folder) -> None:
    version = ModelVersion("a", 1)
    assert folder.identity(version) is None
    publish(tmp_path, "a/1")
    before = folder.identity(version)
    assert folder.identity(version) == before
    (tmp_path / "a/1/file").touch()
    assert folder.identity(version) not in (before, None)


def test_models_are_sorted_by_the_creation_of_their_oldest_version(tmp_path: Path, folder: Folder) -> None:
    create(tmp_path, "shakespeare/2", "2026-11-21T22:04:17+00:00")
    create(tmp_path, "mine/1", "2026-11-21T20:00:00-09:00")  # five in the morning of the next day, UTC
    create(tmp_path, "mine/3", "2026-11-20T00:00:00Z")  # a later version does not count
    publish(tmp_path, "b/1", "a/1")  # without a creation time
    assert folder.oldest_first(["a", "b", "mine", "shakespeare"]) == ["shakespeare", "mine", "a", "b"]


def test_a_manifest_is_read_once_while_its_version_does_not_change(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path, "a/1", "2026-03-01T00:00:00Z")
    read = []
    monkeypatch.setattr(files, "read", lambda version, name, max_bytes: read.append(version) or b"")
    for _ in range(3):
        folder.oldest_first(["a"])
    assert read == [tmp_path / "a/1"]
    (tmp_path / "a/1/changed").touch()
    folder.oldest_first(["a"])
    assert len(read) == 2


def test_a_history_is_its_valid_lines_and_the_count_of_the_others(tmp_path: Path, folder: Folder) -> None:
    version = ModelVersion("a", 1)
    publish(tmp_path, "a/1/assets.extra")
    assert folder.history(version) == ([], None)
    path = tmp_path / "a/1" / HISTORY
    path.write_text(json.dumps({"step": 1}) + "\n\n[2]\n{\n" + json.dumps({"step": 3}))
    evaluations, error = folder.history(version)
    assert evaluations == [{"step": 1}, {"step": 3}]
    assert error == f"2 of the 4 lines of {HISTORY} are damaged and left out."
    path.unlink()
    path.mkdir()
    assert folder.history(version) == ([], f"Version a/1 has no history to show: its {HISTORY} is not a regular file.")


def test_a_version_that_is_a_link_is_followed(tmp_path: Path, folder: Folder) -> None:
    # As Kubernetes mounts a volume.
    publish(tmp_path, "outside/first", "outside/second", "a")
    (tmp_path / "outside/second/text").touch()
    (tmp_path / "a/1").symlink_to("../outside/first")
    assert numbers(folder, "a") == [1]
    before = folder.identity(ModelVersion("a", 1))
    (tmp_path / "a/next").symlink_to("../outside/second")
    (tmp_path / "a/next").rename(tmp_path / "a/1")
    assert folder.identity(ModelVersion("a", 1)) != before
    shutil.rmtree(tmp_path / "outside")
    assert numbers(folder, "a") == []
