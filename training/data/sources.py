"""The entries of --corpus (files, folders, patterns, archives, stdin) as sources in the order of the text."""

import os
from collections.abc import Sequence
from pathlib import Path

from training.data.archives import sources_in
from training.data.buckets import in_bucket
from training.data.parts import NAME
from training.data.pipes import pipe, stdin
from training.data.reader import Source, shown
from training.data.search import File, Found, by_pattern, in_folder, is_pattern
from training.data.selection import Selection
from training.errors import InputError
from training.object_storage import is_url

STDIN = "-"
LISTED = 10
ALL = Selection()


class NoText(InputError):
    """There is no file, or no character, at `display_path`, where text was expected."""

    def __init__(self, message: str, display_path: str) -> None:
        super().__init__(message)
        self.display_path = display_path


def sources(paths: Sequence[str], selection: Selection = ALL) -> list[Source]:
    """The sources of the entries of --corpus, in order.

    An entry is a file, a folder (with all files below it), a pattern, the URL of objects in a bucket, or "-" for stdin.
    A file or folder that cannot be read becomes a source that raises an error when it is read.

    Raises:
        InputError: A path does not exist.
        NoText: A folder, pattern or URL has no file.
        StorageError: The bucket of a URL does not answer.
    """
    return sources_and_notes(paths, selection)[0]


def sources_and_notes(paths: Sequence[str], selection: Selection) -> tuple[list[Source], list[str]]:
    """`sources`, and notes about links that were left out."""
    found: list[Source] = []
    notes: list[str] = []
    for path in paths:
        sources_, notes_ = _sources_of(os.path.expanduser(path), selection)
        found += sources_
        notes += notes_
    return found, notes


def _sources_of(path: str, selection: Selection) -> tuple[list[Source], list[str]]:
    if path == STDIN:
        return [stdin()], []
    if is_url(path):
        missing = f"--corpus {shown(path)} has no text file in it"
        return _required(in_bucket(path, selection), missing, path, selection), []
    if os.path.isdir(path):
        found = in_folder(Path(path), selection)
        missing = f"--corpus {shown(path)} is a folder with no text file in it"
    elif is_pattern(path):
        found = by_pattern(path, selection)
        missing = f"--corpus {shown(path)} matches no file"
    else:
        found, missing = Found([_named(path)]), f"--corpus {shown(path)} is left out"
    chosen = [source for file in found.files for source in _of_file(file, selection)]
    return _required(chosen, missing, path, selection), _notes(found)


def _named(path: str) -> File:
    """The file at `path`, with the error if it may be there and cannot be read.

    Raises:
        InputError: It does not exist.
    """
    error = None
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no file has such a path
        raise InputError(f"--corpus {shown(path)} does not exist.") from None
    except OSError as found:  # its folder may not be searched, for example
        error = found
    return File(Path(path), Path(path).name, error)


def _required(chosen: list[Source], missing: str, path: str, selection: Selection) -> list[Source]:
    """The sources of an entry, or NoText if it has none."""
    if not chosen:
        flags = " and ".join(f"--{name}" for name in ("include", "exclude") if getattr(selection, name))
        raise NoText(f"{missing}{f' ({flags} applied)' if flags else ''}.", shown(path))
    if any(NAME.fullmatch(source.name) for source in chosen):
        raise InputError(f"--corpus {shown(path)} holds encoded parts, which only `train` reads.")
    return chosen


def _of_file(file: File, selection: Selection) -> list[Source]:
    if file.error:
        found = [Source.failing(file.path, file.error)]
    else:
        found = sources_in(file.path) if file.path.is_file() else [pipe(file.path)]
    # A member of an archive is selected by its path within the folder, too.
    return [s for s in found if selection.takes(file.within + s.display_path.removeprefix(shown(file.path)))]


def _notes(found: Found) -> list[str]:
    notes = []
    if found.broken_links:
        notes.append(f"Broken links were left out: {_listed([shown(link) for link in found.broken_links])}.")
    if found.repeated:
        notes.append(f"Links to files or folders that are already read were left out: {found.repeated:,}.")
    return notes


def _listed(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
