"""The store without TensorFlow: a loader that takes a folder's name for a model, and polls made by hand."""

import gc
import shutil
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from service import health, metrics
from service.model import files
from service.model.model import ModelError
from service.store import poller
from service.store.store import NoModel, NotFound, Store
from tests.service.model.test_manifest import GOOD, write


class FakeModel(str):
    """What is loaded is the folder's name; a string that can be referred to weakly."""


class Loader:
    """Loads a folder as its own name and the text in it, waits at a gate, refuses one that holds a file `broken`."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.began: dict[str, threading.Event] = {}

    def hold(self, name: str) -> None:
        """Let the loads of this version begin, and not end before `gates[name]` is set."""
        self.gates[name], self.began[name] = threading.Event(), threading.Event()

    def __call__(self, folder: Path):
        name = f"{folder.parent.name}/{folder.name}"
        self.loaded.append(name)
        if name in self.gates:
            self.began[name].set()
            assert self.gates[name].wait(10)
        if (folder / "broken").exists():
            raise ModelError((folder / "broken").read_text() or "its probe fails")
        if (folder / "strange").exists():
            raise ZeroDivisionError("division\nby zero")
        return FakeModel(name + (folder / "text").read_text() if (folder / "text").exists() else name)


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def store(tmp_path: Path, loader: Loader) -> Store:
    return Store(tmp_path, None, loader, idle_seconds=1000)


def publish(folder: Path, *versions: str, broken: tuple[str, ...] = ()) -> None:
    for version in versions:
        (folder / version).mkdir(parents=True)
    for version in broken:
        (folder / version / "broken").touch()


def create(folder: Path, version: str, created: str) -> None:
    """A version whose manifest says when it was created."""
    publish(folder, version)
    write(folder / version, GOOD | {"created": created})


def replace(folder: Path, version: str, file: str, content: str = "") -> None:
    """Put another folder in a version's place, with this file in it."""
    shutil.rmtree(folder / version)
    (folder / version).mkdir()
    (folder / version / file).write_text(content)


def in_memory(store: Store, name: str = "a") -> list[int]:
    return [row.version for row in store.versions(name) if row.loaded]


def samples(metric, *names: str) -> dict[tuple[str, str], float]:
    """The values of the models of these names."""
    return {
        (sample.labels["model"], sample.labels["version"]): sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.labels["model"] in names and not sample.name.endswith("_created")
    }


# What is there, and what answers.


def test_the_newest_version_of_the_default_model_answers(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, "b/1", "a/2", "a/10", "a/9")
    assert Store(tmp_path, None, loader).get() == "a/10"
    assert Store(tmp_path, "b", loader).get() == "b/1"
    assert Store(tmp_path, None, loader).get("a", 9) == "a/9"


def test_a_model_is_loaded_once_and_only_when_asked_for(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", "b/1", "c/1")
    assert loader.loaded == []
    assert store.served("b") == 1  # it would answer
    assert loader.loaded == []
    for _ in range(3):
        store.get("b")
        store.poll()
    assert loader.loaded == ["b/1", "a/2"]  # the poll loads the default model


def test_what_is_in_memory_comes_without_a_look_at_the_disk(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2")
    store.get()
    store.get("a", 1)
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    assert (store.get(), store.get("a"), store.get("a", 1), store.ready()) == ("a/2", "a/2", "a/1", "a/2")


def test_a_broken_version_is_refused_with_its_reason_and_the_one_before_serves(
    tmp_path: Path, loader: Loader, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "a/2", "a/3", broken=("a/3",))
    assert store.get() == "a/2"
    store.poll()
    assert store.get() == "a/2"
    assert loader.loaded == ["a/3", "a/2"]
    reason = "Version 3 of model 'a' is refused: its probe fails."
    assert store.refusals() == [reason]
    assert caplog.text.count(reason) == 1
    assert [(v.version, v.loaded, v.refused) for v in store.versions("a")] == [
        (1, False, None),
        (2, True, None),
        (3, False, "its probe fails"),
    ]
    with pytest.raises(NotFound, match="its probe fails"):
        store.get("a", 3)
    with pytest.raises(NotFound, match="its probe fails"):
        store.manifest("a", 3)


def test_whatever_a_load_raises_refuses_that_version_only(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "a/2")
    (tmp_path / "a/2/strange").touch()
    assert store.get() == "a/1"
    assert store.refusals() == ["Version 2 of model 'a' is refused: ZeroDivisionError: division by zero."]
    assert "Traceback" in caplog.text


def test_names_that_are_no_versions_are_ignored(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/.partial-x", "a/02", "a/0", "a/-3", "a/latest", "a/٣", "Not A Name/1", ".hidden/1")
    (tmp_path / "a" / "7").touch()  # a file
    assert store.names() == ["a"]
    assert [v.version for v in store.versions("a")] == [1]


@pytest.mark.parametrize("name", ["nobody", "..", "../a", "a/1", "", "A", "x" * 65])
def test_what_is_not_there_is_not_found(tmp_path: Path, loader: Loader, name: str) -> None:
    publish(tmp_path, "models/a/1", "models/A/1", "a/1", "1")  # the last two lie outside
    store = Store(tmp_path / "models", "a", loader)
    for ask in (store.versions, store.get):
        with pytest.raises(NotFound) as refusal:
            ask(name)
        assert refusal.value.param == "model"
    for ask in (store.get, store.manifest):
        with pytest.raises(NotFound):
            ask(name, 1)


def test_a_version_that_is_not_there_names_the_field(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1")
    with pytest.raises(NotFound, match="no version 5") as refusal:
        store.get("a", 5)
    assert refusal.value.param == "version"


def test_an_empty_store_has_no_model_until_one_is_published(tmp_path: Path, store: Store) -> None:
    store.poll()
    for ask in (store.get, store.ready, store.default_name):
        with pytest.raises(NoModel, match="no model"):
            ask()
    publish(tmp_path, "a/1", broken=("a/1",))
    store.poll()
    for ask in (store.get, store.ready):
        with pytest.raises(NoModel, match=r"no valid version|not loaded"):
            ask()
    publish(tmp_path, "a/2")
    with pytest.raises(NoModel):
        store.ready()  # that would be a load
    assert store.get() == "a/2"
    assert store.ready() == "a/2"


def test_a_model_that_comes_is_served_at_the_next_poll(tmp_path: Path, loader: Loader) -> None:
    for default in (None, "a"):
        store = Store(tmp_path / f"of-{default}", default, loader)
        publish(tmp_path, f"of-{default}/a/1")
        store.poll()
        assert store.ready() == "a/1"


def test_the_default_model_is_the_one_that_was_created_first_also_after_a_restart(
    tmp_path: Path, loader: Loader, store: Store
) -> None:
    create(tmp_path, "shakespeare/2", "2026-11-21T22:04:17+00:00")
    assert store.get() == "shakespeare/2"
    create(tmp_path, "mine/1", "2026-11-21T20:00:00-09:00")  # five in the morning of the next day, UTC
    create(tmp_path, "mine/3", "2026-11-20T00:00:00Z")  # the oldest version counts
    publish(tmp_path, "a/1")  # does not say when
    store.poll()
    assert (store.get(), store.default_name()) == ("shakespeare/2", "shakespeare")
    restarted = Store(tmp_path, None, loader)
    assert (restarted.default_name(), restarted.get()) == ("shakespeare", "shakespeare/2")
    restarted_by_its_poll = Store(tmp_path, None, loader)
    restarted_by_its_poll.poll()
    assert restarted_by_its_poll.ready() == "shakespeare/2"


def test_the_default_model_stays_the_default_while_it_has_a_valid_version(
    tmp_path: Path, loader: Loader, store: Store
) -> None:
    create(tmp_path, "b/7", "2026-03-01T00:00:00Z")
    store.get()
    create(tmp_path, "a/1", "2026-02-01T00:00:00Z")  # an older one is copied into the store
    store.poll()
    assert (store.get(), store.default_name()) == ("b/7", "b")
    (tmp_path / "b/7/broken").touch()
    store.poll()
    assert store.get() == "b/7"  # it is in memory
    shutil.rmtree(tmp_path / "b")
    assert store.get() == "b/7"
    store.poll()
    assert (store.get(), store.default_name()) == ("a/1", "a")
    create(tmp_path, "b/7", "2026-01-01T00:00:00Z")
    store.poll()
    assert store.default_name() == "a"
    assert Store(tmp_path, "b", loader).get() == "b/7"


def test_where_no_model_says_when_it_was_created_the_first_name_is_the_default(
    tmp_path: Path, loader: Loader, store: Store
) -> None:
    publish(tmp_path, "a/1", "b/1", "c/1", broken=("a/1",))
    store.poll()
    assert (store.get(), store.default_name()) == ("b/1", "b")
    (tmp_path / "a/1/broken").unlink()
    store.poll()
    assert store.default_name() == "b"
    assert Store(tmp_path, None, loader).get() == "a/1"


def test_a_poll_reads_no_manifest_while_the_default_model_serves(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path, "b/1", "2026-02-01T00:00:00Z")
    create(tmp_path, "a/1", "2026-03-01T00:00:00Z")
    read = []
    monkeypatch.setattr(files, "read", lambda version, name, max_bytes: read.append(version) or b"")
    for version in ("b/1", "a/1"):
        (tmp_path / version / "broken").touch()
    for _ in range(3):
        store.poll()
    assert sorted(read) == [tmp_path / "a/1", tmp_path / "b/1"]  # once each, though no model answers
    (tmp_path / "b/1/broken").unlink()
    store.poll()
    read.clear()
    (tmp_path / "a/1/changed").touch()
    store.poll()
    assert (read, store.ready()) == ([], "b/1")


def test_a_model_of_refused_versions_only_says_so(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", "b/1", broken=("a/1", "a/2"))
    reasons = [f"Version {version} of model 'a' is refused: its probe fails." for version in (1, 2)]
    with pytest.raises(NotFound) as refusal:
        store.get("a")
    assert (str(refusal.value), refusal.value.param) == (f"Model 'a' has no valid version. {reasons[1]}", "model")
    configured = Store(tmp_path, "a", loader)
    with pytest.raises(NoModel, match="'a' is not loaded yet"):
        configured.ready()
    configured.poll()
    for ask in (configured.get, configured.ready):
        with pytest.raises(NoModel) as outage:
            ask()
        assert str(outage.value) == " ".join([f"The default model 'a' has no valid version in {tmp_path}.", *reasons])
    shutil.rmtree(tmp_path / "a")
    configured.poll()
    with pytest.raises(NotFound, match="There is no model 'a'"):
        configured.get("a")
    with pytest.raises(NoModel, match="'a' has no valid version in"):
        configured.get()


# The swap.


def test_a_new_version_serves_after_a_poll_and_the_old_one_is_freed_by_its_last_stream(
    tmp_path: Path, store: Store
) -> None:
    publish(tmp_path, "a/1")
    stream = store.get()
    publish(tmp_path, "a/2")
    assert store.get() == "a/1"
    store.poll()
    assert (store.get(), stream) == ("a/2", "a/1")
    assert in_memory(store) == [2]
    gc.disable()  # nothing but the stream holds it, and no cycle either
    try:
        freed = weakref.ref(stream)
        assert freed() is not None
        del stream
        assert freed() is None
    finally:
        gc.enable()


def test_no_request_waits_while_a_new_version_loads(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", "b/1")
    store.get()
    publish(tmp_path, "a/3")
    loader.hold("a/3")
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(store.poll)
        try:
            assert loader.began["a/3"].wait(10)
            assert (store.get(), store.get("a"), store.ready()) == ("a/2", "a/2", "a/2")
            assert (store.get("a", 1), store.get("b")) == ("a/1", "b/1")  # these load meanwhile
            assert store.served("a") == 2
        finally:
            loader.gates["a/3"].set()
        poll.result(10)
    assert store.get() == "a/3"


def test_who_asks_first_loads_and_others_of_the_same_model_wait(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "b/1")
    loader.hold("a/1")
    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(store.get, "a") for _ in range(8)]
        answers.append(pool.submit(store.get, "a", 1))
        try:
            assert loader.began["a/1"].wait(10)
            assert store.get("b") == "b/1"
            with pytest.raises(NotFound):
                store.get("nobody")
            assert not any(answer.done() for answer in answers)
        finally:
            loader.gates["a/1"].set()
        models = [answer.result(10) for answer in answers]
    assert all(model is models[0] for model in models)
    assert loader.loaded.count("a/1") == 1


def test_a_first_load_that_ends_after_a_swap_gives_way_to_it(tmp_path: Path, loader: Loader) -> None:
    store = Store(tmp_path, "a", loader)
    publish(tmp_path, "a/1")
    loader.hold("a/1")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store.get)
        try:
            assert loader.began["a/1"].wait(10)
            publish(tmp_path, "a/2")
            store.poll()
            assert store.get() == "a/2"
        finally:
            loader.gates["a/1"].set()
        assert first.result(10) == "a/2"
    assert store.get() == "a/2"


def test_several_models_swap_each_by_itself(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "b/1", "c/1")
    store.get("a"), store.get("b")
    publish(tmp_path, "a/2", "b/2", "b/3", "c/2", broken=("b/3",))
    store.poll()
    assert (store.get("a"), store.get("b")) == ("a/2", "b/2")
    assert in_memory(store, "c") == []


def test_a_named_version_stays_beside_the_one_that_serves_until_nobody_names_it(tmp_path: Path, loader: Loader) -> None:
    store = Store(tmp_path, None, loader, idle_seconds=1000)
    publish(tmp_path, "a/1", "a/2", "a/3")
    assert (store.get(), store.get("a", 1), store.get(None, 2)) == ("a/3", "a/1", "a/2")
    store.poll()
    assert in_memory(store) == [1, 2, 3]
    impatient = Store(tmp_path, None, loader, idle_seconds=0)
    assert (impatient.get(), impatient.get("a", 1), impatient.get("a", 3)) == ("a/3", "a/1", "a/3")
    impatient.poll()
    assert in_memory(impatient) == [3]  # it serves
    assert impatient.get("a", 1) == "a/1"


def test_the_time_that_a_named_version_stays_begins_with_its_last_request(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2")
    store.get()
    store.get("a", 1)
    for is_asked_again in (True, False):
        store._memory.find(("a", 1)).asked_s -= 1001  # as if that time had gone by
        if is_asked_again:
            store.get("a", 1)
        store.poll()
        assert in_memory(store) == ([1, 2] if is_asked_again else [2])


# What breaks, is mended, is taken away.


def test_a_refusal_is_of_that_folder(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/2",))
    store.get()
    (tmp_path / "a/2/broken").write_text("it is still broken")
    store.poll()
    assert store.refusals() == ["Version 2 of model 'a' is refused: it is still broken."]
    assert store.get() == "a/1"
    replace(tmp_path, "a/2", "text", " mended")
    store.poll()
    assert store.refusals() == []
    assert store.get() == "a/2 mended"
    publish(tmp_path, "a/3", broken=("a/3",))
    store.poll()
    assert len(store.refusals()) == 1
    shutil.rmtree(tmp_path / "a/3")
    store.poll()
    assert store.refusals() == []


def test_a_mended_version_is_tried_at_the_next_request_that_names_it(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/1",))
    with pytest.raises(NotFound):
        store.get("a", 1)
    (tmp_path / "a/1/broken").unlink()
    assert store.get("a", 1) == "a/1"
    assert store.refusals() == []


def test_a_file_that_becomes_readable_is_a_mended_one(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/2",))
    before = (tmp_path / "a/2/broken").stat()
    store.get()
    (tmp_path / "a/2/broken").chmod(0o600)
    after = (tmp_path / "a/2/broken").stat()
    assert (before.st_mtime_ns, before.st_ino, before.st_size) == (after.st_mtime_ns, after.st_ino, after.st_size)
    key = ("a", 2)
    assert store._memory.reason(key)
    store._reconsider()
    assert store._memory.reason(key) is None


def test_a_version_that_changes_while_it_is_tried_is_judged_later(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1")
    store.get()
    publish(tmp_path, "a/2", broken=("a/2",))
    loader.hold("a/2")
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(store.poll)
        try:
            assert loader.began["a/2"].wait(10)
            (tmp_path / "a/2/broken").write_text("half a file")
        finally:
            loader.gates["a/2"].set()
        poll.result(10)
    assert store.refusals() == []
    store.poll()
    assert store.refusals() == ["Version 2 of model 'a' is refused: half a file."]


def test_another_folder_in_place_of_the_one_that_serves_is_loaded_anew(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2")
    store.get(), store.get("a", 1)
    replace(tmp_path, "a/2", "text", " anew")
    replace(tmp_path, "a/1", "text", " anew too")
    assert (store.get(), store.get("a", 1)) == ("a/2", "a/1")
    store.poll()
    assert (store.get(), store.get("a", 1)) == ("a/2 anew", "a/1 anew too")
    assert in_memory(store) == [1, 2]


def test_a_broken_folder_in_place_of_the_one_that_serves_changes_nothing(
    tmp_path: Path, loader: Loader, store: Store
) -> None:
    publish(tmp_path, "a/1", "a/2")
    store.get()
    replace(tmp_path, "a/2", "broken")
    store.poll()
    store.poll()
    assert store.get() == "a/2"
    assert [(v.version, v.loaded, v.refused) for v in store.versions("a")] == [
        (1, False, None),
        (2, True, "its probe fails"),
    ]
    assert loader.loaded == ["a/2", "a/2"]


@pytest.mark.parametrize("folder", ["", *files.FOLDERS])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_change_of_any_file_that_is_read_makes_another_version(
    tmp_path: Path, loader: Loader, store: Store, folder: str, is_new: bool
) -> None:
    publish(tmp_path, "a/1")
    (tmp_path / "a/1" / folder).mkdir(exist_ok=True)
    (tmp_path / "a/1" / folder / "old").touch()
    for _ in range(2):
        store.poll()
    assert loader.loaded == ["a/1"]
    (tmp_path / "a/1" / folder / ("new" if is_new else "old")).write_text("x")
    store.poll()
    assert loader.loaded == ["a/1", "a/1"]


def test_a_version_that_is_a_link_is_served_and_followed(tmp_path: Path, store: Store) -> None:
    # As Kubernetes mounts a volume.
    publish(tmp_path, "outside/first", "outside/second", "a")
    (tmp_path / "outside/second/text").write_text(" anew")
    (tmp_path / "a/1").symlink_to("../outside/first")
    assert store.get("a") == "a/1"
    (tmp_path / "a/next").symlink_to("../outside/second")
    (tmp_path / "a/next").rename(tmp_path / "a/1")
    store.poll()
    assert store.get("a") == "a/1 anew"


def test_no_look_walks_a_tree_that_a_version_links_to(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1/other", "a/1/assets.extra/deeper", "outside/variables")
    for folder in ("outside", "outside/variables", "a/1/other", "a/1/assets.extra/deeper"):
        (tmp_path / folder / "unseen").touch()
    (tmp_path / "a/1/variables").symlink_to(tmp_path / "outside/variables")
    (tmp_path / "a/2").symlink_to(tmp_path / "outside")
    assert {Path(name).name for name, *_ in files.identity(tmp_path / "a/1")} == {
        *("other", "assets.extra", "variables", "deeper")
    }
    assert [name for name, *_ in files.identity(tmp_path / "a/2")] == ["unseen", "variables", "variables/unseen"]


def test_a_look_at_a_version_ends_after_a_bounded_number_of_files(tmp_path: Path) -> None:
    for number in range(2 * files.MAX_FILES):
        (tmp_path / f"{number}").touch()
    assert len(files.identity(tmp_path)) == files.MAX_FILES + 1
    with pytest.raises(files.FileError, match="it has more than 256 files"):
        files.check(tmp_path)


def test_when_the_newest_goes_the_newest_whole_one_that_is_left_serves(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", "a/3", "a/4", broken=("a/3",))
    assert store.get() == "a/4"
    shutil.rmtree(tmp_path / "a/4")
    assert store.get() == "a/4"
    store.poll()
    assert store.get() == "a/2"
    assert in_memory(store) == [2]
    with pytest.raises(NotFound):
        store.get("a", 4)


def test_the_one_that_went_serves_as_long_as_no_other_is_whole(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/1",))
    store.get()
    shutil.rmtree(tmp_path / "a/2")
    store.poll()
    assert store.get() == "a/2"
    assert [(v.version, v.loaded) for v in store.versions("a")] == [(1, False), (2, True)]
    (tmp_path / "a/1/broken").unlink()
    loader.hold("a/1")
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(store.poll)
        try:
            assert loader.began["a/1"].wait(10)
            assert store.get() == "a/2"
        finally:
            loader.gates["a/1"].set()
        poll.result(10)
    assert store.get() == "a/1"
    assert in_memory(store) == [1]


def test_a_model_whose_folder_goes_is_not_found_and_takes_no_memory(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "b/1", "b/2")
    freed = [weakref.ref(store.get("b")), weakref.ref(store.get("b", 1))]
    shutil.rmtree(tmp_path / "b")
    store.poll()
    for ask in (store.get, store.versions, store.served):
        with pytest.raises(NotFound, match="no model 'b'"):
            ask("b")
    assert [reference() for reference in freed] == [None, None]
    assert store.get() == "a/1"
    shutil.rmtree(tmp_path / "a")
    store.poll()
    with pytest.raises(NoModel, match="no model"):
        store.get()


def test_a_store_that_cannot_be_read_for_a_moment_stays_as_it_is(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "b/1", "b/2", broken=("b/2",))
    store.get(), store.get("b")
    refusals, elsewhere = store.refusals(), tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    tmp_path.rename(elsewhere)
    store.poll()
    store.poll()
    assert (store.get(), store.get("b"), store.refusals()) == ("a/1", "b/1", refusals)
    assert caplog.text.count("The store cannot be read") == 1
    for ask in (store.names, lambda: store.get("c"), lambda: store.get("a", 2), lambda: store.versions("a")):
        with pytest.raises(NoModel, match="cannot be read: No such file"):
            ask()
    elsewhere.rename(tmp_path)
    publish(tmp_path, "a/2")
    store.poll()
    assert store.get() == "a/2"


def test_a_model_that_cannot_be_read_stays_as_it_is_and_the_others_swap(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a/1", "b/1")
    store.get(), store.get("b")
    publish(tmp_path, "b/2")
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").symlink_to("a")  # nobody can list that, whatever their rights
    store.poll()
    store.poll()
    assert (store.get(), store.get("b")) == ("a/1", "b/2")
    assert caplog.text.count("Model 'a' cannot be read") == 1


# The poller, the metrics and the log.


def test_an_unforeseen_exception_in_a_poll_is_logged_with_its_trace_and_the_next_one_goes_on(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "a/1")
    store.get()
    publish(tmp_path, "a/2")
    with monkeypatch.context() as broken:
        broken.setattr(store._folder, "versions", lambda name: 1 / 0)
        store.poll()
    assert "ZeroDivisionError" in caplog.text
    assert store.get() == "a/1"
    store.poll()
    assert store.get() == "a/2"


def test_the_poller_follows_the_folder_until_it_is_closed(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1")
    store.get()
    store.watch(0.01)
    publish(tmp_path, "a/2")
    deadline_s = time.monotonic() + 10
    while store.get() != "a/2":
        assert time.monotonic() < deadline_s
        time.sleep(0.005)  # between two looks, not for luck
    store.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "store"]


def test_the_poller_survives_whatever_a_look_raises(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = threading.Semaphore(0)

    def look() -> None:
        looks.release()
        raise RecursionError("outside everything that survives")

    monkeypatch.setattr(store, "poll", look)
    store.watch(0.001)
    for _ in range(3):
        assert looks.acquire(timeout=10)
    assert store.faults() == []
    store.close()
    assert "RecursionError" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_poller_that_has_ended_is_a_fault_until_the_store_is_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()

    def look() -> None:
        may_end.wait(10)
        raise SystemExit

    assert store.faults() == []
    monkeypatch.setattr(store, "poll", look)
    store.watch(0.001)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "store"]
    may_end.set()
    thread.join(10)
    assert store.faults() == ["Thread store has ended."]
    store.close()
    assert store.faults() == []


def test_a_look_that_does_not_end_is_a_fault(
    tmp_path: Path, loader: Loader, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "a/1")
    loader.hold("a/1")
    store.watch(0.001)
    try:
        assert loader.began["a/1"].wait(10)
        assert store.faults() == []
        later_s = time.monotonic() + poller.STALLED_AFTER_S
        monkeypatch.setattr(health.time, "monotonic", lambda: later_s)
        (fault,) = store.faults()
        assert "Thread store has been busy with one task" in fault
    finally:
        loader.gates["a/1"].set()
        store.close()


def test_closing_does_not_wait_for_the_next_poll(tmp_path: Path, loader: Loader) -> None:
    store = Store(tmp_path, None, loader)
    store.close()  # it never watched
    store.watch(3600)
    began_s = time.monotonic()
    store.close()
    assert time.monotonic() - began_s < 60


def test_metrics_follow_loads_refusals_swaps_and_releases(tmp_path: Path, loader: Loader) -> None:
    name = "measured"  # the metrics are the process's: no other test has a model of this name
    store = Store(tmp_path, None, loader, idle_seconds=0)
    publish(tmp_path, f"{name}/1")
    store.get()
    publish(tmp_path, f"{name}/2", f"{name}/3", broken=(f"{name}/3",))
    store.poll()
    store.get(name, 1)
    first, second, third = ((name, version) for version in "123")
    assert samples(metrics.LOADS, name) == {first: 2, second: 1}
    assert samples(metrics.REFUSALS, name) == {third: 1}
    assert samples(metrics.LOADED, name) == {first: 1, second: 1}
    assert samples(metrics.SERVED, name) == {second: 1}
    replace(tmp_path / name, "2", "text")
    store.poll()
    assert samples(metrics.LOADED, name) == samples(metrics.SERVED, name) == {second: 1}
    shutil.rmtree(tmp_path / name)
    store.poll()
    assert samples(metrics.LOADED, name) == samples(metrics.SERVED, name) == {}


def test_metrics_forget_the_versions_of_long_ago(tmp_path: Path, loader: Loader) -> None:
    name = "remembered"
    every = [found for found in vars(metrics).values() if isinstance(found, MetricWrapperBase)]
    versioned = [metric for metric in every if "version" in metric._labelnames]
    store = Store(tmp_path, name, loader, idle_seconds=0)
    for version in range(1, 20):
        publish(tmp_path, f"{name}/{version}")
        store.poll()
        for metric in versioned:  # as if each had been asked for everything
            labels = {"model": name, "version": str(version), "reason": "stop"}
            metric.labels(*(labels[label] for label in metric._labelnames))
    told = {
        int(sample.labels["version"])
        for metric in versioned
        for family in metric.collect()
        for sample in family.samples
        if sample.labels.get("model") == name
    }
    assert told == {15, 16, 17, 18, 19}


def test_the_log_says_each_step_in_a_sentence(tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    publish(tmp_path, "a/1")
    store.get()
    publish(tmp_path, "a/2", "a/3", broken=("a/3",))
    store.poll()
    shutil.rmtree(tmp_path / "a")
    store.poll()
    store.poll()
    assert caplog.messages == [
        "Version 1 of model 'a' now serves.",
        "Version 3 of model 'a' is refused: its probe fails.",
        "Version 2 of model 'a' now serves.",
        "Version 1 of model 'a' is released.",
        "Model 'a' is gone.",
        "Version 2 of model 'a' is released.",
    ]


def test_many_threads_always_get_a_model_while_versions_come_and_go(tmp_path: Path, loader: Loader) -> None:
    store = Store(tmp_path, None, loader, idle_seconds=0)
    publish(tmp_path, "a/1", "b/1")
    store.get()
    stop = threading.Event()

    def ask() -> None:
        last = 0
        while not stop.wait(0.001):
            assert store.get("b") == "b/1"
            assert store.get("b", 1) == "b/1"
            version = int(store.get().removeprefix("a/"))
            assert version >= last
            last = version

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask) for _ in range(4)]
        try:
            for version in range(2, 50):
                publish(tmp_path, f"a/{version}")
                store.poll()
                shutil.rmtree(tmp_path / f"a/{version - 1}")
        finally:
            stop.set()
        for asker in askers:
            asker.result(10)
    assert store.get() == "a/49"
    assert len(loader.loaded) == len(set(loader.loaded)) == 50
