"""Updates after versions are published, replaced, broken and removed."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import metrics
from service.model import files
from service.model.version import ModelVersion
from service.store.folder import Folder
from service.store.loaded import LoadedVersions
from service.store.served import ServedVersions
from service.store.updater import Updater
from tests.service.store.fakes import Loader, create, publish, replace, samples


class Versions:
    """An updater with the tables that it updates."""

    def __init__(self, root: Path, loader: Loader, *, default: str | None = None, idle_seconds: float = 1000) -> None:
        self.folder = Folder(root)
        self.loaded = LoadedVersions(self.folder, loader)
        self.served = ServedVersions()
        self.served.default_name = default
        self.updater = Updater(
            self.folder, self.loaded, self.served, configured_default=default, idle_seconds=idle_seconds
        )

    def update(self) -> None:
        self.updater.update()

    def request(self, name: str, number: int | None = None) -> None:
        """Load as a request does: the newest version, which then serves, or the one of this number."""
        if number is None:
            newest = self.loaded.load_newest(self.folder.versions(name))
            assert newest
            self.served.serve(newest)
        else:
            loaded = self.loaded.load(ModelVersion(name, number))
            assert loaded
            loaded.requested_s = time.monotonic()

    def serving(self, name: str) -> str | None:
        """The model that serves."""
        served = self.served.get(name)
        return str(served.model) if served else None

    def in_memory(self, name: str = "a") -> list[int]:
        return sorted(loaded.version.number for loaded in self.loaded.all() if loaded.version.name == name)


@pytest.fixture
def versions(tmp_path: Path, loader: Loader) -> Versions:
    return Versions(tmp_path, loader)


def test_the_default_model_is_loaded_and_others_only_once_requested(
    tmp_path: Path, loader: Loader, versions: Versions
) -> None:
    publish(tmp_path, "a/1", "a/2", "b/1")
    versions.update()
    assert (versions.serving("a"), versions.serving("b")) == ("a/2", None)
    versions.request("b")
    versions.update()
    assert loader.loaded == ["a/2", "b/1"]


def test_each_requested_model_follows_its_newest_valid_version(tmp_path: Path, versions: Versions) -> None:
    publish(tmp_path, "a/1", "b/1", "c/1")
    versions.update()
    versions.request("b")
    publish(tmp_path, "a/2", "b/2", "b/3", "c/2", broken=("b/3",))
    versions.update()
    assert (versions.serving("a"), versions.serving("b"), versions.serving("c")) == ("a/2", "b/2", None)
    assert versions.in_memory() == [2]


def test_the_default_model_is_the_one_that_was_created_first(tmp_path: Path, versions: Versions) -> None:
    create(tmp_path, "mine/1", "2026-11-22T20:00:00Z")
    create(tmp_path, "shakespeare/2", "2026-11-21T22:04:17Z")
    publish(tmp_path, "a/1")  # without a creation time
    versions.update()
    assert versions.served.default_name == "shakespeare"


def test_the_default_model_stays_while_it_has_a_valid_version(tmp_path: Path, versions: Versions) -> None:
    create(tmp_path, "b/7", "2026-03-01T00:00:00Z")
    versions.update()
    create(tmp_path, "a/1", "2026-02-01T00:00:00Z")  # an older one is copied into the store
    (tmp_path / "b/7/broken").touch()
    versions.update()
    assert (versions.served.default_name, versions.serving("b")) == ("b", "b/7")  # it is in memory
    shutil.rmtree(tmp_path / "b")
    versions.update()
    assert (versions.served.default_name, versions.serving("a")) == ("a", "a/1")
    create(tmp_path, "b/7", "2026-01-01T00:00:00Z")
    versions.update()
    assert versions.served.default_name == "a"


def test_without_creation_times_the_default_is_the_first_valid_model_by_name(
    tmp_path: Path, versions: Versions
) -> None:
    publish(tmp_path, "a/1", "b/1", "c/1", broken=("a/1",))
    versions.update()
    assert versions.served.default_name == "b"
    (tmp_path / "a/1/broken").unlink()
    versions.update()
    assert versions.served.default_name == "b"


def test_a_configured_default_stays_without_a_version(tmp_path: Path, loader: Loader) -> None:
    versions = Versions(tmp_path, loader, default="a")
    publish(tmp_path, "b/1")
    versions.update()
    assert (versions.served.default_name, versions.served.default()) == ("a", None)
    publish(tmp_path, "a/1")
    versions.update()
    assert versions.serving("a") == "a/1"


def test_no_manifest_is_read_while_the_default_model_serves(
    tmp_path: Path, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path, "b/1", "2026-02-01T00:00:00Z")
    create(tmp_path, "a/1", "2026-03-01T00:00:00Z")
    read = []
    monkeypatch.setattr(files, "read", lambda version, name, max_bytes: read.append(version) or b"")
    for version in ("b/1", "a/1"):
        (tmp_path / version / "broken").touch()
    for _ in range(3):
        versions.update()
    assert sorted(read) == [tmp_path / "a/1", tmp_path / "b/1"]  # once each, though no model serves
    (tmp_path / "b/1/broken").unlink()
    versions.update()
    read.clear()
    (tmp_path / "a/1/changed").touch()
    versions.update()
    assert (read, versions.serving("b")) == ([], "b/1")


def test_versions_that_are_not_requested_are_released(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, "a/1", "a/2", "a/3")
    for idle_seconds, expected in ((1000, [1, 2, 3]), (0, [3])):
        versions = Versions(tmp_path, loader, idle_seconds=idle_seconds)
        for number in (None, 1, 2):
            versions.request("a", number)
        versions.update()
        assert versions.in_memory() == expected  # 3 serves


def test_the_idle_time_begins_with_the_last_request(tmp_path: Path, versions: Versions) -> None:
    publish(tmp_path, "a/1", "a/2")
    versions.request("a")
    versions.request("a", 1)
    for is_requested_again in (True, False):
        versions.loaded.get(ModelVersion("a", 1)).requested_s -= 1001  # as if that time had passed
        if is_requested_again:
            versions.request("a", 1)
        versions.update()
        assert versions.in_memory() == ([1, 2] if is_requested_again else [2])


def test_a_replaced_folder_is_loaded_again(tmp_path: Path, versions: Versions) -> None:
    publish(tmp_path, "a/1", "a/2")
    versions.request("a")
    versions.request("a", 1)
    replace(tmp_path, "a/2", "text", " again")
    replace(tmp_path, "a/1", "text", " again too")
    assert versions.serving("a") == "a/2"
    versions.update()
    assert versions.serving("a") == "a/2 again"
    assert versions.loaded.get(ModelVersion("a", 1)).model == "a/1 again too"
    assert versions.in_memory() == [1, 2]


def test_a_refused_version_serves_once_it_is_replaced(tmp_path: Path, versions: Versions) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/2",))
    versions.update()
    (tmp_path / "a/2/broken").write_text("it is still broken")
    versions.update()
    assert versions.loaded.refusals() == ["Version a/2 is refused: it is still broken."]
    assert versions.serving("a") == "a/1"
    replace(tmp_path, "a/2", "text", " mended")
    versions.update()
    assert (versions.loaded.refusals(), versions.serving("a")) == ([], "a/2 mended")


def test_the_refusal_of_a_version_that_is_gone_ends(tmp_path: Path, versions: Versions) -> None:
    publish(tmp_path, "a/1", "a/3", broken=("a/3",))
    versions.update()
    assert len(versions.loaded.refusals()) == 1
    shutil.rmtree(tmp_path / "a/3")
    versions.update()
    assert versions.loaded.refusals() == []


def test_when_the_newest_version_goes_the_newest_valid_one_left_serves(tmp_path: Path, versions: Versions) -> None:
    publish(tmp_path, "a/1", "a/2", "a/3", "a/4", broken=("a/3",))
    versions.update()
    assert versions.serving("a") == "a/4"
    shutil.rmtree(tmp_path / "a/4")
    versions.update()
    assert (versions.serving("a"), versions.in_memory()) == ("a/2", [2])


def test_a_version_that_is_gone_serves_until_another_one_is_valid(
    tmp_path: Path, loader: Loader, versions: Versions
) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/1",))
    versions.update()
    shutil.rmtree(tmp_path / "a/2")
    versions.update()
    assert (versions.serving("a"), versions.in_memory()) == ("a/2", [2])
    (tmp_path / "a/1/broken").unlink()
    loader.hold("a/1")
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(versions.update)
        try:
            assert loader.began["a/1"].wait(10)
            assert versions.serving("a") == "a/2"
        finally:
            loader.gates["a/1"].set()
        update.result(10)
    assert (versions.serving("a"), versions.in_memory()) == ("a/1", [1])


def test_a_model_whose_folder_goes_is_withdrawn_and_released(tmp_path: Path, versions: Versions) -> None:
    publish(tmp_path, "a/1", "b/1", "b/2")
    versions.update()
    versions.request("b")
    versions.request("b", 1)
    shutil.rmtree(tmp_path / "b")
    versions.update()
    assert (versions.serving("b"), versions.in_memory("b"), versions.serving("a")) == (None, [], "a/1")
    shutil.rmtree(tmp_path / "a")
    versions.update()
    assert (versions.served.default_name, versions.in_memory()) == (None, [])


def test_a_store_that_cannot_be_read_stays_as_it_is(
    tmp_path: Path, versions: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "b/1", "b/2", broken=("b/2",))
    versions.update()
    versions.request("b")
    refusals, elsewhere = versions.loaded.refusals(), tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    tmp_path.rename(elsewhere)
    for _ in range(2):
        versions.update()
    assert (versions.serving("a"), versions.serving("b"), versions.loaded.refusals()) == ("a/1", "b/1", refusals)
    assert caplog.text.count("The store cannot be read") == 1
    elsewhere.rename(tmp_path)
    publish(tmp_path, "a/2")
    versions.update()
    assert versions.serving("a") == "a/2"


def test_a_model_that_cannot_be_read_stays_as_it_is_and_others_follow(
    tmp_path: Path, versions: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "b/1")
    versions.update()
    versions.request("b")
    publish(tmp_path, "b/2")
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").symlink_to("a")  # cannot be listed, whatever the user's rights
    for _ in range(2):
        versions.update()
    assert (versions.serving("a"), versions.serving("b")) == ("a/1", "b/2")
    assert caplog.text.count("Model 'a' cannot be read") == 1


def test_an_unexpected_exception_is_logged_and_the_next_update_goes_on(
    tmp_path: Path, versions: Versions, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "a/1")
    versions.update()
    publish(tmp_path, "a/2")
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "versions", lambda folder, name: 1 / 0)
        versions.update()
    assert "ZeroDivisionError" in caplog.text
    assert versions.serving("a") == "a/1"
    versions.update()
    assert versions.serving("a") == "a/2"


def test_each_change_is_one_line_of_the_log(
    tmp_path: Path, versions: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    publish(tmp_path, "a/1")
    versions.update()
    publish(tmp_path, "a/2", "a/3", broken=("a/3",))
    versions.update()
    shutil.rmtree(tmp_path / "a")
    for _ in range(2):
        versions.update()
    assert caplog.messages == [
        "Version a/1 now serves.",
        "Version a/3 is refused: its probe fails.",
        "Version a/2 now serves.",
        "Version a/1 is released.",
        "Model 'a' is gone.",
        "Version a/2 is released.",
    ]


def test_metrics_follow_the_versions_that_serve(tmp_path: Path, loader: Loader) -> None:
    name = "updated"  # metrics are global: no other test has a model of this name
    versions = Versions(tmp_path, loader, default=name, idle_seconds=0)
    publish(tmp_path, f"{name}/1")
    versions.update()
    publish(tmp_path, f"{name}/2", f"{name}/3", broken=(f"{name}/3",))
    versions.update()
    versions.request(name, 1)
    first, second, third = ((name, number) for number in "123")
    assert samples(metrics.LOADS, name) == {first: 2, second: 1}
    assert samples(metrics.REFUSALS, name) == {third: 1}
    assert samples(metrics.LOADED, name) == {first: 1, second: 1}
    assert samples(metrics.SERVED, name) == {second: 1}
    replace(tmp_path / name, "2", "text")
    versions.update()
    assert samples(metrics.LOADED, name) == samples(metrics.SERVED, name) == {second: 1}
    shutil.rmtree(tmp_path / name)
    versions.update()
    assert samples(metrics.LOADED, name) == samples(metrics.SERVED, name) == {}
