"""The index of a version in a bucket: the object that lists its files and makes it visible. Stores nothing itself."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from training.object_storage import DamagedError, Facts

FORMAT = 1
VERSIONS, FILES = "versions", "files"
MAX_BYTES = 2**20
PATH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.@=-]*/){0,3}[A-Za-z0-9_][A-Za-z0-9_.@=-]*")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Index:
    """The files of a version. An index never changes once it is written."""

    name: str
    version: int
    files: dict[str, Facts]  # by path in the version's folder
    publisher: str  # a random id of the process that published it
    published: str  # RFC 3339, UTC

    @classmethod
    def of(cls, folder: Path, name: str, version: int, *, publisher: str, published: str) -> "Index":
        """The index of the version in `folder`."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        facts = {path.relative_to(folder).as_posix(): Facts.of(path) for path in files}
        return cls(name, version, facts, publisher, published)

    @classmethod
    def parse(cls, content: bytes, name: str, version: int) -> "Index":
        """The index in an object.

        Raises:
            DamagedError: it is not the index of this version, or names files outside of its folder.
        """
        try:
            fields = json.loads(content)
            files = {path: Facts(each["bytes"], each["sha256"]) for path, each in fields["files"].items()}
            found = cls(fields["name"], fields["version"], files, str(fields["publisher"]), str(fields["published"]))
            is_valid = (fields["format"], found.name, found.version) == (FORMAT, name, version)
            is_valid = is_valid and all(map(_is_valid, files, files.values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            is_valid = False
        if not is_valid:
            raise DamagedError(f"The index of {name} {version} in the bucket is damaged or of another format.")
        return found

    @property
    def content(self) -> str:
        """The SHA-256 over paths, sizes and hashes of all files, in hexadecimal."""
        listed = {path: asdict(facts) for path, facts in sorted(self.files.items())}
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """The folder of the files in the bucket."""
        return f"{files_folder(self.name)}/{self.content}"

    def to_json(self) -> bytes:
        """The content of the object."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1).encode()

    def matches(self, folder: Path) -> bool:
        """Whether a local folder holds the files of the index, unchanged."""
        return all((folder / path).is_file() and Facts.of(folder / path) == facts for path, facts in self.files.items())


def index_path(name: str, version: int) -> str:
    """The object of an index."""
    return f"{VERSIONS}/{name}/{version}.json"


def tombstone_path(name: str, version: int) -> str:
    """The object that withdraws a version."""
    return f"{VERSIONS}/{name}/{version}.withdrawn"


def files_folder(name: str) -> str:
    """The folder of the files of a model's versions."""
    return f"{FILES}/{name}"


def _is_valid(path: str, facts: Facts) -> bool:
    is_number = type(facts.bytes) is int and facts.bytes >= 0
    return is_number and bool(PATH.fullmatch(path)) and bool(DIGEST.fullmatch(facts.sha256))
