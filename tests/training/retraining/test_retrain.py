"""`retrain`: new text is learned, worse versions are refused, and interrupted runs are resumed."""

import random
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.processes import started, training
from tests.texts import random_words
from tests.training.full_disk import disk_takes
from tests.training.retraining.toy_model import ENGLISH, FINNISH, NETWORK, RUSSIAN, ToyModel, stop_after
from training.learning.checkpoint import Checkpoint
from training.learning.folder import CHECKPOINT, PLAN, Plan, locked
from training.learning.run import TrainingRun
from training.release import store
from training.retraining.record import FAILED, INTERRUPTED, PUBLISHED, RECORDS, REFUSED, UNCHANGED, records


def test_new_text_is_learned_and_the_same_text_is_not_learned_twice(served: ToyModel) -> None:
    assert served.retrain().decision == UNCHANGED
    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    second = served.retrain(keep=1)
    assert (second.decision, second.version, second.parent) == (PUBLISHED, 2, 1)
    assert (second.new_files, second.gone_files, second.new_symbols) == (1, 0, len(set("".join(RUSSIAN)) - set(" .\n")))
    for text in ("fresh", "reference"):
        assert second.losses[text]["new"] <= second.losses[text]["old"] * 1.01
    # The old version knows none of the letters.
    assert second.losses["fresh"]["new"] < second.losses["fresh"]["old"] / 2
    assert served.versions == [2]
    manifest = store.manifest_of(served.models / "mine/2")
    assert manifest["parent"] == 1
    decisions = [record["decision"] for record in records(served.models, "mine")]
    assert decisions == [PUBLISHED, UNCHANGED, PUBLISHED]
    # The validation text of the second version is the end of each file, which it was not trained on.
    judged = Plan.load(served.run("served")).open_corpus(served.run("served"))
    texts = [random_words(1, 1500, ENGLISH), random_words(2, 1500, RUSSIAN)]
    assert judged.text(*judged.split.validation) == "".join(text[int(len(text) * 0.8) :] for text in texts)


@pytest.mark.slow
def test_a_version_that_forgot_the_reference_text_is_refused_and_its_run_is_kept(served: ToyModel) -> None:
    (served.texts / "1.txt").unlink()
    served.write("2.txt", random_words(2, 1500, FINNISH))
    record = served.retrain()
    assert record.decision == REFUSED
    assert "On the reference text" in record.reason
    assert record.losses["fresh"]["new"] < record.losses["fresh"]["old"]
    assert served.versions == [1]
    assert (served.run("refused") / CHECKPOINT).exists()
    assert served.retrain().decision == UNCHANGED  # the same text would be refused again
    result = training("publish", "mine", "--from", "runs/mine/refused", cwd=served.folder)
    assert "Published models/mine/2" in result.stdout


@pytest.mark.slow
def test_noise_is_refused_with_exit_code_3_before_training(served: ToyModel) -> None:
    noise = random.Random(1).randbytes(30_000)
    served.write("2.txt", noise)
    assert (served.retrain().decision, served.versions) == (REFUSED, [1])
    served.write("2.txt", noise.hex())
    result = training(*served.command(), cwd=served.folder, check=False)
    assert result.returncode == 3, result.stderr
    assert "mine: refused after" in result.stdout
    assert "2.txt looks like noise" in result.stdout
    assert served.versions == [1]
    assert served.retrain(noise=True).decision in (PUBLISHED, REFUSED)


@pytest.mark.slow
def test_a_stopped_run_is_resumed(served: ToyModel) -> None:
    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    stopped = served.retrain(should_stop=stop_after(40, served.run("candidate")))
    assert stopped.decision == INTERRUPTED
    assert 0 < stopped.steps < 60
    served.write("3.txt", random_words(3, 1500, FINNISH))  # for the run after the resumed one
    resumed = served.retrain()
    assert (resumed.decision, resumed.resumed, resumed.version) == (PUBLISHED, True, 2)
    assert resumed.steps > stopped.steps
    last = served.retrain()
    assert (last.decision, last.resumed, last.new_files) == (PUBLISHED, False, 1)


@pytest.mark.slow
def test_a_stopped_run_that_was_published_under_another_name_is_resumed(served: ToyModel) -> None:
    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    assert served.retrain(should_stop=stop_after(40, served.run("candidate"))).decision == INTERRUPTED
    replace(Plan.load(served.run("candidate")), published="models/other/1").save(served.run("candidate"))
    record = served.retrain()
    assert (record.decision, record.resumed, record.version) == (PUBLISHED, True, 2)


def die_at_step_20(_: None) -> None:
    """Runs in the process that trains."""
    import os

    from training.learning import run

    take_step = run.TrainingRun.take_step

    def step(self: Any) -> float:
        if self.step == 20 and (self.folder / PLAN).exists():
            self.save()
            os.kill(os.getpid(), signal.SIGKILL)
        return take_step(self)

    run.TrainingRun.take_step = step  # type: ignore[method-assign]


@pytest.mark.slow
def test_a_killed_run_is_resumed(served: ToyModel) -> None:
    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    log = served.folder / "log"
    process = started(*served.command(minutes=1), cwd=served.folder, out=log, err=log, before=(die_at_step_20, None))
    process.join()
    assert process.exitcode == -signal.SIGKILL, log.read_text()
    assert served.versions == [1]
    record = served.retrain()
    assert (record.decision, record.resumed, record.version) == (PUBLISHED, True, 2)


@pytest.mark.slow
def test_a_run_that_cannot_be_read_is_discarded_and_begun_again(served: ToyModel) -> None:
    served.run("candidate").mkdir()
    (served.run("candidate") / PLAN).write_text("{")
    assert served.retrain().decision == UNCHANGED
    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    assert served.retrain(should_stop=stop_after(10, served.run("candidate"))).decision == INTERRUPTED
    Checkpoint({}, {}).save(served.run("candidate") / CHECKPOINT)  # a valid file, but not of a run
    record = served.retrain()
    assert (record.decision, record.resumed, record.version) == (PUBLISHED, False, 2)


def test_an_unexpected_error_is_recorded(served: ToyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: TrainingRun) -> float:
        raise MemoryError("OOM when allocating\nmore of it")

    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    monkeypatch.setattr(TrainingRun, "take_step", fail)
    record = served.retrain()
    assert (record.decision, record.reason) == (FAILED, "MemoryError: OOM when allocating")
    assert records(served.models, "mine")[-1]["decision"] == FAILED


@pytest.mark.slow
def test_a_run_killed_after_publishing_is_not_published_twice(served: ToyModel) -> None:
    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    assert served.retrain().version == 2
    # The state of the disk at that moment: the plan does not name the version yet.
    served.run("served").rename(served.run("candidate"))
    replace(Plan.load(served.run("candidate")), published=None).save(served.run("candidate"))
    assert served.retrain().decision == UNCHANGED
    assert served.versions == [1, 2]
    assert (served.run("served") / PLAN).exists()


@pytest.mark.slow
def test_after_a_full_disk_while_publishing_the_next_run_publishes(served: ToyModel) -> None:
    served.write("2.txt", random_words(2, 1500, RUSSIAN))
    real = TrainingRun.result
    with pytest.MonkeyPatch.context() as patch:
        full = disk_takes(2000)

        def result(self: TrainingRun) -> Any:
            full.__enter__()
            return real(self)

        patch.setattr(TrainingRun, "result", result)
        try:
            record = served.retrain()
        finally:
            full.__exit__(None, None, None)
    assert record.decision == FAILED
    assert served.versions == [1]
    assert not [*(served.models / "mine").glob(".partial-*")]
    after = served.retrain()
    assert (after.decision, after.resumed, after.version) == (PUBLISHED, True, 2)


@pytest.mark.slow
def test_at_the_time_limit_a_run_publishes_its_best_weights(served: ToyModel) -> None:
    served.write("2.txt", random_words(2, 30_000, RUSSIAN))
    record = served.retrain(minutes=0.05, epochs=1000, gate=0.9)
    assert record.decision == PUBLISHED
    assert record.steps < 1000
    assert store.manifest_of(served.models / "mine/2")["config"]["epochs"] == 1000


def test_a_failure_is_recorded_in_one_sentence(served: ToyModel) -> None:
    served.write("2.txt", "\xff".encode("latin-1"))
    record = served.retrain()
    assert (record.decision, served.versions) == (FAILED, [1])
    assert "2.txt is not UTF-8" in record.reason
    (served.texts / "2.txt").unlink()
    served.write("3.txt", random_words(2, 1500, RUSSIAN))
    assert "have units 32, and version 1 has 16" in served.retrain(settings=NETWORK | {"units": 32}).reason
    with locked(served.runs / "mine"):
        assert "Another process is training" in served.retrain().reason
    served.run("candidate").write_text("no folder")
    assert served.retrain().reason == f"{served.run('candidate') / 'corpus'}: Not a directory."


@pytest.mark.slow
def test_the_held_out_part_of_a_file_stays_held_out_when_the_file_grows(served: ToyModel) -> None:
    first = random_words(1, 1500, ENGLISH)
    reference = first[int(len(first) * 0.8) :]
    for seed in (2, 3):
        served.write("1.txt", (served.texts / "1.txt").read_text() + random_words(seed, 1500, ENGLISH))
        record = served.retrain()
        assert record.decision in (PUBLISHED, REFUSED)
    run = served.run("served" if record.decision == PUBLISHED else "refused")
    corpus = Plan.load(run).open_corpus(run)
    assert reference in corpus.text(*corpus.split.validation)
    assert reference[:100] not in corpus.text(*corpus.split.train)


@pytest.mark.parametrize("names", [[], [".gitkeep"], ["empty/"], ["empty.txt"]])
def test_without_any_text_a_model_is_unchanged(tmp_path: Path, names: list[str]) -> None:
    model = ToyModel(tmp_path)
    for name in names:
        (model.texts / name).mkdir() if name.endswith("/") else model.write(name, "")
    record = model.retrain()
    assert (record.decision, model.versions) == (UNCHANGED, [])
    assert f"There is no text in {model.texts} yet." in record.reason


def test_a_missing_folder_is_a_failure(tmp_path: Path) -> None:
    model = ToyModel(tmp_path)
    model.texts.rmdir()
    record = model.retrain()
    assert record.decision == FAILED
    assert f"{model.texts} does not exist" in record.reason


def test_a_record_that_cannot_be_written_is_a_failure_with_both_reasons(tmp_path: Path) -> None:
    model = ToyModel(tmp_path)
    (model.models / "mine" / RECORDS).mkdir(parents=True)
    record = model.retrain()
    assert record.decision == FAILED
    assert re.fullmatch(
        r"There is no text in .* yet\. Its record cannot be written: .*\.jsonl: Is a directory\.", record.reason
    )


@pytest.mark.slow
def test_a_folder_with_brackets_in_its_name_is_read(tmp_path: Path) -> None:
    model = ToyModel(tmp_path)
    model.texts = model.texts.rename(tmp_path / "texts [1]")
    model.write("1.txt", random_words(1, 1500, ENGLISH))
    assert model.retrain().decision == PUBLISHED


def test_the_files_of_a_corpus_are_chosen_by_the_job(tmp_path: Path) -> None:
    model = ToyModel(tmp_path)
    model.write("1.txt", random_words(1, 1500, ENGLISH))
    model.write("logo.png", b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(9000))
    model.write("noise.bin", random.Random(2).randbytes(9000))
    refused = model.retrain(exclude=("*.bin",))
    assert (refused.decision, model.versions) == (FAILED, [])
    assert "logo.png is a PNG image" in refused.reason
    assert model.retrain(skip_unreadable=True).decision == PUBLISHED


def test_for_a_served_model_an_empty_folder_is_a_failure(served: ToyModel) -> None:
    (served.texts / "1.txt").unlink()
    assert served.retrain().decision == FAILED


@pytest.mark.parametrize("flag", ["--runs", "--models"])
def test_retraining_does_not_start_without_writable_folders(tmp_path: Path, flag: str) -> None:
    (tmp_path / "nightly.toml").write_text('[[model]]\nname = "mine"\ncorpus = "texts"\nminutes = 1\n')
    refused = training("retrain", flag, "/proc", cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: {flag}: /proc/mine cannot be created: ")
