"""A folder that is read and written like a bucket."""

from pathlib import Path

import pytest

from training.data.storage import Folder, scratch, storage_of
from training.errors import InputError
from training.object_storage import Bucket, DamagedError


def test_a_location_is_a_folder_or_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage_of("parts").url == str(tmp_path / "parts")
    assert isinstance(storage_of("s3://bucket/parts"), Bucket)


def test_files_are_placed_read_by_ranges_and_deleted(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "new/parts"))
    with scratch(folder) as aside:
        (aside / "a").write_bytes(b"0123456789")
        folder.upload("b", aside / "a")
    assert [(each.path, each.bytes) for each in folder.listing("")] == [("b", 10)]
    assert (folder.read("b", 10), folder.read_range("b", 2, 5)) == (b"0123456789", b"234")
    folder.delete(["b", "c"])
    assert list((tmp_path / "new/parts").iterdir()) == []


def test_files_that_are_missing_short_or_too_large_are_refused(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    (tmp_path / "a").write_bytes(b"0123456789")
    with pytest.raises(DamagedError, match=r"/b is missing\.$"):
        folder.read("b", 10)
    with pytest.raises(DamagedError, match=r"/a has fewer than 11 bytes"):
        folder.read_range("a", 8, 11)
    with pytest.raises(DamagedError, match=r"/a has 10 bytes, more than 9\.$"):
        folder.read("a", 9)
    with pytest.raises(InputError, match=r"/none is not a folder\.$"):
        Folder(str(tmp_path / "none")).listing("")
    with (
        pytest.raises(InputError, match=r"--to: .*/a cannot be (created|written to)"),
        scratch(Folder(str(tmp_path / "a"))),
    ):
        pass
