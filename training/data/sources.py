"""What the entries of --corpus stand for: files, folders, patterns, archives and stdin, as sources in order."""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.data.archives import opened
from training.data.reader import Opened, Source, shown
from training.data.selection import File, Found, Selection, by_pattern, in_folder, is_pattern
from training.errors import InputError

STDIN = "-"
LISTED = 10
ALL = Selection()


class NoText(InputError):
    """There is no file, or no character, where text was expected; `display_path` is where."""

    def __init__(self, message: str, display_path: str) -> None:
        super().__init__(message)
        self.display_path = display_path


def sources(paths: Sequence[str], selection: Selection = ALL) -> list[Source]:
    """What the entries of --corpus stand for, in order: a file, a folder (all under it), a pattern, or "-" for stdin.

    A file or folder that cannot be read is among them, and fails when it is read.

    Raises:
        InputError: a path is missing.
        NoText: a folder or pattern has no file.
    """
    return sources_and_notes(paths, selection)[0]


def sources_and_notes(paths: Sequence[str], selection: Selection) -> tuple[list[Source], list[str]]:
    """`sources`, and a sentence for each kind of thing in the folders that was left out."""
    found: list[Source] = []
    notes: list[str] = []
    for path in paths:
        more, what = _sources_of(os.path.expanduser(path), selection)
        found += more
        notes += what
    return found, notes


def _sources_of(path: str, selection: Selection) -> tuple[list[Source], list[str]]:
    if path == STDIN:
        return [Source("stdin", "- (stdin)", False, _open_stdin)], []
    if os.path.isdir(path):
        found = in_folder(Path(path), selection)
        missing = f"--corpus {shown(path)} is a folder with no text file in it"
    elif is_pattern(path):
        found = by_pattern(path, selection)
        missing = f"--corpus {shown(path)} matches no file"
    elif os.path.lexists(path):
        found, missing = Found([File(Path(path), Path(path).name)]), f"--corpus {shown(path)} is left out"
    else:
        raise InputError(f"--corpus {shown(path)} does not exist.")
    chosen = [source for file in found.files for source in _of_file(file, selection)]
    if not chosen:
        limits = " and ".join(f"--{name}" for name in ("include", "exclude") if getattr(selection, name))
        raise NoText(f"{missing}{f', as {limits} chooses them' if limits else ''}.", shown(path))
    return chosen, _notes(found)


def _of_file(file: File, selection: Selection) -> list[Source]:
    found = [Source.failing(file.path, file.error)] if file.error else opened(file.path)
    # of a member of an archive too: where it lies within the folder
    return [s for s in found if selection.takes(file.within + s.display_path.removeprefix(shown(file.path)))]


def _notes(found: Found) -> list[str]:
    notes = []
    if found.broken_links:
        notes.append(f"Links that lead nowhere were left out: {listed([shown(link) for link in found.broken_links])}.")
    if found.repeated:
        notes.append(f"Links to files or folders that are read already were left out: {found.repeated:,}.")
    return notes


def listed(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _open_stdin() -> Opened:
    if sys.stdin is None:
        raise OSError("stdin is closed")
    return contextlib.nullcontext(sys.stdin.buffer)
