"""Nights: what is new is learned, what is worse is refused, and whatever is interrupted is gone on with."""

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.processes import started, training
from tests.training.full_disk import disk_takes
from training.learning.checkpoint import Checkpoint
from training.learning.folder import CHECKPOINT, PLAN, Plan, locked
from training.learning.run import TrainingRun
from training.release import store
from training.retraining.config import Job
from training.retraining.record import FAILED, INTERRUPTED, PUBLISHED, REFUSED, UNCHANGED, Night, nights
from training.retraining.retrain import retrain

NETWORK = {"layers": 1, "units": 16, "embedding": 8, "dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0}
LEARNING: dict[str, Any] = {
    "batch_size": 4,
    "window": 20,
    "epochs": 4,
    "learning_rate": 0.02,
    "warmup_steps": 5,
    "weight_decay": 0.0,  # with the default the gate refuses such toy nights: 1 % worse on the reference text
    "split": [0.8, 0.2, 0],
}
SETTINGS = NETWORK | LEARNING | {"split": (0.8, 0.2, 0.0)}  # of a Job that no file was read for
ENGLISH = ["the ", "cat ", "sat ", "on ", "a ", "mat.\n", "dog ", "ran "]
FINNISH = ["kissa ", "istui ", "matolla.\n", "koira ", "juoksi ", "ja ", "söi "]
RUSSIAN = ["кот ", "сидел ", "на ", "ковре.\n", "пёс ", "бежал "]


def words(choices: list[str], seed: int, count: int = 1500) -> str:
    generator = random.Random(seed)
    return "".join(generator.choice(choices) for _ in range(count))


class Nightly:
    """A folder with a store, runs and texts, and one model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.models, self.runs = folder, folder / "models", folder / "runs"
        self.texts = folder / "texts"
        self.texts.mkdir(parents=True, exist_ok=True)
        self.job = Job(name="mine", corpus=("texts",), minutes=5, learning_rate=0.01, settings=SETTINGS)

    def write(self, name: str, text: str | bytes) -> None:
        (self.texts / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def night(self, should_stop: Callable[[], bool] = lambda: False, **changes: Any) -> Night:
        job = self.job.model_copy(update=changes | {"corpus": (str(self.texts),)})
        return retrain(job, runs=self.runs, models=self.models, should_stop=should_stop)

    @property
    def versions(self) -> list[int]:
        return store.versions(self.models, "mine")

    def run(self, name: str) -> Path:
        return self.runs / "mine" / name

    def command(self, **changes: Any) -> list[str]:
        """The same as a command, in `folder`."""
        settings = ", ".join(f"{name} = {value}" for name, value in (NETWORK | LEARNING).items())
        lines = [f"{name} = {value}" for name, value in ({"minutes": 5, "learning_rate": 0.01} | changes).items()]
        text = "\n".join(['[[model]]\nname = "mine"\ncorpus = "texts"', *lines, f"settings = {{ {settings} }}\n"])
        (self.folder / "nightly.toml").write_text(text)
        return ["retrain"]


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first night leaves. Not to be changed."""
    nightly = Nightly(tmp_path_factory.mktemp("nightly"))
    nightly.write("1.txt", words(ENGLISH, 1))
    night = nightly.night()
    assert (night.decision, night.version, night.parent) == (PUBLISHED, 1, None)
    assert night.reason == "It is the first version."
    return nightly.folder


@pytest.fixture
def served(after_one: Path, tmp_path: Path) -> Nightly:
    """After its first night."""
    return Nightly(shutil.copytree(after_one, tmp_path / "nightly"))


def stop_after(checks: int, run: Path) -> Callable[[], bool]:
    """Asks for a stop when it has been asked so many times since the run began: at least once a step."""
    left: Iterator[int] = iter(range(checks))
    return lambda: (run / PLAN).exists() and next(left, None) is None


def test_nights_learn_what_is_new_and_nothing_twice(served: Nightly) -> None:
    assert served.night().decision == UNCHANGED
    served.write("2.txt", words(RUSSIAN, 2))
    second = served.night(keep=1)
    assert (second.decision, second.version, second.parent) == (PUBLISHED, 2, 1)
    assert (second.new_files, second.gone_files, second.new_symbols) == (1, 0, len(set("".join(RUSSIAN)) - set(" .\n")))
    for text in ("fresh", "reference"):
        assert second.losses[text]["new"] <= second.losses[text]["old"] * 1.01
    assert second.losses["fresh"]["new"] < second.losses["fresh"]["old"] / 2  # which knew none of its letters
    assert served.versions == [2]
    manifest = store.manifest_of(served.models / "mine/2")
    assert manifest["parent"] == 1
    assert [record["decision"] for record in nights(served.models, "mine")] == [
        PUBLISHED,
        UNCHANGED,
        PUBLISHED,
    ]
    # What the second version was judged by is what it did not learn from: the end of each file.
    judged = Plan.load(served.run("served")).open_corpus(served.run("served"))
    texts = [words(ENGLISH, 1), words(RUSSIAN, 2)]
    assert judged.text(*judged.split.validation) == "".join(text[int(len(text) * 0.8) :] for text in texts)


def test_forgetting_what_it_knew_is_refused_and_the_run_is_kept(served: Nightly) -> None:
    (served.texts / "1.txt").unlink()
    served.write("2.txt", words(FINNISH, 2))
    night = served.night()
    assert night.decision == REFUSED
    assert "On the reference text" in night.reason
    assert night.losses["fresh"]["new"] < night.losses["fresh"]["old"]
    assert served.versions == [1]
    assert (served.run("refused") / CHECKPOINT).exists()
    assert served.night().decision == UNCHANGED  # the same again would be refused again
    result = training("publish", "mine", "--from", "runs/mine/refused", cwd=served.folder)
    assert "Published models/mine/2" in result.stdout


def test_noise_is_refused_with_exit_code_3_before_anything_is_trained(served: Nightly) -> None:
    noise = random.Random(1).randbytes(30_000)
    served.write("2.txt", noise)
    assert (served.night().decision, served.versions) == (REFUSED, [1])
    served.write("2.txt", noise.hex())
    result = training(*served.command(), cwd=served.folder, check=False)
    assert result.returncode == 3, result.stderr
    assert "mine: refused after" in result.stdout
    assert "2.txt looks like noise" in result.stdout
    assert served.versions == [1]
    assert served.night(noise=True).decision in (PUBLISHED, REFUSED)


def test_a_stopped_night_is_gone_on_with(served: Nightly) -> None:
    served.write("2.txt", words(RUSSIAN, 2))
    stopped = served.night(should_stop=stop_after(40, served.run("night")))
    assert stopped.decision == INTERRUPTED
    assert 0 < stopped.steps < 60
    served.write("3.txt", words(FINNISH, 3))  # of the next night's business
    resumed = served.night()
    assert (resumed.decision, resumed.resumed, resumed.version) == (PUBLISHED, True, 2)
    assert resumed.steps > stopped.steps
    last = served.night()
    assert (last.decision, last.resumed, last.new_files) == (PUBLISHED, False, 1)


def test_a_stopped_night_that_was_published_under_another_name_is_resumed(served: Nightly) -> None:
    served.write("2.txt", words(RUSSIAN, 2))
    assert served.night(should_stop=stop_after(40, served.run("night"))).decision == INTERRUPTED
    replace(Plan.load(served.run("night")), published="models/other/1").save(served.run("night"))
    night = served.night()
    assert (night.decision, night.resumed, night.version) == (PUBLISHED, True, 2)


def die_at_step_30(_: None) -> None:
    """In the process that trains."""
    import os

    from training.learning import run

    take_step = run.TrainingRun.take_step

    def step(self: Any) -> float:
        if self.step == 30 and (self.folder / PLAN).exists():
            self.save()
            os.kill(os.getpid(), signal.SIGKILL)
        return take_step(self)

    run.TrainingRun.take_step = step  # type: ignore[method-assign]


def test_a_killed_night_is_gone_on_with(served: Nightly) -> None:
    served.write("2.txt", words(RUSSIAN, 2))
    log = served.folder / "log"
    process = started(*served.command(), cwd=served.folder, out=log, err=log, before=(die_at_step_30, None))
    process.join()
    assert process.exitcode == -signal.SIGKILL, log.read_text()
    assert served.versions == [1]
    night = served.night()
    assert (night.decision, night.resumed, night.version) == (PUBLISHED, True, 2)


def test_a_run_that_cannot_be_read_is_given_up_and_begun_anew(served: Nightly) -> None:
    served.run("night").mkdir()
    (served.run("night") / PLAN).write_text("{")
    assert served.night().decision == UNCHANGED
    served.write("2.txt", words(RUSSIAN, 2))
    assert served.night(should_stop=stop_after(10, served.run("night"))).decision == INTERRUPTED
    Checkpoint({}, {}).save(served.run("night") / CHECKPOINT)  # whole, but of something else
    night = served.night()
    assert (night.decision, night.resumed, night.version) == (PUBLISHED, False, 2)


def test_what_nobody_foresaw_is_recorded_too(served: Nightly, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: TrainingRun) -> float:
        raise MemoryError("OOM when allocating\nmore of it")

    served.write("2.txt", words(RUSSIAN, 2))
    monkeypatch.setattr(TrainingRun, "take_step", fail)
    night = served.night()
    assert (night.decision, night.reason) == (FAILED, "MemoryError: OOM when allocating")
    assert nights(served.models, "mine")[-1]["decision"] == FAILED


def test_killed_after_its_version_was_placed_a_night_does_not_publish_it_twice(served: Nightly) -> None:
    served.write("2.txt", words(RUSSIAN, 2))
    assert served.night().version == 2
    # As it lies there in that moment: the run does not know of its version yet.
    served.run("served").rename(served.run("night"))
    replace(Plan.load(served.run("night")), published=None).save(served.run("night"))
    assert served.night().decision == UNCHANGED
    assert served.versions == [1, 2]
    assert (served.run("served") / PLAN).exists()


def test_a_full_disk_while_publishing_leaves_the_old_version_and_the_next_night_publishes(served: Nightly) -> None:
    served.write("2.txt", words(RUSSIAN, 2))
    real = TrainingRun.result
    with pytest.MonkeyPatch.context() as patch:
        full = disk_takes(2000)

        def result(self: TrainingRun) -> Any:
            full.__enter__()
            return real(self)

        patch.setattr(TrainingRun, "result", result)
        try:
            night = served.night()
        finally:
            full.__exit__(None, None, None)
    assert night.decision == FAILED
    assert served.versions == [1]
    assert not [*(served.models / "mine").glob(".partial-*")]
    after = served.night()
    assert (after.decision, after.resumed, after.version) == (PUBLISHED, True, 2)


def test_the_budget_ends_a_night_which_publishes_what_it_has(served: Nightly) -> None:
    served.write("2.txt", words(RUSSIAN, 2, 30_000))
    night = served.night(minutes=0.05, epochs=1000, gate=0.9)
    assert night.decision == PUBLISHED
    assert night.steps < 1000
    assert store.manifest_of(served.models / "mine/2")["config"]["epochs"] == 1000


def test_what_cannot_be_done_is_recorded_in_a_sentence(served: Nightly) -> None:
    served.write("2.txt", "\xff".encode("latin-1"))
    night = served.night()
    assert (night.decision, served.versions) == (FAILED, [1])
    assert "2.txt is not UTF-8" in night.reason
    (served.texts / "2.txt").unlink()
    served.write("3.txt", words(RUSSIAN, 2))
    assert "units 32, and version 1 has 16" in served.night(settings=NETWORK | {"units": 32}).reason
    with locked(served.runs / "mine"):
        assert "Another process is training" in served.night().reason


def test_what_was_held_out_of_a_file_stays_held_out_when_it_grows(served: Nightly) -> None:
    first = words(ENGLISH, 1)
    reference = first[int(len(first) * 0.8) :]
    for seed in (2, 3):
        served.write("1.txt", (served.texts / "1.txt").read_text() + words(ENGLISH, seed))
        night = served.night()
        assert night.decision in (PUBLISHED, REFUSED)
    run = served.run("served" if night.decision == PUBLISHED else "refused")
    corpus = Plan.load(run).open_corpus(run)
    assert reference in corpus.text(*corpus.split.validation)
    assert reference[:100] not in corpus.text(*corpus.split.train)


@pytest.mark.parametrize("names", [[], [".gitkeep"], ["empty/"], ["empty.txt"]])
def test_before_there_is_any_text_there_is_nothing_to_do(tmp_path: Path, names: list[str]) -> None:
    nightly = Nightly(tmp_path)
    for name in names:
        (nightly.texts / name).mkdir() if name.endswith("/") else nightly.write(name, "")
    night = nightly.night()
    assert (night.decision, nightly.versions) == (UNCHANGED, [])
    assert f"There is no text in {nightly.texts} yet." in night.reason


def test_a_folder_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    nightly = Nightly(tmp_path)
    nightly.texts.rmdir()
    night = nightly.night()
    assert night.decision == FAILED
    assert f"{nightly.texts} does not exist" in night.reason


def test_a_folder_with_brackets_in_its_name_is_read(tmp_path: Path) -> None:
    nightly = Nightly(tmp_path)
    nightly.texts = nightly.texts.rename(tmp_path / "texts [1]")
    nightly.write("1.txt", words(ENGLISH, 1))
    assert nightly.night().decision == PUBLISHED


def test_a_night_leaves_out_what_the_job_says(tmp_path: Path) -> None:
    nightly = Nightly(tmp_path)
    nightly.write("1.txt", words(ENGLISH, 1))
    nightly.write("logo.png", b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(9000))
    nightly.write("noise.bin", random.Random(2).randbytes(9000))
    refused = nightly.night(exclude=("*.bin",))
    assert (refused.decision, nightly.versions) == (FAILED, [])
    assert "logo.png is a PNG image" in refused.reason
    assert nightly.night(skip_unreadable=True).decision == PUBLISHED


def test_once_there_is_a_version_text_that_went_is_a_failure(served: Nightly) -> None:
    (served.texts / "1.txt").unlink()
    assert served.night().decision == FAILED
