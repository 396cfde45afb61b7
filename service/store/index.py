"""The index of a version in a bucket: the object that lists its files and makes it visible. Reads nothing itself.

The layout is that of models/README.md.
"""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from service.model import files
from service.model.manifest import NAME
from service.model.version import ModelVersion
from service.object_storage import DamagedError, Facts

FORMAT = 1
VERSIONS = "versions"
MAX_BYTES = 2**20
OBJECT = re.compile(VERSIONS + rf"/({NAME.pattern})/([1-9][0-9]{{0,17}})\.(json|withdrawn)")
PATH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.@=-]{0,99}/){0,3}[A-Za-z0-9_][A-Za-z0-9_.@=-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Index:
    """The files of a version, by path in its folder."""

    version: ModelVersion
    files: dict[str, Facts]

    @classmethod
    def parse(cls, content: bytes, version: ModelVersion) -> "Index":
        """The index in an object.

        Raises:
            DamagedError: it is not the index of this version, or names files outside of its folder.
        """
        try:
            fields = files.parse(content)
            found = {str(path): Facts(each["bytes"], each["sha256"]) for path, each in fields["files"].items()}
            is_valid = (fields["format"], fields["name"], fields["version"]) == (FORMAT, version.name, version.number)
            is_valid = is_valid and 0 < len(found) <= files.MAX_FILES and all(map(_is_valid, found, found.values()))
            is_valid = is_valid and not any(str(folder) in found for path in found for folder in Path(path).parents)
        except (ValueError, KeyError, TypeError, AttributeError):
            is_valid = False
        if not is_valid:
            raise DamagedError("its index is damaged or of another format")
        return cls(version, found)

    @property
    def folder(self) -> str:
        """The folder of the files in the bucket, which is named after their paths, sizes and hashes."""
        listed = {path: asdict(facts) for path, facts in sorted(self.files.items())}
        return f"files/{self.version.name}/{hashlib.sha256(json.dumps(listed).encode()).hexdigest()}"

    def matches(self, folder: Path) -> bool:
        """Whether a local folder holds the files of the index, unchanged."""
        return all((folder / path).is_file() and Facts.of(folder / path) == facts for path, facts in self.files.items())


def index_path(version: ModelVersion) -> str:
    """The object of an index."""
    return f"{VERSIONS}/{version.name}/{version.number}.json"


def visible(objects: Collection[str]) -> list[ModelVersion]:
    """The versions that have an index and no tombstone, among these objects; the highest numbers first."""
    found: dict[str, set[ModelVersion]] = {"json": set(), "withdrawn": set()}
    for parts in filter(None, map(OBJECT.fullmatch, objects)):
        found[parts[3]].add(ModelVersion(parts[1], int(parts[2])))
    return sorted(found["json"] - found["withdrawn"], key=lambda version: (-version.number, version.name))


def _is_valid(path: str, facts: Facts) -> bool:
    is_number = type(facts.bytes) is int and facts.bytes >= 0
    return is_number and bool(PATH.fullmatch(path)) and bool(DIGEST.fullmatch(facts.sha256))
