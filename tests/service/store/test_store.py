"""Requests to a store without TensorFlow: its models are names, and the test calls its polls."""

import shutil
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.store.store import NoModel, NotFound, Store
from tests.service.model.manifests import GOOD, write
from tests.service.store.fakes import Loader, assert_freed_with_its_last_user, create, publish, replace
from tests.waiting import wait_until


def in_memory(store: Store, name: str = "a") -> list[int]:
    return [row.version for row in store.versions(name) if row.loaded]


def test_the_newest_version_of_the_default_model_answers(tmp_path: Path, loader: Loader) -> None:
    publish(tmp_path, "b/1", "a/2", "a/10", "a/9")
    assert Store(tmp_path, None, loader).get() == "a/10"
    assert Store(tmp_path, "b", loader).get() == "b/1"
    assert Store(tmp_path, None, loader).get("a", 9) == "a/9"


def test_a_model_is_loaded_once_and_only_when_requested(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", "b/1", "c/1")
    assert loader.loaded == []
    assert store.served("b") == 1  # it would serve
    assert loader.loaded == []
    for _ in range(3):
        store.get("b")
        store.poll()
    assert loader.loaded == ["b/1", "a/2"]  # the poll loads the default model


def test_a_version_in_memory_is_returned_without_reading_the_disk(tmp_path: Path, store: Store) -> None:
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
    reason = "Version a/3 is refused: its probe fails."
    assert store.refusals() == [reason]
    assert caplog.text.count(reason) == 1
    assert [(row.version, row.loaded, row.refused) for row in store.versions("a")] == [
        (1, False, None),
        (2, True, None),
        (3, False, "its probe fails"),
    ]
    for ask in (store.get, store.manifest):
        with pytest.raises(NotFound, match="its probe fails"):
            ask("a", 3)


def test_an_exception_in_a_load_refuses_that_version_only(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2")
    (tmp_path / "a/2/unexpected").touch()
    assert store.get() == "a/1"
    assert store.refusals() == ["Version a/2 is refused: ZeroDivisionError: division by zero."]


def test_only_folders_of_versions_are_listed(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/.partial-x", "a/02", "Not A Name/1")
    assert store.names() == ["a"]
    assert [row.version for row in store.versions("a")] == [1]


@pytest.mark.parametrize("name", ["absent", "..", "../a", "a/1", "", "A", "x" * 65])
def test_an_absent_model_is_not_found(tmp_path: Path, loader: Loader, name: str) -> None:
    publish(tmp_path, "models/a/1", "models/A/1", "a/1", "1")  # the last two are outside the store
    store = Store(tmp_path / "models", "a", loader)
    for ask in (store.versions, store.get):
        with pytest.raises(NotFound) as refusal:
            ask(name)
        assert refusal.value.param == "model"
    for ask in (store.get, store.manifest):
        with pytest.raises(NotFound):
            ask(name, 1)


def test_an_absent_version_is_not_found_and_names_the_field(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1")
    with pytest.raises(NotFound, match="Model 'a' has no version 5") as refusal:
        store.get("a", 5)
    assert refusal.value.param == "version"


def test_a_manifest_is_read_from_memory_or_from_disk(tmp_path: Path, store: Store, loader: Loader) -> None:
    publish(tmp_path, "tale/2")
    write(tmp_path / "tale/2", GOOD)
    assert store.manifest("tale", 2) == GOOD
    assert loader.loaded == []
    model = SimpleNamespace(manifest=SimpleNamespace(fields={"name": "in memory"}))
    holding = Store(tmp_path, None, lambda folder: model)
    holding.get("tale")
    assert holding.manifest("tale", 2) == {"name": "in memory"}


def test_a_manifest_that_is_not_valid_is_not_found_with_the_reason(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1")
    with pytest.raises(NotFound, match=r"Version a/1 is refused: it has no assets.extra/manifest.json\.") as refusal:
        store.manifest("a", 1)
    assert refusal.value.param == "version"


def test_a_history_is_that_of_its_version(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2/assets.extra")
    (tmp_path / "a/2/assets.extra/history.jsonl").write_text('{"step": 1}\n')
    assert store.history("a", 1) == ([], None)
    assert store.history("a", 2) == ([{"step": 1}], None)


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


def test_a_new_model_is_served_at_the_next_poll(tmp_path: Path, loader: Loader) -> None:
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
    publish(tmp_path, "a/1")  # without a creation time
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
    shutil.rmtree(tmp_path / "b")
    assert (store.get(), store.default_name()) == ("b/7", "b")
    store.poll()
    assert (store.get(), store.default_name()) == ("a/1", "a")
    create(tmp_path, "b/7", "2026-01-01T00:00:00Z")
    store.poll()
    assert store.default_name() == "a"
    assert Store(tmp_path, "b", loader).get() == "b/7"


def test_without_creation_times_the_first_valid_model_by_name_is_the_default(
    tmp_path: Path, loader: Loader, store: Store
) -> None:
    publish(tmp_path, "a/1", "b/1", "c/1", broken=("a/1",))
    assert (store.get(), store.default_name()) == ("b/1", "b")
    (tmp_path / "a/1/broken").unlink()
    assert store.default_name() == "b"
    assert Store(tmp_path, None, loader).get() == "a/1"


def test_a_model_with_refused_versions_only_says_so(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", "b/1", broken=("a/1", "a/2"))
    reasons = [f"Version a/{number} is refused: its probe fails." for number in (1, 2)]
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


def test_a_store_that_cannot_be_read_has_no_model_that_is_not_in_memory(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "b/1")
    store.get()
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    store.poll()
    assert store.get() == "a/1"
    for ask in (store.names, lambda: store.get("b"), lambda: store.get("a", 2), lambda: store.versions("a")):
        with pytest.raises(NoModel, match="cannot be read: No such file"):
            ask()


def test_a_new_version_serves_after_a_poll_and_the_old_one_is_freed_by_its_last_stream(
    tmp_path: Path, store: Store
) -> None:
    publish(tmp_path, "a/1")
    streams = [store.get()]
    publish(tmp_path, "a/2")
    assert store.get() == "a/1"
    store.poll()
    assert (store.get(), streams) == ("a/2", ["a/1"])
    assert in_memory(store) == [2]
    assert_freed_with_its_last_user(streams)


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


def test_the_first_request_loads_and_others_for_the_same_model_wait(
    tmp_path: Path, loader: Loader, store: Store
) -> None:
    publish(tmp_path, "a/1", "b/1")
    loader.hold("a/1")
    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(store.get, "a") for _ in range(8)]
        answers.append(pool.submit(store.get, "a", 1))
        try:
            assert loader.began["a/1"].wait(10)
            assert store.get("b") == "b/1"
            with pytest.raises(NotFound):
                store.get("absent")
            assert not any(answer.done() for answer in answers)
        finally:
            loader.gates["a/1"].set()
        models = [answer.result(10) for answer in answers]
    assert all(model is models[0] for model in models)
    assert loader.loaded.count("a/1") == 1


def test_a_first_load_that_ends_after_a_swap_does_not_undo_it(tmp_path: Path, loader: Loader) -> None:
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


def test_a_numbered_version_stays_in_memory_until_it_is_idle(tmp_path: Path, loader: Loader, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", "a/3")
    assert (store.get(), store.get("a", 1), store.get(None, 2)) == ("a/3", "a/1", "a/2")
    store.poll()
    assert in_memory(store) == [1, 2, 3]
    impatient = Store(tmp_path, None, loader, idle_seconds=0)
    assert (impatient.get(), impatient.get("a", 1), impatient.get("a", 3)) == ("a/3", "a/1", "a/3")
    impatient.poll()
    assert in_memory(impatient) == [3]  # it serves
    assert impatient.get("a", 1) == "a/1"


def test_the_idle_time_begins_with_the_last_request(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    publish(tmp_path, "a/1", "a/2")
    store.get()
    for is_requested, expected in ((True, [1, 2]), (True, [1, 2]), (False, [2])):
        if is_requested:
            store.get("a", 1)
        now_s[0] += 600
        store.poll()
        assert in_memory(store) == expected


def test_a_mended_version_is_tried_by_the_next_request_that_names_it(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2", broken=("a/1",))
    with pytest.raises(NotFound):
        store.get("a", 1)
    (tmp_path / "a/1/broken").unlink()
    assert store.get("a", 1) == "a/1"
    assert store.refusals() == []


def test_a_version_whose_folder_breaks_or_goes_is_listed_while_it_serves(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2")
    store.get()
    replace(tmp_path, "a/2", "broken")
    store.poll()
    assert store.get() == "a/2"
    assert [(row.version, row.loaded, row.refused) for row in store.versions("a")] == [
        (1, False, None),
        (2, True, "its probe fails"),
    ]
    shutil.rmtree(tmp_path / "a/2")
    assert [(row.version, row.loaded) for row in store.versions("a")] == [(1, False), (2, True)]


def test_a_version_that_is_gone_is_not_found_after_the_next_poll(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1", "a/2")
    store.get()
    shutil.rmtree(tmp_path / "a/2")
    assert store.get("a", 2) == "a/2"
    store.poll()
    assert (store.get(), in_memory(store)) == ("a/1", [1])
    with pytest.raises(NotFound):
        store.get("a", 2)


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


def test_it_follows_the_folder_from_start_polling_to_close(tmp_path: Path, store: Store) -> None:
    publish(tmp_path, "a/1")
    store.get()
    store.start_polling(0.01)
    publish(tmp_path, "a/2")
    wait_until(lambda: store.get() == "a/2", timeout_s=10)
    store.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "store"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_polling_thread_that_has_ended_is_a_fault_until_the_store_is_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()

    def poll() -> None:
        may_end.wait(10)
        raise SystemExit

    assert store.faults() == []
    monkeypatch.setattr(store, "poll", poll)
    store.start_polling(0.001)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "store"]
    may_end.set()
    thread.join(10)
    assert store.faults() == ["Thread store has ended."]
    store.close()
    assert store.faults() == []


def test_closing_does_not_wait_for_the_next_poll(tmp_path: Path, loader: Loader) -> None:
    store = Store(tmp_path, None, loader)
    store.close()  # before any polling
    store.start_polling(3600)
    began_s = time.monotonic()
    store.close()
    assert time.monotonic() - began_s < 60


def test_many_threads_always_get_a_model_while_versions_come_and_go(tmp_path: Path, loader: Loader) -> None:
    store = Store(tmp_path, None, loader, idle_seconds=0)
    publish(tmp_path, "a/1", "b/1")
    store.get()
    store.get("b")
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
