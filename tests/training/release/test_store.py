"""The store lists, places, withdraws and prunes versions; here a version is a folder with a manifest."""

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.waiting import wait_until
from training.commands import cli
from training.errors import InputError, ReportedError
from training.release import store


def publish(models: Path, name: str = "a") -> int:
    """Place a version that consists of its manifest."""
    with store.changing(models / name):
        aside = models / name / f"{store.PARTIAL}{threading.get_ident()}"
        (aside / store.MANIFEST.parent).mkdir(parents=True)
        return int(store.place(aside, models / name, {"name": name}).name)


def hidden(models: Path) -> list[str]:
    return sorted(child.name for child in (models / "a").iterdir() if child.name != "retraining.jsonl")


def test_versions_are_positive_numbers_and_nothing_else(tmp_path: Path) -> None:
    for name in ("1", "12", "3", "0", "01", "x", ".partial-4", "-5", "٦"):
        (tmp_path / "a" / name).mkdir(parents=True)
    assert store.versions(tmp_path, "a") == [1, 3, 12]
    assert store.version_folder(tmp_path, "a") == tmp_path / "a" / "12"
    assert store.version_folder(tmp_path, "a", "3") == tmp_path / "a" / "3"
    for name, version, words in (("b", None, "no model 'b'"), ("a", "4", "no version 4 of a"), ("a", "01", "01")):
        with pytest.raises(InputError, match=words):
            store.version_folder(tmp_path, name, version)


def test_models_are_the_folders_that_hold_a_version(tmp_path: Path) -> None:
    assert store.names(tmp_path / "none") == []
    for name in ("b/1", "a/2", "empty", ".hidden/1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "README.md").touch()
    assert store.names(tmp_path) == ["a", "b"]


def test_a_version_gets_the_next_number_also_in_its_manifest(tmp_path: Path) -> None:
    assert [publish(tmp_path), publish(tmp_path)] == [1, 2]
    assert json.loads((tmp_path / "a/2" / store.MANIFEST).read_text())["version"] == 2
    assert store.manifest_of(tmp_path / "a/1") == {"name": "a", "version": 1}


def test_publishers_in_parallel_get_different_numbers(tmp_path: Path) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(publish(tmp_path))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == store.versions(tmp_path, "a") == list(range(1, 21))


def test_a_withdrawn_version_is_hidden_and_its_number_not_used_again(tmp_path: Path) -> None:
    for _ in range(4):
        publish(tmp_path)
    assert store.withdraw(tmp_path, "a", 2) == [4, 3]
    assert store.versions(tmp_path, "a") == [1, 2]
    assert publish(tmp_path) == 5
    assert store.withdraw(tmp_path, "a", 1) == [5, 2]
    assert store.prune(tmp_path, "a", keep=9, spare=None) == [2, 3, 4, 5]
    assert store.prune(tmp_path, "a", keep=9, spare=None) == []
    assert publish(tmp_path) == 6
    assert hidden(tmp_path) == [".withdrawn-2", ".withdrawn-3", ".withdrawn-4", ".withdrawn-5", "1", "6"]
    assert not [*(tmp_path / "a").glob(".withdrawn-*/*")]


def test_pruning_keeps_the_newest_and_the_one_that_serves(tmp_path: Path) -> None:
    for _ in range(6):
        publish(tmp_path)
    assert store.prune(tmp_path, "a", keep=2, spare=3) == [1, 2, 4]
    assert store.versions(tmp_path, "a") == [3, 5, 6]
    assert store.prune(tmp_path, "a", keep=2, spare=6) == [3]
    assert store.prune(tmp_path, "a", keep=2, spare=6) == []
    assert publish(tmp_path) == 7


def test_pruning_deletes_the_remains_of_a_killed_process(tmp_path: Path) -> None:
    publish(tmp_path)
    for name in (".partial-0af", ".removed-9"):
        (tmp_path / "a" / name / "variables").mkdir(parents=True)
    (tmp_path / "a" / "retraining.jsonl").touch()
    store.prune(tmp_path, "a", keep=1, spare=1)
    assert hidden(tmp_path) == ["1"]
    assert (tmp_path / "a" / "retraining.jsonl").exists()


def test_pruning_deletes_a_file_or_a_link_in_place_of_a_version(tmp_path: Path) -> None:
    publish(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "a" / "2").write_text("")
    (tmp_path / "a" / "3").symlink_to(elsewhere)
    publish(tmp_path)
    assert store.prune(tmp_path, "a", keep=1, spare=None) == [1, 2, 3]
    assert hidden(tmp_path) == ["4"]
    assert elsewhere.is_dir()


def test_pruning_says_that_it_waits_for_a_publisher(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(tmp_path)
    with store.changing(tmp_path / "a"):
        partial = tmp_path / "a" / ".partial-being-written"
        partial.mkdir()
        thread = threading.Thread(target=lambda: store.prune(tmp_path, "a", keep=1, spare=1))
        thread.start()
        wait_until(lambda: caplog.messages)
        assert partial.exists()
    thread.join(10)
    assert not partial.exists()
    assert caplog.messages == ["Another process is publishing or deleting versions of a; waiting for it."]


def test_a_damaged_manifest_hides_no_other_version_from_the_list(tmp_path: Path) -> None:
    for _ in range(4):
        publish(tmp_path)
    valid = {"name": "a", "version": 1, "parent": None, "parameters": 7, "created": "today", "metrics": {}}
    (tmp_path / "a/1" / store.MANIFEST).write_text(json.dumps(valid))
    (tmp_path / "a/2" / store.MANIFEST).write_text('{"name": "a", "ver')
    (tmp_path / "a/3" / store.MANIFEST).unlink()
    result = CliRunner().invoke(cli, ["list", "--models", str(tmp_path)])
    assert result.exit_code == 0
    rows = result.output.split("\n")[1:-1]
    assert [row.split()[:2] for row in rows] == [["a", number] for number in "1234"]
    assert "manifest.json cannot be read" in rows[1]
    assert "manifest.json cannot be read" in rows[2]
    assert "damaged: KeyError" in rows[3]


def test_a_manifest_with_a_number_that_json_lacks_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ReportedError, match="not finite"):
        store.write_manifest(tmp_path, {"name": "a", "metrics": {"test": float("nan")}})
    assert not (tmp_path / store.MANIFEST).exists()
