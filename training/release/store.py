"""The store `models/`: lists, places, withdraws and prunes versions. Loads none; imports no framework.

A reader sees a complete version or none. A number is never used twice: a withdrawn version keeps its number in a hidden
folder. The folder may be the working copy of a bucket (`remote`); its versions are then those of the bucket.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.errors import InputError, ReportedError
from training.files import flush_folder, flush_tree, require_writable
from training.release.remote import remote_of, remove_old_downloads, shown

LOG = logging.getLogger(__name__)
MANIFEST = Path("assets.extra", "manifest.json")
PARTIAL, REMOVED, WITHDRAWN = ".partial-", ".removed-", ".withdrawn-"
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
NAME_RULE = "1 to 64 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit"
VERSION = re.compile(r"[1-9][0-9]*")


def proposed_name(name: str) -> str:
    """A valid model name similar to `name`, or "" if it has no letter or digit to use."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._]+", "-", plain).strip("-._")[:64].rstrip("-._")


def names(models: Path) -> list[str]:
    """The models that have a version, in alphabetical order."""
    if remote := remote_of(models):
        return remote.names()
    folders = [child.name for child in models.iterdir() if child.is_dir()] if models.is_dir() else []
    return sorted(name for name in folders if not name.startswith(".") and versions(models, name))


def versions(models: Path, name: str) -> list[int]:
    """The published versions of a model, oldest first; other names in its folder are ignored."""
    remote = remote_of(models)
    return remote.versions(name) if remote else _numbers(models / name, "")


def folder_of(models: Path, name: str, number: int) -> Path:
    """The folder of a version that exists. One in a bucket is downloaded first.

    Raises:
        DamagedError: its files in the bucket were changed or damaged.
    """
    folder = models / name / str(number)
    if remote := remote_of(models):
        remote.fetch(name, number, folder)
    return folder


def version_folder(models: Path, name: str, version: str | None = None) -> Path:
    """The folder of a model's version, by default the highest.

    Raises:
        InputError: there is no such model or version, or its files in a bucket are damaged.
    """
    return folder_of(models, name, version_number(models, name, version))


def version_number(models: Path, name: str, version: str | None = None) -> int:
    """The number of a model's version, by default the highest.

    Raises:
        InputError: there is no such model or version.
    """
    found = [str(number) for number in versions(models, name)]
    if not found:
        raise InputError(f"There is no model {name!r} in {shown(models)}: train one with --name {name}.")
    if version not in (None, *found):
        raise InputError(f"There is no version {version} of {name} in {shown(models)}: there is {', '.join(found)}.")
    return int(version or found[-1])


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of a version.

    Raises:
        InputError: it is missing or damaged.
    """
    return _fields(folder / MANIFEST, (folder / MANIFEST).read_bytes)


def listed_manifest(models: Path, name: str, number: int) -> dict[str, Any]:
    """The manifest of a version. Of a version in a bucket, only this file is downloaded.

    Raises:
        InputError: it is missing or damaged.
    """
    path = models / name / str(number) / MANIFEST
    remote = remote_of(models)
    return _fields(path, (lambda: remote.read(name, number, MANIFEST.as_posix())) if remote else path.read_bytes)


def require_store(models: Path, name: str) -> None:
    """Check that a version of a model can be placed; leaves nothing there.

    Raises:
        InputError: the folder cannot be created or written to.
        StorageError: the bucket does not answer, or refuses to write or delete.
    """
    require_writable(models / name, "--models")
    if remote := remote_of(models):
        remote.check_writing()


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a version that readers do not see yet.

    Raises:
        ReportedError: it holds a number that is not finite. JSON has none, and readers would refuse the version.
    """
    try:
        text = json.dumps(manifest, ensure_ascii=False, indent=1, allow_nan=False)
    except ValueError as error:
        raise ReportedError(f"The manifest of {manifest['name']} holds a number that is not finite.") from error
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


@contextmanager
def changing(store: Path) -> Iterator[None]:
    """Lock a model's folder `models/<name>` for this process; waits for a process that has it locked, and says so."""
    store.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(store, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOG.warning("Another process is publishing or deleting versions of %s; waiting for it.", store.name)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def partial_version(store: Path) -> Iterator[Path]:
    """A path for a version that readers do not see yet; its folder is deleted at the end, unless it was placed."""
    aside = store / f"{PARTIAL}{uuid.uuid4().hex}"
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def place(aside: Path, store: Path, manifest: dict[str, Any]) -> Path:
    """Make the folder `aside` the next version, and write its number into the manifest. Needs the lock (`changing`).

    Returns:
        The folder of the version. In a working copy it is empty until `folder_of` downloads the version.
    """

    def seal(number: int) -> None:
        manifest["version"] = number
        write_manifest(aside, manifest)

    if remote := remote_of(store.parent):
        return store / str(remote.place(aside, store.name, seal))
    seal(max([*_numbers(store, ""), *_numbers(store, WITHDRAWN)], default=0) + 1)
    flush_tree(aside)
    folder = store / str(manifest["version"])
    aside.rename(folder)
    flush_folder(store)
    return folder


def withdraw(models: Path, name: str, to: int) -> list[int]:
    """Hide every version above `to` from readers, the highest first; returns their numbers.

    They stay in hidden folders until `prune`.
    """
    store = models / name
    with changing(store):
        above = [number for number in reversed(versions(models, name)) if number > to]
        remote = remote_of(models)
        for number in above:
            if remote:
                remote.withdraw(name, number)
            else:
                (store / str(number)).rename(store / f"{WITHDRAWN}{number}")
        flush_folder(store)
    return above


def prune(models: Path, name: str, *, keep: int, spare: int | None) -> list[int]:
    """Delete all versions except the `keep` highest and `spare`, and the remains of killed processes.

    Returns:
        The numbers of the deleted versions. Withdrawn ones are among them, but not those of a bucket.
    """
    store = models / name
    with changing(store):
        if remote := remote_of(models):
            doomed = remote.prune(name, keep=keep, spare=spare)
            gone = set(_numbers(store, "")) - set(remote.versions(name))
            remove_old_downloads(store)
        else:
            doomed = [number for number in versions(models, name)[:-keep] if number != spare]
            gone = set(doomed)
        for number in gone:
            (store / str(number)).rename(store / f"{REMOVED}{number}")
        withdrawn = [number for number in _numbers(store, WITHDRAWN) if any((store / f"{WITHDRAWN}{number}").glob("*"))]
        for leftover in [*store.glob(f"{PARTIAL}*"), *store.glob(f"{REMOVED}*"), *store.glob(f"{WITHDRAWN}*/*")]:
            _remove(leftover)
        flush_folder(store)
    return sorted([*doomed, *withdrawn])


def _remove(path: Path) -> None:
    """Remove a folder with its content, or a file or link that a person has put into its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _fields(path: Path, read: Callable[[], bytes]) -> dict[str, Any]:
    try:
        fields = json.loads(read().decode())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): withdraw or remove this version.") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path} holds no JSON object: withdraw or remove this version.")
    return fields


def _numbers(store: Path, prefix: str) -> list[int]:
    if not store.is_dir():
        return []
    found = [child.name.removeprefix(prefix) for child in store.iterdir() if child.name.startswith(prefix)]
    return sorted(int(number) for number in found if VERSION.fullmatch(number))
