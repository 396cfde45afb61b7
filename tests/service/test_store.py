from pathlib import Path

import pytest

from service.artifact.model import ModelError
from service.artifact.store import NoModel, NotFound, Store


class Loader:
    """Loads a folder as its own name, and refuses those that hold a file `broken`."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, folder: Path):
        self.loaded.append(f"{folder.parent.name}/{folder.name}")
        if (folder / "broken").exists():
            raise ModelError("its probe fails")
        return self.loaded[-1]


@pytest.fixture
def loader() -> Loader:
    return Loader()


def publish(folder: Path, *versions: str, broken: tuple[str, ...] = ()) -> None:
    for version in versions:
        (folder / version).mkdir(parents=True)
    for version in broken:
        (folder / version / "broken").touch()


def test_the_newest_version_of_the_default_model_answers(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, "b/1", "a/2", "a/10", "a/9")
    assert Store(tmp_path, None, loader).get() == "a/10"
    assert Store(tmp_path, "b", loader).get() == "b/1"
    assert Store(tmp_path, None, loader).get("a", 9) == "a/9"


def test_a_model_is_loaded_once_and_only_when_asked_for(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, "a/1", "a/2", "b/1")
    store = Store(tmp_path, None, loader)
    assert loader.loaded == []
    for _ in range(3):
        store.get("a")
    assert loader.loaded == ["a/2"]


def test_a_broken_version_is_refused_with_its_reason_and_the_one_before_serves(
    tmp_path: Path, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "a/2", "a/3", broken=("a/3",))
    store = Store(tmp_path, None, loader)
    assert store.get() == "a/2"
    assert store.get() == "a/2"
    assert loader.loaded == ["a/3", "a/2"]
    reason = "Version 3 of model 'a' is refused: its probe fails."
    assert store.refusals() == [reason]
    assert reason in caplog.text
    assert [(v.version, v.loaded, v.refused) for v in store.versions("a")] == [
        (1, False, None),
        (2, True, None),
        (3, False, "its probe fails"),
    ]
    with pytest.raises(NotFound, match="its probe fails"):
        store.get("a", 3)


def test_names_that_are_no_versions_are_ignored(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, "a/1", "a/.partial-x", "a/02", "a/0", "a/-3", "a/latest", "a/٣", "Not A Name/1", ".hidden/1")
    (tmp_path / "a" / "7").touch()  # a file
    store = Store(tmp_path, None, loader)
    assert store.names() == ["a"]
    assert [v.version for v in store.versions("a")] == [1]


@pytest.mark.parametrize("name", ["nobody", "..", "../a", "a/1", "", "A", "x" * 65])
def test_what_is_not_there_is_not_found(tmp_path: Path, loader: Loader, name: str) -> None:
    publish(tmp_path, "models/a/1", "models/A/1", "a/1", "1")  # the last two lie outside
    store = Store(tmp_path / "models", "a", loader)
    with pytest.raises(NotFound):
        store.versions(name)
    if name:
        with pytest.raises(NotFound) as refusal:
            store.get(name)
        assert refusal.value.param == "model"


def test_a_version_that_is_not_there_names_the_field(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, "a/1")
    with pytest.raises(NotFound, match="no version 5") as refusal:
        Store(tmp_path, None, loader).get("a", 5)
    assert refusal.value.param == "version"


def test_an_empty_store_has_no_model_until_one_is_published(tmp_path: Path, loader: Loader) -> None:
    store = Store(tmp_path, None, loader)
    with pytest.raises(NoModel, match="no model"):
        store.get()
    publish(tmp_path, "a/1", broken=("a/1",))
    with pytest.raises(NoModel, match="no whole version"):
        store.get()
    publish(tmp_path, "a/2")
    assert store.get() == "a/2"
