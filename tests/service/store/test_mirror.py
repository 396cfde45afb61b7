"""The folder follows the bucket, here one in memory. tests/contract/test_object_storage.py mirrors a real server."""

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.model.version import ModelVersion
from service.object_storage import DamagedError, Facts, StorageError
from service.store import mirror as module
from service.store.errors import NoModel
from service.store.index import Index
from service.store.mirror import Mirror
from service.store.store import Store
from tests.service.store.fakes import Loader
from tests.waiting import wait_until


class FakeBucket:
    """The methods of `Bucket`, with a list of the objects that were read."""

    url = "s3://bucket"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.is_down = False
        self.answers = threading.Event()  # a listing waits for it
        self.answers.set()
        self.is_asked = threading.Event()

    def publish(self, name: str, number: int, text: str) -> None:
        """Write a version with the file `text`."""
        facts = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        fields = {"format": 1, "name": name, "version": number, "files": {"text": facts}}
        index = Index.parse(json.dumps(fields).encode(), ModelVersion(name, number))
        self.objects[f"{index.folder}/text"] = text.encode()
        self.objects[f"versions/{name}/{number}.json"] = json.dumps(fields).encode()

    def listing(self, folder: str) -> dict[str, str]:
        self.is_asked.set()
        assert self.answers.wait(60)
        if self.is_down:
            raise StorageError("s3://bucket cannot be read: it does not answer")
        return {path: content.hex() for path, content in self.objects.items() if path.startswith(f"{folder}/")}

    def read(self, path: str, max_bytes: int) -> bytes:
        self.reads.append(path)
        return self.objects[path]

    def download(self, path: str, to: Path, facts: Facts, go_on: Callable[[], bool]) -> None:
        self.reads.append(path)
        to.write_bytes(self.objects[path] if go_on() else b"")
        if Facts.of(to) != facts:
            raise DamagedError(f"{path} differs")


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket()


@pytest.fixture
def mirror(bucket: FakeBucket, tmp_path: Path) -> Mirror:
    return Mirror(bucket, tmp_path)  # type: ignore[arg-type]


@pytest.fixture
def store(mirror: Mirror, loader: Loader) -> Store:
    return Store(mirror.folder, None, loader, idle_seconds=1000, mirror=mirror)


def test_a_poll_copies_new_versions_and_removes_withdrawn_ones(bucket: FakeBucket, store: Store) -> None:
    bucket.publish("a", 1, "one")
    store.poll()
    assert store.get() == "a/1one"
    bucket.publish("a", 2, "two")
    store.poll()
    assert store.get() == "a/2two"
    bucket.objects["versions/a/2.withdrawn"] = b""
    store.poll()
    assert store.get() == "a/1one"


def test_an_index_is_read_once_and_again_when_it_changes(bucket: FakeBucket, store: Store) -> None:
    bucket.publish("a", 1, "one")
    for _ in range(3):
        store.poll()
    assert len(bucket.reads) == 2
    bucket.objects.clear()
    bucket.publish("a", 1, "anew")  # a bucket that was emptied
    store.poll()
    assert store.get() == "a/1anew"


def test_an_outage_changes_nothing(bucket: FakeBucket, store: Store) -> None:
    bucket.publish("a", 1, "one")
    store.poll()
    bucket.is_down = True
    store.poll()
    assert store.get() == "a/1one"


@pytest.mark.parametrize("error", [StorageError("s3://bucket cannot be read: access is denied"), OSError(28, "full")])
def test_a_version_that_cannot_be_copied_holds_up_no_other(
    bucket: FakeBucket, mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def download(path: str, *arguments: object) -> None:
        if bucket.objects[path] == b"unreadable":
            raise error
        real(path, *arguments)  # type: ignore[arg-type]

    real = bucket.download
    monkeypatch.setattr(bucket, "download", download)
    bucket.publish("a", 1, "one")
    bucket.publish("a", 2, "two")
    store.poll()
    bucket.publish("a", 9, "unreadable")
    bucket.objects["versions/a/2.withdrawn"] = b""
    bucket.publish("b", 1, "later")
    store.poll()
    assert (store.get("a"), store.get("b")) == ("a/1one", "b/1later")
    assert mirror.fault == f"{error}."
    bucket.objects["versions/a/1.withdrawn"] = b""
    store.poll()
    assert store.get("a") == "a/1one"  # until a/9 is copied
    monkeypatch.setattr(bucket, "download", real)
    store.poll()
    assert (store.get("a"), mirror.fault) == ("a/9unreadable", None)


def test_without_a_version_the_outage_is_the_reason(bucket: FakeBucket, store: Store) -> None:
    bucket.is_down = True
    store.poll()
    with pytest.raises(NoModel, match=r"^s3://bucket cannot be read: it does not answer\.$"):
        store.ready()
    bucket.is_down = False
    bucket.publish("a", 1, "one")
    store.poll()
    assert store.ready() == "a/1one"


def test_a_damaged_version_is_refused_once_and_the_one_before_it_serves(
    bucket: FakeBucket, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.publish("a", 1, "one")
    bucket.publish("a", 2, "two")
    (path,) = [path for path, content in bucket.objects.items() if content == b"two"]
    bucket.objects[path] = b"owt"
    for _ in range(3):
        store.poll()
    assert store.get() == "a/1one"
    assert store.refusals() == [f"Version a/2 is refused: {path} differs."]
    assert bucket.reads.count(path) == 1
    assert [record.getMessage() for record in caplog.records] == store.refusals()
    bucket.objects["versions/a/2.withdrawn"] = b""
    store.poll()
    assert store.refusals() == []


def test_a_version_that_is_pruned_while_it_is_copied_is_not_refused(
    bucket: FakeBucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prune_and_fail(*_: object) -> None:
        bucket.objects["versions/a/1.withdrawn"] = b""
        raise DamagedError("a file is missing")

    bucket.publish("a", 1, "one")
    monkeypatch.setattr(bucket, "download", prune_and_fail)
    store.poll()
    assert store.refusals() == []


def test_the_start_does_not_wait_for_a_slow_bucket(bucket: FakeBucket, mirror: Mirror, store: Store) -> None:
    bucket.publish("a", 1, "one")
    bucket.answers.clear()
    mirror.start(wait_s=0.01)
    with pytest.raises(NoModel, match=r"^The versions of s3://bucket are being copied to this machine\.$"):
        store.ready()
    bucket.answers.set()
    wait_until(lambda: mirror.fault is None)
    assert store.get() == "a/1one"


def test_a_poll_does_not_wait_for_a_copy_of_another_thread(bucket: FakeBucket, mirror: Mirror, store: Store) -> None:
    bucket.publish("a", 1, "one")
    store.poll()
    bucket.publish("a", 2, "two")
    bucket.answers.clear()
    bucket.is_asked.clear()
    mirror.start(wait_s=0.01)
    assert bucket.is_asked.wait(60)
    store.poll()
    assert store.get() == "a/1one"
    bucket.answers.set()
    wait_until(lambda: mirror.folder.joinpath("a/2").is_dir())
    store.poll()
    assert store.get() == "a/2two"


def test_each_chunk_of_a_download_is_progress(
    bucket: FakeBucket, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[bool] = []
    monkeypatch.setattr(module, "report_progress", lambda: reported.append(True))
    bucket.publish("a", 1, "one")
    store.poll()
    assert reported == [True]


def test_a_full_disk_leaves_the_versions(
    bucket: FakeBucket, mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.publish("a", 1, "one")
    store.poll()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bucket, "download", fail)
    bucket.publish("a", 2, "two")
    store.poll()
    assert store.get() == "a/1one"
    assert mirror.fault == "[Errno 28] No space left on device."


def test_closing_ends_a_copy_without_a_refusal_and_removes_no_version(
    bucket: FakeBucket, mirror: Mirror, store: Store
) -> None:
    bucket.publish("a", 1, "one")
    store.poll()
    bucket.publish("a", 2, "two")
    bucket.objects["versions/a/1.withdrawn"] = b""
    store.close()
    store.poll()
    assert (store.refusals(), [path.name for path in mirror.folder.glob("a/*")]) == ([], ["1"])
