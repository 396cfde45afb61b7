"""Training publishes into a bucket and the service mirrors it, on a real S3 server. A version here is any files."""

import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import training.object_storage
from service.object_storage import Bucket
from service.store import mirror as mirrors
from service.store.mirror import Mirror
from tests.processes import ENVIRONMENT, ROOT
from tests.seaweed import BUCKET, SECRET, Seaweed, needs_seaweed, running_seaweed
from tests.texts import random_words
from tests.waiting import wait_until
from training.config import TrainConfig
from training.data import encoded_parts
from training.data.corpus import Corpus
from training.data.encode_part import encode_part
from training.data.join import join
from training.data.parts import location_of_parts
from training.data.prepare import prepare
from training.data.sources import sources
from training.data.windows import Windows
from training.errors import InputError
from training.object_storage import DamagedError, StorageError
from training.release import store
from training.release.remote import Remote, shown, working_copy

pytestmark = needs_seaweed


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running_seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def url(seaweed: Seaweed) -> str:
    """A prefix of the test's own."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def prefix_of(url: str) -> str:
    return url.rpartition("/")[2]


def publish(url: str, folder: Path) -> int:
    """Publish a version of model `a` whose manifest is its number."""
    aside = folder / uuid.uuid4().hex
    (aside / "variables").mkdir(parents=True)
    (aside / "variables/data").write_text("weights")

    def seal(number: int) -> None:
        (aside / "manifest").write_text(str(number))

    return Remote(url).place(aside, "a", seal)


def copied(mirror: Mirror) -> dict[str, str]:
    """The versions in the folder, each with its manifest."""
    folders = (path for path in (mirror.folder / "a").glob("*") if not path.name.startswith("."))
    return {folder.name: (folder / "manifest").read_text() for folder in folders}


def mirrored(url: str, folder: Path) -> Mirror:
    mirror = Mirror(Bucket(url), folder / "cache")
    mirror.update()
    return mirror


def test_eight_publishers_at_once_get_eight_numbers(url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: publish(url, tmp_path), range(8)))
    assert sorted(numbers) == Remote(url).versions("a") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert copied(mirrored(url, tmp_path)) == {str(number): str(number) for number in numbers}


def test_a_tampered_file_is_refused_until_it_is_repaired(
    seaweed: Seaweed, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirrors, "RETRY_S", 0.0)
    for _ in range(2):
        publish(url, tmp_path)
    index = json.loads(seaweed.read(f"{prefix_of(url)}/versions/a/2.json"))
    assert index["files"]["variables/data"]["bytes"] == len("weights")
    (weights,) = [
        path
        for path in seaweed.objects(f"{prefix_of(url)}/files")
        if path.endswith("variables/data") and seaweed.read(path.replace("variables/data", "manifest")) == b"2"
    ]
    seaweed.write(weights, b"Weights")
    mirror = mirrored(url, tmp_path)
    mirror.update()
    assert copied(mirror) == {"1": "1"}
    assert mirror.fault is None
    (refusal,) = mirror.refusals()
    assert refusal.startswith("Version a/2 is refused: files/a/")
    assert refusal.endswith("variables/data differs from its recorded size or SHA-256.")
    assert [record.getMessage() for record in caplog.records] == [refusal]
    with pytest.raises(DamagedError, match="was changed or damaged"):
        Remote(url).fetch("a", 2, tmp_path / "2")
    assert not (tmp_path / "2").exists()
    seaweed.write(weights, b"weights")
    mirror.update()
    assert (copied(mirror), mirror.refusals()) == ({"1": "1", "2": "2"}, [])


def test_an_index_cannot_name_files_outside_of_its_version(seaweed: Seaweed, url: str, tmp_path: Path) -> None:
    publish(url, tmp_path)
    index = json.loads(seaweed.read(f"{prefix_of(url)}/versions/a/1.json"))
    files = {"../../escaped": index["files"]["manifest"]}
    seaweed.write(f"{prefix_of(url)}/versions/a/2.json", json.dumps(index | {"version": 2, "files": files}).encode())
    mirror = mirrored(url, tmp_path)
    assert mirror.refusals() == ["Version a/2 is refused: its index is damaged or of another format."]
    with pytest.raises(InputError, match="damaged or of another format"):
        Remote(url).fetch("a", 2, tmp_path / "2")
    assert list(tmp_path.rglob("escaped")) == []


def test_an_outage_leaves_the_versions_and_is_logged_once(
    seaweed: Seaweed, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publish(url, tmp_path)
    mirror = mirrored(url, tmp_path)
    seaweed.stop()
    try:
        for _ in range(2):
            mirror.update()
        assert mirror.fault == f"{url} cannot be read: it does not answer."
        with pytest.raises(StorageError, match="cannot be used: it does not answer; the variables"):
            publish(url, tmp_path)
        assert copied(mirror) == {"1": "1"}
        restarted = mirrored(url, tmp_path)  # a service that starts during the outage
        assert (copied(restarted), bool(restarted.fault)) == ({"1": "1"}, True)
    finally:
        seaweed.start()
    publish(url, tmp_path)
    mirror.update()
    assert (copied(mirror), mirror.fault) == ({"1": "1", "2": "2"}, None)
    said = [record.getMessage() for record in caplog.records if record.name == mirrors.__name__]
    assert said[:2] == [f"{url} cannot be read: it does not answer. The versions on this machine stay."] * 2
    assert said[2:] == [f"{url} is read again."]


def test_withdrawn_versions_leave_a_tombstone_and_their_numbers_are_never_used_again(url: str, tmp_path: Path) -> None:
    remote = Remote(url)
    for _ in range(3):
        publish(url, tmp_path)
    mirror = mirrored(url, tmp_path)
    for number in (3, 2):
        remote.withdraw("a", number)
    mirror.update()
    assert list(copied(mirror)) == ["1"]
    assert (remote.names(), remote.versions("a")) == (["a"], [1])
    assert publish(url, tmp_path) == 4
    mirror.update()
    assert sorted(copied(mirror)) == ["1", "4"]


def test_prune_deletes_the_files_of_old_and_withdrawn_versions_only(seaweed: Seaweed, url: str, tmp_path: Path) -> None:
    remote = Remote(url)
    for _ in range(5):
        publish(url, tmp_path)
    remote.withdraw("a", 5)
    seaweed.write(f"{prefix_of(url)}/files/a/{'0' * 64}/manifest", b"an upload in progress")
    assert remote.prune("a", keep=2, spare=1) == [2]
    assert remote.versions("a") == [1, 3, 4]
    kept = [path.rpartition("/")[2] for path in seaweed.objects(f"{prefix_of(url)}/versions/a")]
    assert kept == ["1.json", "2.json", "2.withdrawn", "3.json", "4.json", "5.json", "5.withdrawn"]
    assert len(seaweed.objects(f"{prefix_of(url)}/files")) == 3 * 2 + 1
    assert sorted(copied(mirrored(url, tmp_path))) == ["1", "3", "4"]
    assert publish(url, tmp_path) == 6


def test_prune_forgets_numbers_and_uploads_of_the_past_but_never_the_highest_number(
    seaweed: Seaweed, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.release.remote.UPLOADED_WITHIN", -timedelta(hours=1))
    remote = Remote(url)
    for _ in range(3):
        publish(url, tmp_path)
    remote.withdraw("a", 3)
    seaweed.write(f"{prefix_of(url)}/files/a/{'0' * 64}/manifest", b"an upload that was killed")
    assert remote.prune("a", keep=1, spare=None) == [1]
    assert [path.rpartition("/")[2] for path in seaweed.objects(f"{prefix_of(url)}/versions")] == [
        *("2.json", "3.json", "3.withdrawn")
    ]
    assert len(seaweed.objects(f"{prefix_of(url)}/files")) == 2
    assert publish(url, tmp_path) == 4


def test_a_slow_publisher_does_not_use_a_number_that_was_forgotten_meanwhile(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.release.remote.UPLOADED_WITHIN", -timedelta(hours=1))
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/manifest").touch()
    tried = []

    def seal(number: int) -> None:
        tried.append(number)
        if number == 1:
            assert [publish(url, tmp_path) for _ in range(2)] == [1, 2]
            assert Remote(url).prune("a", keep=1, spare=None) == [1]

    assert Remote(url).place(tmp_path / "slow", "a", seal) == 3
    assert tried == [1, 3]


KILLED = """
import os, signal, sys
from pathlib import Path
from {module} import Bucket
{method} = Bucket.{method}
def once(self, *arguments):
    {method}(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)
Bucket.{method} = once
"""


def run_killed(module: str, method: str, work: str, *arguments: object) -> None:
    """Do the work in a process that kills itself after its first copy of a file."""
    code = KILLED.format(module=module, method=method) + work
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = ENVIRONMENT | {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=60).returncode == -signal.SIGKILL


def test_a_publisher_that_is_killed_leaves_no_version(url: str, tmp_path: Path) -> None:
    work = (
        "from training.release.remote import Remote\n"
        "Remote(sys.argv[1]).place(Path(sys.argv[2]), 'a', lambda number: None)"
    )
    (tmp_path / "aside").mkdir()
    for name in ("one", "two"):
        (tmp_path / "aside" / name).write_text(name)
    run_killed("training.object_storage", "upload", work, url, tmp_path / "aside")
    assert Remote(url).names() == []
    assert copied(mirrored(url, tmp_path)) == {}
    assert publish(url, tmp_path) == 1


def test_a_service_that_is_killed_leaves_no_partial_version(url: str, tmp_path: Path) -> None:
    publish(url, tmp_path)
    work = "from service.store.mirror import Mirror\nMirror(Bucket(sys.argv[1]), Path(sys.argv[2])).update()"
    run_killed("service.object_storage", "download", work, url, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    (partial,) = (folder / "a").iterdir()
    assert partial.name.startswith(".partial-")
    mirror = mirrored(url, tmp_path)
    assert copied(mirror) == {"1": "1"}
    assert [child.name for child in (folder / "a").iterdir()] == ["1"]


def test_commands_use_a_bucket_like_a_folder(
    seaweed: Seaweed, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARLOOM_MODELS_CACHE", str(tmp_path / "one"))
    models = working_copy(url)
    store.require_store(models, "a")
    for number in (1, 2, 3):
        with store.changing(models / "a"), store.partial_version(models / "a") as aside:
            (aside / store.MANIFEST.parent).mkdir(parents=True)
            assert store.place(aside, models / "a", {"name": "a"}) == models / "a" / str(number)
    assert shown(models / "a/3") == f"{url}/a/3"
    monkeypatch.setenv("CHARLOOM_MODELS_CACHE", str(tmp_path / "another machine"))
    models = working_copy(f"{url}/")
    assert (store.names(models), store.versions(models, "a")) == (["a"], [1, 2, 3])
    assert store.listed_manifest(models, "a", 2) == {"name": "a", "version": 2}
    assert not (models / "a").exists()
    assert store.manifest_of(store.version_folder(models, "a")) == {"name": "a", "version": 3}
    assert store.withdraw(models, "a", to=2) == [3]
    assert store.prune(models, "a", keep=1, spare=None) == [1]
    assert store.versions(models, "a") == [2]
    # 1 was pruned, 3 withdrawn; their numbers stay taken.
    left = [path for path in seaweed.objects(prefix_of(url)) if "/files/" not in path]
    assert left == [
        f"{prefix_of(url)}/versions/a/{name}" for name in ("1.json", "1.withdrawn", "2.json", "3.json", "3.withdrawn")
    ]
    with pytest.raises(InputError, match=f"There is no version 3 of a in {url}: there is 2"):
        store.version_folder(models, "a", "3")


def test_a_corpus_is_read_from_a_bucket(seaweed: Seaweed, url: str) -> None:
    text = "the cat sat on the mat\n" * 100_000
    seaweed.write(f"{prefix_of(url)}/texts/a.txt", text.encode())
    seaweed.write(f"{prefix_of(url)}/texts/b.txt.gz", gzip.compress(b"the dog"))
    found = sources([f"{url}/texts", f"{url}/texts/a.txt"])
    read = [b"".join(source.blocks()).decode() for source in found]
    assert [source.name for source in found] == ["a.txt", "b.txt.gz", "a.txt"]
    assert read == [text, "the dog", text]


def test_encoded_parts_in_a_bucket_are_read_by_ranges(
    seaweed: Seaweed, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The windows of an epoch are those of the memory map, and each of two workers fetches its share."""
    monkeypatch.setattr(encoded_parts, "BLOCK_SYMBOLS", 512)
    fetched, read_range = [], training.object_storage.Bucket.read_range

    def counted(self: training.object_storage.Bucket, path: str, start: int, stop: int) -> bytes:
        content = read_range(self, path, start, stop)
        fetched.append(len(content))
        return content

    monkeypatch.setattr(training.object_storage.Bucket, "read_range", counted)
    for name, seed in (("a.txt", 1), ("b.txt", 2)):
        seaweed.write(f"{prefix_of(url)}/texts/{name}", random_words(seed, 8_000).encode())
    config = TrainConfig(batch_size=4, window=100)
    for part in range(3):
        encode_part([f"{url}/texts"], config, f"{url}/parts", part=part, parts=3)
    assert location_of_parts([f"{url}/parts"])
    mapped = prepare([f"{url}/texts"], config, tmp_path / "mapped")
    corpora = [join(f"{url}/parts", config, tmp_path / "joined"), Corpus.open(tmp_path / "joined")]
    settings = {"batch_size": 4, "window": 100, "cold_start": 0.1, "seed": 1}
    expected, *workers = (Windows(corpus.training, **settings) for corpus in (mapped, *corpora))
    sizes = [0, 0]
    for worker, streams in enumerate((slice(0, 2), slice(2, 4))):
        workers[worker].streams = streams
    for _ in range(expected.per_epoch):
        window = expected.next()
        for number, worker in enumerate(workers):
            fetched.clear()
            own = worker.next()
            sizes[number] += sum(fetched)
            assert (own.targets[worker.streams] == window.targets[worker.streams]).all()
            assert (own.previous[worker.streams] == window.previous[worker.streams]).all()
    assert max(sizes) <= 1.05 * len(mapped.training) / 2
    assert (np.asarray(corpora[0].validation) == mapped.validation).all()
    encode_part([f"{url}/texts"], TrainConfig(unit="byte"), f"{url}/parts", part=1, parts=3)
    assert len(seaweed.objects(f"{prefix_of(url)}/parts")) == 6
    with pytest.raises(InputError, match=r"Part 1 in .* was encoded with --unit byte"):
        Corpus.open(tmp_path / "joined")


def test_a_damaged_copy_is_downloaded_again(url: str, tmp_path: Path) -> None:
    publish(url, tmp_path)
    mirror = mirrored(url, tmp_path)
    (mirror.folder / "a/1/variables/data").write_text("Weights")
    mirrored(url, tmp_path)
    assert (mirror.folder / "a/1/variables/data").read_text() == "weights"


def test_wrong_keys_are_one_sentence_without_them(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"not-{SECRET}")
    with pytest.raises(StorageError) as refusal:
        Remote(url).names()
    mirror = mirrored(url, tmp_path)
    assert mirror.fault == f"{url} cannot be read: access is denied."
    assert "access is denied" in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_a_missing_bucket_is_one_sentence(seaweed: Seaweed, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^s3://another-bucket/a cannot be used: there is no such bucket\.$"):
        Remote("s3://another-bucket/a").names()
    assert mirrored("s3://another-bucket/a", tmp_path).fault == (
        "s3://another-bucket/a cannot be read: there is no such bucket."
    )


def test_a_bucket_that_hangs_ends_an_update_within_seconds(
    seaweed: Seaweed, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(url, tmp_path)
    mirrored(url, tmp_path)
    monkeypatch.setattr("service.object_storage.READ_TIMEOUT", "1s")  # also too short for a busy server
    mirror = Mirror(Bucket(url), tmp_path / "cache")
    seaweed.suspend()
    try:
        with ThreadPoolExecutor(1) as pool:
            update = pool.submit(mirror.update)
            wait_until(update.done, 40)
    finally:
        seaweed.resume()
    assert mirror.fault == f"{url} cannot be read: it does not answer."
    assert copied(mirror) == {"1": "1"}
