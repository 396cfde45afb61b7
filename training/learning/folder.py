"""The folder of a run: what was asked for, so that `--resume` needs nothing but the name. Knows no framework."""

import dataclasses
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.errors import InputError
from training.files import write_atomically

PLAN = "run.json"
CHECKPOINT = "checkpoint.npz"
HISTORY = "history.jsonl"
CORPUS = "corpus"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do, and the version that came of it (None while it is not finished)."""

    config: TrainConfig
    corpus: tuple[str, ...]  # as asked for; the run reads the encoded copy of it in its folder
    corpus_key: str  # of that copy
    init_from: str | None = None  # NAME/VERSION of the model whose weights it starts from
    published: str | None = None

    def parent_of(self, name: str) -> int | None:
        """The version of model `name` that it starts from, if it starts from one."""
        model, _, version = (self.init_from or "").partition("/")
        return int(version) if model == name else None

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """The plan of the run in `folder`.

        Raises:
            InputError: there is no run, or it cannot be understood.
        """
        if not (folder / PLAN).exists():
            raise InputError(f"There is no run to resume in {folder}: leave out --resume to start one.")
        try:
            fields = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            config = TrainConfig.from_json(fields.pop("config"))
            return cls(config=config, corpus=tuple(fields.pop("corpus")), **fields)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder / PLAN} is damaged, or another program wrote it ({error}): --restart discards the run."
            ) from error

    def save(self, folder: Path) -> None:
        """Write the plan beside the run's other files."""
        fields = dataclasses.asdict(self) | {"config": self.config.to_json()}
        write_atomically(folder / PLAN, (json.dumps(fields, indent=1) + "\n").encode())

    def open_corpus(self, folder: Path) -> Corpus:
        """The text of the run, as it was when the run began.

        Raises:
            InputError: it is missing or damaged, or another run's.
        """
        corpus = Corpus.open(folder / CORPUS)
        if corpus.key != self.corpus_key:
            raise InputError(
                f"{folder / CORPUS} is not the text that this run began with: use --restart to train anew."
            )
        return corpus


def is_unfinished(folder: Path) -> bool:
    """There is a run in `folder` that was not published yet."""
    return (folder / PLAN).exists() and Plan.load(folder).published is None


def discard(folder: Path) -> None:
    """Forget the run in `folder`: its progress first, so that a kill in between leaves no mixture of two runs."""
    for name in (CHECKPOINT, HISTORY, PLAN):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process.

    Raises:
        InputError: another process trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another process is training in {folder}: wait for it, or choose another --name."
            ) from None
        yield
