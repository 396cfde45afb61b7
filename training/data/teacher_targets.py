"""Probabilities of each next symbol by teachers, as targets: of the corpus's own text, and of a text that they wrote.

Knows no network: learning/teachers.py computes them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.vocabulary import RESERVED
from training.data.windows import Window, Windows
from training.errors import DamagedRun, InputError

WRITTEN, OF_WRITTEN, OF_CORPUS = "written.npy", "of_written.npy", "of_corpus.npy"


@dataclass(frozen=True, eq=False)
class TeacherTargets:
    """What teachers predict. The passages that they wrote have one length, and each starts without a context."""

    of_corpus: NDArray[np.float16]  # [symbols, V] of the training part without the text held out for calibration
    written: NDArray[Any]  # [passages, length] ids
    of_written: NDArray[np.float16]  # [passages, length, V] of the symbol at each place, before it was drawn

    @classmethod
    def open(cls, folder: Path) -> "TeacherTargets":
        """The files that `learning.teachers` wrote into `folder`, memory-mapped.

        Raises:
            DamagedRun: a file is missing or damaged.
        """
        try:
            found = cls(*(np.load(folder / name, mmap_mode="r") for name in (OF_CORPUS, WRITTEN, OF_WRITTEN)))
            if found.of_written.shape != (*found.written.shape, found.of_corpus.shape[1]):
                raise ValueError("files of different shapes")
        except (OSError, ValueError, IndexError, EOFError) as error:
            raise DamagedRun(f"The teachers' targets in {folder} are damaged ({error})") from error
        return found

    def window(self, number: int, *, rows: int, window: int) -> Window:
        """Window `number`, from 0, of `rows` streams that read the written passages, each one after the other.

        Streams start their passages at different times, if a passage has enough windows for that.
        """
        per_passage = self.written.shape[1] // window
        windows = number + np.arange(rows) * per_passage // rows
        passages = (windows // per_passage * rows + np.arange(rows)) % len(self.written)
        starts = windows % per_passage * window
        places = (passages[:, None], starts[:, None] + np.arange(window))
        reset = (starts == 0) | (number == 0)
        # Index -1 at the start of a passage is read but not used.
        before = np.where(reset, RESERVED, self.written[passages, starts - 1])
        previous = np.concatenate([before[:, None], self.written[places][:, :-1]], axis=1, dtype=np.int32)
        return Window(previous, self.of_written[places], reset)


class TeacherWindows:
    """Windows whose targets are probabilities: the first rows read the corpus, the others the teachers' passages."""

    def __init__(self, ids: NDArray[Any], config: TrainConfig, teachers: TeacherTargets) -> None:
        """Create the windows over `ids` [symbols], those of `teachers.of_corpus`."""
        self._ids, self._teachers, self._config = ids, teachers, config
        # Windows of places + 1, because RESERVED is what precedes a text.
        self._places = Windows(
            np.arange(1, 1 + len(ids), dtype=np.int32),
            batch_size=config.batch_size - config.teacher_rows,
            window=config.window,
            cold_start=config.cold_start,
            seed=config.seed,
        )
        self._taken = 0

    @property
    def per_epoch(self) -> int:
        """Windows in which the rows of the corpus read it once."""
        return self._places.per_epoch

    def next(self) -> Window:
        """The next window of every stream."""
        read = self._of_corpus(self._places.next())
        written = self._teachers.window(self._taken, rows=self._config.teacher_rows, window=self._config.window)
        self._taken += 1
        pairs = zip(
            (read.previous, read.targets, read.reset), (written.previous, written.targets, written.reset), strict=True
        )
        return Window(*(np.concatenate(pair) for pair in pairs))

    def _of_corpus(self, places: Window) -> Window:
        """A window of the corpus; its targets are the mean of the symbols and of the teachers' probabilities."""
        weight, at = self._config.teacher_weight, places.targets - 1
        symbols = np.eye(self._teachers.of_corpus.shape[1], dtype=np.float32)[self._ids[at]]
        targets = (1 - weight) * symbols + weight * self._teachers.of_corpus[at]
        previous = np.where(places.previous == RESERVED, RESERVED, self._ids[np.maximum(places.previous - 1, 0)])
        return Window(previous.astype(np.int32), targets.astype(np.float16), places.reset)

    def position(self) -> dict[str, Any]:
        """The state of the sequence, as plain values for JSON."""
        return {"corpus": self._places.position(), "taken": self._taken}

    def seek(self, position: dict[str, Any]) -> None:
        """Continue with the window that came next when `position()` was called."""
        self._places.seek(position["corpus"])
        self._taken = position["taken"]


def windows_of(
    training: NDArray[Any], config: TrainConfig, teachers: TeacherTargets | None
) -> Windows | TeacherWindows:
    """The windows that a run reads of a training part [symbols], and of the text of its teachers if it has any.

    Raises:
        InputError: the training part is too short for the windows, or to leave a part out.
    """
    start = config.held_out(len(training))
    ids = training[start:]
    if config.leave_out != "none":
        blocks = config.left_out(len(training))
        if not blocks:
            raise InputError(
                f"--leave-out {config.leave_out} leaves out nothing: the training part has only {len(training):,} "
                "characters."
            )
        ids = np.delete(ids, np.r_[tuple(slice(first - start, last - start) for first, last in blocks)])
    if teachers is not None:
        return TeacherWindows(ids, config, teachers)
    return Windows(
        ids,
        batch_size=config.batch_size,
        window=config.window,
        cold_start=config.cold_start,
        seed=config.seed,
    )
