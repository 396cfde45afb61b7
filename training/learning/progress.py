"""What a person sees while a network learns: a bar, a line and a sample at each evaluation, TensorBoard's curves.

Decides nothing.
"""

import math
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from training.learning.folder import TENSORBOARD
from training.learning.tensorboard import EventLog

SHOWN_TEMPERATURE = "0.8"


class Progress:
    """A progress bar over the characters of a run (on a terminal) and a few lines at each evaluation."""

    def __init__(self, total_chars: int, chars_seen: int, folder: Path) -> None:
        self._log = EventLog(folder / TENSORBOARD)
        self._bar = tqdm(
            total=total_chars,
            initial=chars_seen,
            unit="char",
            unit_scale=True,
            dynamic_ncols=True,
            disable=None,  # None: only where stderr is a terminal
        )

    def step(self, chars: int, nats_per_char: float) -> None:
        """One optimisation step over `chars` characters is done."""
        self._bar.set_postfix_str(f"{nats_per_char / math.log(2):.3f} bits/char", refresh=False)
        self._bar.update(chars)

    def evaluation(self, record: dict[str, Any], *, best: bool) -> None:
        """An evaluation is done; `record` is its line of history.jsonl."""
        nats = record["validation_nats_per_char"]
        self._log.evaluation(record)
        novelty = record.get("novelty")
        new = f"{novelty['new']:.0%} of {novelty['lines']:.0f} sampled lines are new\n" if novelty else ""
        self._bar.write(
            f"epoch {record['epoch']:.2f}, step {record['step']}: "
            f"training {record['training_nats_per_char']:.4f}, validation {nats:.4f} nats/char "
            f"({nats / math.log(2):.4f} bits/char{', the best so far' if best else ''})\n"
            f"{new}{record['samples'][SHOWN_TEMPERATURE]}\n"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the terminal as it was."""
        self._bar.close()
        self._log.close()
