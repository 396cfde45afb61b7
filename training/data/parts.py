"""The encoded parts of a text: their names, their records, and whether they belong together.

    part-00003-of-00016.json                    the record
    part-00003-of-00016-<hash of the ids>.ids   the ids, uint8 or uint16, in the part's own numbering

An id i of a part stands for the code point or byte `points[i]`. The file of ids is written before the record that names
it, and the name has its hash: a part that is encoded again never mixes with the earlier one. Knows no vocabulary.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.storage import Storage, storage_of
from training.errors import InputError
from training.object_storage import is_url

FORMAT = 1
MAX_RECORD_BYTES = 1 << 28
REQUESTS = 8  # at once
NAME = re.compile(r"part-(\d{5,})-of-(\d{5,})(\.json|-[0-9a-f]{16}\.ids)")


@dataclass(frozen=True)
class Part:
    """The record of an encoded part."""

    part: int  # from 0
    parts: int
    settings: dict[str, str]  # the flags that decide the symbols
    text: str  # a hash of the names and sizes of all files of the text
    symbols: int
    points: list[int]
    counts: list[int]  # how often each occurs
    file: str  # of ids
    bytes: int
    sha256: str
    sources: list[dict[str, Any]]  # what was read: path, bytes, sha256

    @property
    def stem(self) -> str:
        """The beginning of its files' names."""
        return stem(self.part, self.parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its ids."""
        return dtype_of(len(self.points))

    def to_json(self) -> str:
        """The content of the record."""
        record = {"format": FORMAT} | {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(record, ensure_ascii=False) + "\n"


def stem(part: int, parts: int) -> str:
    """The beginning of the names of a part's files."""
    return f"part-{part:05}-of-{parts:05}"


def dtype_of(points: int) -> np.dtype[Any]:
    """The smallest type for the ids of so many points."""
    return np.dtype(np.uint8 if points <= 0x100 else np.uint16)


def location_of_parts(paths: Sequence[str]) -> str | None:
    """The entry of --corpus that is a folder or URL of encoded parts; None where it is text.

    Raises:
        InputError: there are other entries beside it.
        StorageError: the bucket of a URL does not answer.
    """
    found = [path for path in paths if _has_parts(path)]
    if found and len(paths) > 1:
        raise InputError(f"--corpus {found[0]} holds encoded parts, which cannot be joined to other texts.")
    return found[0] if found else None


def _has_parts(path: str) -> bool:
    path = os.path.expanduser(path)
    if not is_url(path) and not Path(path).is_dir():
        return False
    return any(NAME.fullmatch(each.path) for each in storage_of(path).listing(""))


def load_parts(storage: Storage) -> list[Part]:
    """All parts of a text in order.

    Raises:
        InputError: a part is missing, damaged, there twice, or not of the same text and settings as the others.
        StorageError: the bucket does not answer.
    """
    sizes = {each.path: each.bytes for each in storage.listing("") if NAME.fullmatch(each.path)}
    records = sorted(name for name in sizes if name.endswith(".json"))
    _require_names(records, storage.url)
    with ThreadPoolExecutor(REQUESTS) as pool:
        parts = list(pool.map(lambda name: _load(storage, name), records))
    for name, part in zip(records, parts, strict=True):
        if f"{part.stem}.json" != name:
            raise InputError(f"{storage.url}/{name} is a copy of part {part.part} of {part.parts}: remove it.")
        _require_same(part, parts[0], storage.url)
        if sizes.get(part.file) != part.bytes:
            raise InputError(f"{storage.url}/{part.file} is missing or was changed: encode part {part.part} again.")
    return parts


def key_of(parts: Sequence[Part]) -> str:
    """A hash of everything that the records say."""
    return hashlib.sha256("".join(part.to_json() for part in parts).encode()).hexdigest()


def points_and_counts(parts: Sequence[Part]) -> dict[int, int]:
    """Code point or byte -> how often it occurs in all parts, without those that do not."""
    totals: NDArray[np.int64] = np.zeros(0x110000, np.int64)
    for part in parts:
        totals[part.points] += np.array(part.counts, np.int64)
    return {int(point): int(totals[point]) for point in np.flatnonzero(totals)}


def _require_names(records: Sequence[str], url: str) -> None:
    numbers = [match.groups() for name in records if (match := NAME.fullmatch(name))]
    totals = sorted({int(parts) for _, parts, _ in numbers})
    if not totals:
        raise InputError(f"{url} holds no record of an encoded part.")
    if len(totals) > 1:
        counts = " and ".join(map(str, totals))
        raise InputError(f"{url} holds parts of several encodings, of {counts} parts each: keep those of one.")
    missing = sorted(set(range(totals[0])) - {int(part) for part, _, _ in numbers})
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise InputError(
            f"{url} lacks part {missing[0]} of {totals[0]}{more}: corpus encode --part {missing[0]}/{totals[0]}."
        )


def _load(storage: Storage, name: str) -> Part:
    content = storage.read(name, MAX_RECORD_BYTES)
    try:
        record = json.loads(content)
        if record.pop("format") != FORMAT:
            raise ValueError("another format")
        part = Part(**record)
        if part.bytes != part.symbols * part.dtype.itemsize or sum(part.counts) != part.symbols:
            raise ValueError("sizes that differ")
        if not NAME.fullmatch(part.file):
            raise ValueError("another name")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{storage.url}/{name} is damaged, or of another program: encode the part again.") from error
    return part


def _require_same(part: Part, first: Part, url: str) -> None:
    """Check that a part belongs to the first one."""
    if part.settings != first.settings:
        this, that = (_flags(each.settings) for each in (part, first))
        raise InputError(f"Part {part.part} in {url} was encoded with {this}, and part 0 with {that}.")
    if part.text != first.text:
        raise InputError(f"Part {part.part} in {url} was encoded from other files than part 0: encode all again.")


def _flags(settings: dict[str, str]) -> str:
    return " ".join(f"--{name} {value}" for name, value in settings.items())
