"""Loads and refusals without TensorFlow, each of one version."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import metrics
from service.model import files
from service.model.version import ModelVersion
from service.store.folder import Folder
from service.store.loaded import METRICS_KEPT_AFTER_RELEASE, LoadedVersions
from tests.service.store.fakes import Loader, assert_freed_with_its_last_user, publish, replace, samples

FIRST, SECOND, THIRD = (ModelVersion("a", number) for number in (1, 2, 3))


@pytest.fixture
def versions(tmp_path: Path, loader: Loader) -> LoadedVersions:
    return LoadedVersions(Folder(tmp_path), loader)


def model_of(versions: LoadedVersions, version: ModelVersion = FIRST) -> str | None:
    """The model that `load` returns now."""
    loaded = versions.load(version)
    return str(loaded.model) if loaded else None


def test_a_version_is_loaded_once(tmp_path: Path, loader: Loader, versions: LoadedVersions) -> None:
    publish(tmp_path, "a/1")
    assert versions.get(FIRST) is None
    loaded = versions.load(FIRST)
    assert loaded
    assert (loaded.version, loaded.model) == (FIRST, "a/1")
    assert versions.load(FIRST) is versions.get(FIRST) is loaded
    assert versions.all() == [loaded]
    assert loader.loaded == ["a/1"]


def test_a_version_without_a_folder_is_not_loaded(versions: LoadedVersions) -> None:
    assert versions.load(FIRST) is None
    assert versions.refused() == []


def test_the_newest_valid_version_is_loaded_and_older_ones_are_not(
    tmp_path: Path, loader: Loader, versions: LoadedVersions
) -> None:
    publish(tmp_path, "a/1", "a/2", "a/3", broken=("a/3",))
    newest = versions.load_newest([FIRST, SECOND, THIRD])
    assert newest
    assert newest.version == SECOND
    assert loader.loaded == ["a/3", "a/2"]
    assert versions.load_newest([THIRD]) is None


def test_a_version_that_fails_is_refused_with_its_reason_and_not_tried_again(
    tmp_path: Path, loader: Loader, versions: LoadedVersions, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "b/1", broken=("a/1", "b/1"))
    for _ in range(2):
        assert versions.load(FIRST) is None
        assert versions.load(ModelVersion("b", 1)) is None
    assert loader.loaded == ["a/1", "b/1"]
    assert versions.refusal_reason(FIRST) == "its probe fails"
    sentence = "Version a/1 is refused: its probe fails."
    assert versions.refusals(["a"]) == [sentence]
    assert versions.refusals() == [sentence, sentence.replace("a/1", "b/1")]
    assert caplog.messages == versions.refusals()


def test_refusals_are_sorted_by_number(tmp_path: Path, versions: LoadedVersions) -> None:
    publish(tmp_path, "a/2", "a/10", broken=("a/2", "a/10"))
    versions.load_newest([SECOND, ModelVersion("a", 10)])
    assert [sentence.split()[1] for sentence in versions.refusals()] == ["a/2", "a/10"]


def test_an_unexpected_exception_refuses_the_version_in_one_line(
    tmp_path: Path, versions: LoadedVersions, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1")
    (tmp_path / "a/1/unexpected").touch()
    assert versions.load(FIRST) is None
    assert versions.refusals() == ["Version a/1 is refused: ZeroDivisionError: division by zero."]
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("folder", ["", *files.FOLDERS])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_changed_file_makes_the_version_load_again(
    tmp_path: Path, loader: Loader, versions: LoadedVersions, folder: str, is_new: bool
) -> None:
    publish(tmp_path, "a/1")
    (tmp_path / "a/1" / folder).mkdir(exist_ok=True)
    (tmp_path / "a/1" / folder / "old").touch()
    for _ in range(2):
        versions.load(FIRST)
    assert loader.loaded == ["a/1"]
    (tmp_path / "a/1" / folder / ("new" if is_new else "old")).write_text("x")
    versions.load(FIRST)
    assert loader.loaded == ["a/1", "a/1"]


def test_a_refused_version_is_tried_again_once_it_has_changed(tmp_path: Path, versions: LoadedVersions) -> None:
    publish(tmp_path, "a/1", broken=("a/1",))
    assert model_of(versions) is None
    (tmp_path / "a/1/broken").write_text("it is still broken")
    assert model_of(versions) is None
    assert versions.refusal_reason(FIRST) == "it is still broken"
    replace(tmp_path, "a/1", "text", " mended")
    assert model_of(versions) == "a/1 mended"
    assert versions.refused() == []


def test_a_refusal_ends_when_its_folder_changes_or_is_gone(tmp_path: Path, versions: LoadedVersions) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/1", "a/2"))
    versions.load_newest([FIRST, SECOND])
    versions.reconsider(FIRST)
    assert versions.refused() == [SECOND, FIRST]
    shutil.rmtree(tmp_path / "a/1")
    (tmp_path / "a/2/broken").write_text("changed")
    for version in (FIRST, SECOND):
        versions.reconsider(version)
    assert versions.refused() == []


def test_a_version_that_changes_while_it_fails_is_not_refused(
    tmp_path: Path, loader: Loader, versions: LoadedVersions
) -> None:
    publish(tmp_path, "a/1", broken=("a/1",))
    loader.hold("a/1")
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(versions.load, FIRST)
        try:
            assert loader.began["a/1"].wait(10)
            (tmp_path / "a/1/broken").write_text("half a file")
        finally:
            loader.gates["a/1"].set()
        assert load.result(10) is None
    assert versions.refused() == []
    versions.load(FIRST)
    assert versions.refusal_reason(FIRST) == "half a file"


def test_the_loaded_version_stays_while_its_folder_is_broken_or_gone(
    tmp_path: Path, loader: Loader, versions: LoadedVersions
) -> None:
    publish(tmp_path, "a/1")
    before = versions.load(FIRST)
    replace(tmp_path, "a/1", "broken")
    for _ in range(2):
        assert versions.load(FIRST) is before
    assert versions.refusal_reason(FIRST) == "its probe fails"
    assert loader.loaded == ["a/1", "a/1"]
    shutil.rmtree(tmp_path / "a/1")
    assert versions.load(FIRST) is before


def test_a_load_blocks_loads_of_the_same_version_only(tmp_path: Path, loader: Loader, versions: LoadedVersions) -> None:
    publish(tmp_path, "a/1", "a/2")
    loader.hold("a/1")
    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(versions.load, FIRST) for _ in range(8)]
        try:
            assert loader.began["a/1"].wait(10)
            assert model_of(versions, SECOND) == "a/2"
            assert not any(load.done() for load in loads)
        finally:
            loader.gates["a/1"].set()
        results = [load.result(10) for load in loads]
    assert all(result is results[0] for result in results)
    assert loader.loaded.count("a/1") == 1


def test_a_released_version_is_freed_with_its_last_user(
    tmp_path: Path, versions: LoadedVersions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    publish(tmp_path, "a/1")
    streams = [versions.load(FIRST).model]
    for _ in range(2):
        versions.release(FIRST)
    assert versions.get(FIRST) is None
    assert caplog.messages == ["Version a/1 is released."]
    assert_freed_with_its_last_user(streams)


def test_metrics_count_loads_and_refusals_and_show_the_versions_in_memory(
    tmp_path: Path, versions: LoadedVersions
) -> None:
    name = "loads"  # metrics are global: no other test has a model of this name
    publish(tmp_path, f"{name}/1", f"{name}/2", broken=(f"{name}/2",))
    first, second = (ModelVersion(name, number) for number in (1, 2))
    versions.load_newest([first, second])
    replace(tmp_path, str(first), "text")
    versions.load(first)
    assert samples(metrics.LOADS, name) == {first.labels: 2}
    assert samples(metrics.REFUSALS, name) == {second.labels: 1}
    assert samples(metrics.LOADED, name) == {first.labels: 1}
    versions.release(first)
    assert samples(metrics.LOADED, name) == {}
    assert samples(metrics.LOADS, name) == {first.labels: 2}


def test_metrics_of_the_last_released_versions_are_kept(tmp_path: Path, versions: LoadedVersions) -> None:
    name = "released"
    every = [ModelVersion(name, number) for number in range(1, 20)]
    for version in every:
        publish(tmp_path, str(version))
        versions.load(version)
        versions.release(version)
    versions.load(every[-2])  # it is in memory again, so it does not count
    kept = every[-METRICS_KEPT_AFTER_RELEASE:]
    assert set(samples(metrics.LOADS, name)) == {version.labels for version in kept}
    for version in every[:METRICS_KEPT_AFTER_RELEASE]:
        versions.load(version)
        versions.release(version)
    assert every[-2].labels in samples(metrics.LOADS, name)
