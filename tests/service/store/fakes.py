"""A loader without TensorFlow, and functions that publish and change versions on disk."""

import gc
import shutil
import threading
import weakref
from pathlib import Path

from service.model.model import ModelError
from tests.service.model.manifests import GOOD, write


class NamedModel(str):
    """A model that is only its version's name, with the text of its file `text`; it can be referred to weakly."""


def assert_freed_with_its_last_user(users: list[NamedModel]) -> None:
    """The one model in `users` is referred to by this list only, and by no cycle."""
    gc.disable()  # the collector would free a cycle too
    try:
        freed = weakref.ref(users[0])
        assert freed() is not None
        users.clear()
        assert freed() is None
    finally:
        gc.enable()


class Loader:
    """Loads a version's folder as `NamedModel`, and refuses one that has a file `broken`."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.began: dict[str, threading.Event] = {}

    def hold(self, name: str) -> None:
        """Let loads of this version begin, and end only after `gates[name]` is set."""
        self.gates[name], self.began[name] = threading.Event(), threading.Event()

    def __call__(self, folder: Path) -> NamedModel:
        name = f"{folder.parent.name}/{folder.name}"
        self.loaded.append(name)
        if name in self.gates:
            self.began[name].set()
            assert self.gates[name].wait(10)
        if (folder / "broken").exists():
            raise ModelError((folder / "broken").read_text() or "its probe fails")
        if (folder / "unexpected").exists():
            raise ZeroDivisionError("division\nby zero")
        return NamedModel(name + (folder / "text").read_text() if (folder / "text").exists() else name)


def publish(folder: Path, *versions: str, broken: tuple[str, ...] = ()) -> None:
    """Create the folders `versions`, and make those in `broken` fail to load."""
    for version in versions:
        (folder / version).mkdir(parents=True)
    for version in broken:
        (folder / version / "broken").touch()


def create(folder: Path, version: str, created: str) -> None:
    """Publish a version with a manifest that has this creation time."""
    publish(folder, version)
    write(folder / version, GOOD | {"created": created})


def replace(folder: Path, version: str, file: str, content: str = "") -> None:
    """Replace a version's folder by another one that has only this file."""
    shutil.rmtree(folder / version)
    (folder / version).mkdir()
    (folder / version / file).write_text(content)


def samples(metric, *names: str) -> dict[tuple[str, str], float]:
    """The values of a metric for the versions of these models."""
    return {
        (sample.labels["model"], sample.labels["version"]): sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.labels["model"] in names and not sample.name.endswith("_created")
    }
