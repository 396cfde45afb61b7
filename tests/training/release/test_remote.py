"""A folder without a marker is not the working copy of a bucket. tests/contract/test_object_storage.py has the rest."""

import os
from pathlib import Path

import pytest

from tests.ports import free_port
from training.errors import InputError
from training.object_storage import StorageError
from training.release.remote import MARKER, remote_of, remove_old_downloads, shown, working_copy


def test_a_folder_is_not_a_working_copy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert remote_of(tmp_path) is remote_of(tmp_path / "absent") is remote_of(tmp_path / "file") is None
    assert shown(tmp_path / "a/1") == str(tmp_path / "a/1")


def test_the_folders_of_a_working_copy_are_shown_as_urls(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("s3://bucket/prefix")
    assert shown(tmp_path) == "s3://bucket/prefix"
    assert shown(tmp_path / "a/1") == "s3://bucket/prefix/a/1"


def test_old_downloads_are_removed_and_those_in_progress_are_not(tmp_path: Path) -> None:
    for name in (".download-old", ".download-new", "1"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".download-old", (0, 0))
    remove_old_downloads(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".download-new", "1"]


def test_a_bucket_that_does_not_answer_has_no_working_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLOOM_MODELS_CACHE", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("training.object_storage.MAX_RETRIES", 0)
    with pytest.raises(StorageError, match="it does not answer"):
        working_copy("s3://bucket/unanswered")
    with pytest.raises(InputError, match="must be a folder or a URL"):
        working_copy("ftp://bucket")
    assert list(tmp_path.iterdir()) == []
