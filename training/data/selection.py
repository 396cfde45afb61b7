"""Which files of a corpus are read, decided by their paths: --include, --exclude and --skip-unreadable."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Selection:
    """Which files of a corpus are read.

    A pattern without a slash is compared with the name of the file and of each folder above it. One with a slash is
    compared with the path within the folder, where `**` stands for any number of folders. A pattern that matches a
    folder applies to all files in it.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_unreadable: bool = False

    def excludes(self, path: str) -> bool:
        """Whether a pattern of --exclude matches this path."""
        return any(_matches(path, pattern) for pattern in self.exclude)

    def takes(self, path: str) -> bool:
        """Whether the file at this path, relative to the folder of the corpus, is read."""
        is_included = not self.include or any(_matches(path, pattern) for pattern in self.include)
        return is_included and not self.excludes(path)


def _matches(path: str, pattern: str) -> bool:
    patterns = pattern.strip("/").split("/")
    anywhere = [] if "/" in pattern.rstrip("/") else ["**"]
    return _begins_with(path.split("/"), [*anywhere, *patterns])


def _begins_with(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path, or a folder above it, matches these patterns, one for each name; `**` matches any names."""
    if not patterns:
        return True
    if patterns[0] == "**":
        return any(_begins_with(parts[count:], patterns[1:]) for count in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _begins_with(parts[1:], patterns[1:])
