"""Which versions a listing shows, and which indexes are refused."""

import json

import pytest

from service.model.version import ModelVersion
from service.object_storage import DamagedError, Facts
from service.store.index import Index, index_path, visible

VERSION = ModelVersion("mine", 3)
FACTS = {"bytes": 1, "sha256": "0" * 64}
GOOD = {"format": 1, "name": "mine", "version": 3, "files": {"variables/data-00000-of-00001": FACTS}}


def test_a_version_is_visible_if_it_has_an_index_and_no_tombstone() -> None:
    objects = [
        "a/1.json",
        "a/2.json",
        "a/2.withdrawn",
        "a/3.withdrawn",
        "b/10.json",
        "a/01.json",
        "A/1.json",
        "a/b/1.json",
    ]
    found = visible([f"versions/{name}" for name in objects] + ["files/a/1.json"])
    assert [str(version) for version in found] == ["b/10", "a/1"]


def test_an_index_gives_the_facts_of_each_file() -> None:
    index = Index.parse(json.dumps(GOOD).encode(), VERSION)
    assert index.files == {"variables/data-00000-of-00001": Facts(1, "0" * 64)}
    assert index_path(VERSION) == "versions/mine/3.json"


@pytest.mark.parametrize(
    "changes",
    [
        *({"format": 2}, {"version": 4}, {"name": "other"}, {"files": {}}, {"files": []}, {"files": {"a": 1}}),
        *({"files": {path: FACTS}} for path in ("../a", "/a", "a/../b", "", "a\nb", ".a", "a//b", "a\\b/..")),
        *({"files": {"a" * 101: FACTS}}, {"files": {"a": FACTS, "a/b": FACTS}}),
        *(
            {"files": {"a": FACTS | change}}
            for change in ({"bytes": -1}, {"bytes": True}, {"bytes": "1"}, {"sha256": 1})
        ),
        {"files": {f"a{number}": FACTS for number in range(257)}},
    ],
)
def test_a_damaged_index_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedError, match="its index is damaged or of another format"):
        Index.parse(json.dumps(GOOD | changes).encode(), VERSION)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(DamagedError):
        Index.parse(b"\xff", VERSION)
