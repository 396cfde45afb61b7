"""The objects of a bucket as sources, here of one in memory. tests/contract/test_object_storage.py reads a real one."""

import bz2
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from training.data import buckets
from training.data.buckets import in_bucket
from training.data.selection import Selection
from training.data.sources import NoText, sources
from training.errors import InputError
from training.object_storage import Stored

OBJECTS = {
    "texts/b.txt": b"two " * 3,
    "texts/a/c.txt": b"one ",
    "texts/.hidden/d.txt": b"hidden",
    "texts/e.txt.bz2": bz2.compress(b"three"),
    "texts/f.zip": b"PK\3\4",
}


class FakeBucket:
    """The methods of `Bucket` that read."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._prefix = url.removeprefix("s3://bucket").strip("/")

    def listing(self, folder: str) -> list[Stored]:
        prefix = f"{self._prefix}/" if self._prefix else ""
        now = datetime.now(UTC)
        return [
            Stored(path.removeprefix(prefix), now, len(content))
            for path, content in OBJECTS.items()
            if path.startswith(prefix)
        ]

    def size_of(self, path: str) -> int | None:
        content = OBJECTS.get(f"{self._prefix}/{path}".strip("/"))
        return None if content is None else len(content)

    def chunks(self, path: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        content = OBJECTS[f"{self._prefix}/{path}".strip("/")][start:stop]
        yield from (content[start : start + 3] for start in range(0, len(content), 3))


@pytest.fixture(autouse=True)
def fake_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "Bucket", FakeBucket)


def read(url: str, **selection: tuple[str, ...]) -> dict[str, bytes]:
    return {source.display_path: b"".join(source.blocks()) for source in in_bucket(url, Selection(**selection))}


def test_a_folder_has_its_objects_in_name_order_without_hidden_ones() -> None:
    assert read("s3://bucket/texts", exclude=("*.zip",)) == {
        "s3://bucket/texts/a/c.txt": b"one ",
        "s3://bucket/texts/b.txt": b"two two two ",
        "s3://bucket/texts/e.txt.bz2": b"three",
    }
    assert list(read("s3://bucket", include=("b.txt",))) == ["s3://bucket/texts/b.txt"]


def test_a_url_may_name_one_object() -> None:
    (source,) = sources(["s3://bucket/texts/b.txt"])
    assert (source.name, source.repeatable, b"".join(source.blocks())) == ("b.txt", True, b"two two two ")


def test_a_range_of_an_object_is_a_source() -> None:
    (source,) = in_bucket("s3://bucket/texts/b.txt", Selection())
    part = source.between(2, 9)
    assert (source.size, part.size, part.start, b"".join(part.blocks())) == (12, 7, 2, b"o two t")


def test_an_archive_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"f\.zip cannot be read: it is a zip archive, which can only be read from a file"
    ):
        read("s3://bucket/texts", include=("f.zip",))


def test_a_selection_applies_to_one_object_too() -> None:
    with pytest.raises(NoText, match=r"has no text file in it \(--include applied\)\."):
        sources(["s3://bucket/texts/b.txt"], Selection(include=("*.md",)))


@pytest.mark.parametrize("url", ["s3://bucket/none", "s3://bucket/texts/none.txt"])
def test_a_url_without_an_object_has_no_text(url: str) -> None:
    with pytest.raises(NoText, match=f"--corpus {url} has no text file in it"):
        sources([url])
