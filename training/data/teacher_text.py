"""Text that teachers wrote, with their probabilities of each next symbol, and windows that mix it with a corpus.

Knows no network: learning/teachers.py writes the text.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.vocabulary import RESERVED
from training.data.windows import Window, Windows
from training.errors import InputError

IDS, PROBABILITIES = "ids.npy", "probabilities.npy"


@dataclass(frozen=True, eq=False)
class TeacherText:
    """Passages of equal length, each of which starts without a context."""

    ids: NDArray[Any]  # [passages, length]
    probabilities: NDArray[np.float16]  # [passages, length, V] of the symbol at each place, before it was drawn

    @classmethod
    def open(cls, folder: Path) -> "TeacherText":
        """The text that `learning.teachers.write_text` wrote into `folder`, memory-mapped.

        Raises:
            InputError: a file is missing or damaged.
        """
        try:
            ids, probabilities = (np.load(folder / name, mmap_mode="r") for name in (IDS, PROBABILITIES))
            if ids.ndim != 2 or ids.shape != probabilities.shape[:2]:
                raise ValueError(f"the shapes {ids.shape} and {probabilities.shape} do not fit together")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"The teachers' text in {folder} is damaged ({error}): --restart discards the run."
            ) from error
        return cls(ids, probabilities)

    def window(self, number: int, *, rows: int, window: int) -> Window:
        """Window `number`, from 0, of `rows` streams. A stream reads one passage after the other from its start.

        Passages start at other times in other streams, as far as there are windows enough.
        """
        per_passage = self.ids.shape[1] // window
        windows = number + np.arange(rows) * per_passage // rows
        passages = (windows // per_passage * rows + np.arange(rows)) % len(self.ids)
        starts = windows % per_passage * window
        places = (passages[:, None], starts[:, None] + np.arange(window))
        reset = (starts == 0) | (number == 0)
        # Index -1 at the start of a passage is read but not used.
        before = np.where(reset, RESERVED, self.ids[passages, starts - 1])
        previous = np.concatenate([before[:, None], self.ids[places][:, :-1]], axis=1, dtype=np.int32)
        return Window(previous, self.probabilities[places], reset)


class MixedWindows:
    """Windows whose first rows read a corpus, as `Windows` does, and whose other rows read the text of teachers.

    All targets are probabilities; those of the corpus are 1 for its symbol.
    """

    def __init__(self, corpus: Windows, teacher_text: TeacherText, *, teacher_rows: int, window: int) -> None:
        self._corpus, self._text = corpus, teacher_text
        self._rows, self._window = teacher_rows, window
        self._taken = 0
        self._one_hot = np.eye(teacher_text.probabilities.shape[2], dtype=np.float16)

    @property
    def per_epoch(self) -> int:
        """Windows in which the rows of the corpus read it once."""
        return self._corpus.per_epoch

    def next(self) -> Window:
        """The next window of every stream; its targets are probabilities [N, T, V]."""
        read = self._corpus.next()
        written = self._text.window(self._taken, rows=self._rows, window=self._window)
        self._taken += 1
        read = replace(read, targets=self._one_hot[read.targets])
        pairs = zip(
            (read.previous, read.targets, read.reset), (written.previous, written.targets, written.reset), strict=True
        )
        return Window(*(np.concatenate(pair) for pair in pairs))

    def position(self) -> dict[str, Any]:
        """The state of the sequence, as plain values for JSON."""
        return {"corpus": self._corpus.position(), "taken": self._taken}

    def seek(self, position: dict[str, Any]) -> None:
        """Continue with the window that came next when `position()` was called."""
        self._corpus.seek(position["corpus"])
        self._taken = position["taken"]


def windows_of(ids: NDArray[Any], config: TrainConfig, teacher_text: TeacherText | None) -> Windows | MixedWindows:
    """The windows that a run reads: those of a training part `ids` [symbols], or of it and of the text of teachers.

    Raises:
        InputError: the training part is too short.
    """
    teacher_rows = config.teacher_rows if teacher_text is not None else 0
    windows = Windows(
        ids,
        batch_size=config.batch_size - teacher_rows,
        window=config.window,
        cold_start=config.cold_start,
        seed=config.seed,
    )
    if teacher_text is None:
        return windows
    return MixedWindows(windows, teacher_text, teacher_rows=teacher_rows, window=config.window)
