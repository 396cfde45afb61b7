"""The folder of a run: its plan, its position, its lock, and the older runs of its name.

`runs/<name>` holds the current run. Older finished runs of that name are kept in `runs/<name>/old/1`, `2`, ...
Imports no framework, so that the command line can read it at every start.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.teacher_targets import TeacherTargets
from training.errors import DamagedRun, InputError
from training.files import write_atomically
from training.learning.checkpoint import Checkpoint
from training.learning.schedule import has_ended

PLAN = "run.json"
CHECKPOINT = "checkpoint.npz"
HISTORY = "history.jsonl"
CORPUS = "corpus"
TEACHERS = "teachers"
TENSORBOARD = "tensorboard"
REPORT = "report.html"
BASELINES = "baselines.json"
RUN = (PLAN, CHECKPOINT, HISTORY, CORPUS, TEACHERS, TENSORBOARD, REPORT, BASELINES)

OLD = "old"
LOCK, MOVING, NEXT = ".lock", ".old", ".next"


@dataclass(frozen=True)
class Plan:
    """The settings of a run, and the version that was last published from it: all that `--resume` needs."""

    config: TrainConfig
    corpus: tuple[str, ...]  # as given by the user; the run reads the encoded copy in its folder
    corpus_key: str  # of that copy
    init_from: str | None = None  # NAME/VERSION of the model whose weights the run starts from
    published: str | None = None  # folder of the version
    published_step: int | None = None  # steps taken when it was published; older versions of Charloom did not record it
    teachers: tuple[str, ...] = ()  # NAME/VERSION of the models whose text and probabilities the run learns too
    replicas: int | None = None  # that each batch is split between; None: as many as the machine has cores, or JAX

    def is_published_at(self, step: int) -> bool:
        """Whether a version was published from the run as it is after `step` steps."""
        return self.published is not None and self.published_step in (None, step)

    def version_of(self, name: str) -> int | None:
        """The version that was last published from this run, if it was published as model `name`."""
        *_, model, version = ("", "", *Path(self.published or "").parts)
        return int(version) if model == name else None

    def parent_of(self, name: str) -> int | None:
        """The version that the run starts from, if it is one of model `name`."""
        model, _, version = (self.init_from or "").partition("/")
        return int(version) if model == name else None

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """The plan of the run in `folder`.

        Raises:
            InputError: there is no run.
            DamagedRun: its plan is damaged.
        """
        if not (folder / PLAN).exists():
            raise InputError(f"There is no run to resume in {folder}: leave out --resume to start one.")
        try:
            fields = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            config = TrainConfig.from_json(fields.pop("config"))
            corpus, teachers = tuple(fields.pop("corpus")), tuple(fields.pop("teachers", ()))
            return cls(config=config, corpus=corpus, teachers=teachers, **fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # the last: JSON, but no object
            raise DamagedRun(f"{folder / PLAN} is damaged, or another program wrote it ({error})") from error

    def save(self, folder: Path) -> None:
        """Write the plan into the run's folder."""
        fields = dataclasses.asdict(self) | {"config": self.config.to_json()}
        write_atomically(folder / PLAN, (json.dumps(fields, indent=1) + "\n").encode())

    def open_corpus(self, folder: Path) -> Corpus:
        """The encoded text that the run began with.

        Raises:
            DamagedRun: it is missing, damaged, or of another run.
            InputError: it is of encoded parts, which have changed.
        """
        corpus = Corpus.open(folder / CORPUS)
        if corpus.key != self.corpus_key:
            raise DamagedRun(f"{folder / CORPUS} is not the text that this run began with")
        return corpus

    def open_teachers(self, folder: Path) -> TeacherTargets | None:
        """The targets of the run's teachers; None if it has none.

        Raises:
            DamagedRun: they are missing or damaged.
        """
        return TeacherTargets.open(folder / TEACHERS) if self.teachers else None


@dataclass(frozen=True)
class Position:
    """The position of a run, from its checkpoint."""

    step: int
    is_finished: bool  # every step is taken, or patience ended the run

    @classmethod
    def of(cls, folder: Path, plan: Plan) -> "Position":
        """The position of the run in `folder`.

        Raises:
            DamagedRun: its checkpoint is damaged.
        """
        path = folder / CHECKPOINT
        if not path.exists():
            return cls(0, is_finished=False)
        values = Checkpoint.values_of(path)
        try:
            step, history = values["step"], values["history"]
            if not history or history[-1]["step"] != step:  # a finished run has been evaluated after its last step
                return cls(step, is_finished=False)
            steps_per_epoch = round(history[-1]["step"] / history[-1]["epoch"])
            losses = [record["validation_nats_per_char"] for record in history]
            return cls(step, has_ended(plan.config, step, plan.config.total_steps(steps_per_epoch), losses))
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise DamagedRun(f"{path} is not the checkpoint of a run ({error})") from error


def is_unfinished(folder: Path) -> bool:
    """Whether there is a run in `folder` that has steps left to take."""
    return (folder / PLAN).exists() and not Position.of(folder, Plan.load(folder)).is_finished


def discard(folder: Path) -> None:
    """Delete the run in `folder`, its plan first, because a kill may come at any time.

    A folder without a plan is not a run; a plan without a checkpoint would be a run from random weights.
    """
    for name in (PLAN, CHECKPOINT, HISTORY, REPORT):
        (folder / name).unlink(missing_ok=True)
    for name in (TENSORBOARD, TEACHERS):
        shutil.rmtree(folder / name, ignore_errors=True)


def keep_as_old(folder: Path) -> Path:
    """Move the run in `folder` to the next number under `old/`, and return its new folder.

    After a kill, the next call completes the move. The plan moves first: a folder without a plan is not a run.
    """
    moving, old = folder / MOVING, folder / OLD
    moving.mkdir(exist_ok=True)
    for name in RUN:
        if (folder / name).exists():
            (folder / name).rename(moving / name)
    old.mkdir(exist_ok=True)
    numbers = [int(path.name) for path in old.iterdir() if path.name.isdecimal()]
    return moving.rename(old / str(max(numbers, default=0) + 1))


def is_being_moved(folder: Path) -> bool:
    """Whether a process was killed while it moved a finished run of `folder` to `old/`."""
    return (folder / MOVING).exists()


@contextmanager
def next_corpus(folder: Path) -> Iterator[Path]:
    """A folder to encode the next run's text into, removed at the end; the run in `folder` stays as it is.

    It starts with hard links to that run's text, so that the same text is not encoded again.
    """
    aside = folder / NEXT
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        if (folder / CORPUS).is_dir():
            with contextlib.suppress(OSError):  # a file system without hard links: the text is encoded again
                shutil.copytree(folder / CORPUS, aside / CORPUS, copy_function=os.link)
        yield aside / CORPUS
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def adopt_corpus(corpus: Path, folder: Path) -> None:
    """Move an encoded text into the run's folder."""
    shutil.rmtree(folder / CORPUS, ignore_errors=True)
    corpus.rename(folder / CORPUS)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; a folder that is empty at the end is removed.

    Raises:
        InputError: another process trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have removed the file after we opened and before we locked it.
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise BlockingIOError
        except BlockingIOError:
            raise InputError(f"Another process is training in {folder}: wait until it ends.") from None
        try:
            yield
        finally:
            if [*folder.iterdir()] == [path]:
                path.unlink()
                folder.rmdir()
