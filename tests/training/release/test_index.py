"""The index of a version is read as it was written, and a damaged one is refused."""

import json
from pathlib import Path

import pytest

from training.object_storage import DamagedError, Facts
from training.release.index import Index


@pytest.fixture
def index(tmp_path: Path) -> Index:
    (tmp_path / "a/variables").mkdir(parents=True)
    (tmp_path / "a/variables/data-00000-of-00001").write_text("weights")
    (tmp_path / "a/saved_model.pb").write_text("")
    return Index.of(tmp_path / "a", "mine", 3, publisher="me", published="2026-11-27T00:00:00+00:00")


def test_it_lists_every_file_and_is_read_as_written(index: Index) -> None:
    assert list(index.files) == ["saved_model.pb", "variables/data-00000-of-00001"]
    assert index.files["saved_model.pb"].bytes == 0
    assert Index.parse(index.to_json(), "mine", 3) == index


def test_the_folder_in_the_bucket_depends_on_every_file(index: Index) -> None:
    other = Index("mine", 3, index.files | {"saved_model.pb": Facts(1, "0" * 64)}, "me", "")
    assert index.folder.startswith("files/mine/")
    assert index.folder != other.folder


def test_a_changed_or_missing_file_does_not_match(index: Index, tmp_path: Path) -> None:
    assert index.matches(tmp_path / "a")
    (tmp_path / "a/saved_model.pb").write_text("x")
    assert not index.matches(tmp_path / "a")
    assert not index.matches(tmp_path / "b")


@pytest.mark.parametrize(
    "changes",
    [
        *({"format": 2}, {"version": 4}, {"name": "other"}, {"files": []}, {"files": {"a": 1}}),
        *({"files": {path: {"bytes": 1, "sha256": "0" * 64}}} for path in ("../a", "/a", "a/../b", "", "a\nb", ".a")),
        *({"files": {"a": {"bytes": size, "sha256": hash_}}} for size, hash_ in ((-1, "0" * 64), (1, "0"))),
    ],
)
def test_a_damaged_index_is_refused(index: Index, changes: dict[str, object]) -> None:
    content = json.dumps(json.loads(index.to_json()) | changes).encode()
    with pytest.raises(DamagedError, match="index of mine 3 in the bucket is damaged"):
        Index.parse(content, "mine", 3)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(DamagedError):
        Index.parse(b"\xff", "mine", 3)
