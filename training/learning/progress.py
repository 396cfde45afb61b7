"""Shows a run in the terminal: a progress bar, and the losses and a sample at each evaluation. Decides nothing.

Where stderr is not a terminal, it prints a line every half minute in place of the bar.
"""

import math
import sys
import time
from typing import Any, Self

from tqdm import tqdm

from training.learning.stages import Stages

SHOWN_TEMPERATURE = "0.8"
SECONDS_BETWEEN_LINES = 30
SECONDS_BETWEEN_DRAWINGS = 0.1
# The format has to fit into 60 columns.
RUN_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
STAGE_BAR = "{desc} {elapsed}"
# The first steps compile; the estimate measures the steps after them.
STEPS_COMPILED, SECONDS_MEASURED = 3, 3.0
TRAINING_SHARE = 0.9  # of a run's time; evaluations, samples and publishing take the rest
ROUND_MINUTES = (5, 10, 15, 30, 60, 120, 240, 480)


class StageProgress:
    """Shows the stages of a job in a bar, or as lines."""

    def __init__(self, stages: Stages, *, total: int = 0, done: int = 0) -> None:
        self._stages = stages
        self._bar = tqdm(
            total=total or None,
            initial=done,
            bar_format=RUN_BAR if total else STAGE_BAR,
            dynamic_ncols=True,
            leave=bool(total),
            disable=None,  # None: only where stderr is a terminal
        )
        self._drawn_s, self._line_s = 0.0, time.monotonic()
        stages.show = self._show

    def _show(self, stage: str, done: int, total: int) -> None:
        if stage != "training":
            self._draw(f"{stage} {done / total:.0%}" if total else stage)

    def _draw(self, text: str, loss: str = "") -> None:
        now_s = time.monotonic()
        if self._bar.disable:
            if now_s - self._line_s > SECONDS_BETWEEN_LINES:
                print(self._line(text, loss), file=sys.stderr)
                self._line_s = now_s
            return
        self._bar.set_description_str(text, refresh=False)
        self._bar.set_postfix_str(loss, refresh=False)
        if now_s - self._drawn_s > SECONDS_BETWEEN_DRAWINGS:
            self._bar.refresh()
            self._drawn_s = now_s

    def _line(self, text: str, loss: str) -> str:
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the bar."""
        self._stages.show = Stages.show
        self._bar.close()


class RunProgress(StageProgress):
    """Shows a run's epoch, its loss, the time left and its evaluations."""

    def __init__(
        self,
        stages: Stages,
        total_steps: int,
        step: int,
        steps_per_epoch: int,
        *,
        unit: str = "char",
        with_estimate: bool = True,
    ) -> None:
        """`unit` is that of the losses; `with_estimate`: say after the first steps how long the run will take."""
        super().__init__(stages, total=total_steps, done=step)
        self._unit, self._total_steps, self._step, self._steps_per_epoch = unit, total_steps, step, steps_per_epoch
        self._steps_taken, self._compiled_s, self._is_estimated = 0, 0.0, not with_estimate

    def step(self, nats_per_char: float) -> None:
        """Show that an optimisation step is done."""
        self._step += 1
        self._bar.update(1)
        epochs = f"{self._total_steps / self._steps_per_epoch:.1f}".removesuffix(".0")
        loss = f"{nats_per_char:.3f} nats {nats_per_char / math.log(2):.2f} bits"
        self._draw(f"epoch {self._step / self._steps_per_epoch:.1f}/{epochs}", loss)
        self._estimate()

    def evaluation(self, record: dict[str, Any], *, best: bool) -> None:
        """Show the evaluation whose line of history.jsonl is `record`."""
        nats = record["validation_nats_per_char"]
        novelty = record.get("novelty")
        new = f"{novelty['new']:.0%} of {novelty['lines']:.0f} sampled lines are new\n" if novelty else ""
        self._bar.write(
            f"epoch {record['epoch']:.2f}, step {record['step']}: "
            f"training {record['training_nats_per_char']:.4f}, validation {nats:.4f} nats/{self._unit} "
            f"({nats / math.log(2):.4f} bits/{self._unit}{', the best so far' if best else ''})\n"
            f"{new}{record['samples'][SHOWN_TEMPERATURE]}\n"
        )

    def correction(self, total_steps: int) -> None:
        """Show that the run was given another total of steps."""
        self._bar.write(f"{total_steps:,} steps in place of {self._total_steps:,}, for the run to end in time.")
        self._bar.total = self._total_steps = total_steps

    def _line(self, text: str, loss: str) -> str:
        share = f"step {self._step:,} of {self._total_steps:,} ({self._step / self._total_steps:.0%})"
        return ", ".join(part for part in (text, share, loss) if part)

    def _estimate(self) -> None:
        """Print once how long the run will take, from the speed of its first steps."""
        self._steps_taken += 1
        now_s = time.monotonic()
        if self._steps_taken == STEPS_COMPILED:
            self._compiled_s = now_s
        measured_s = now_s - self._compiled_s
        if self._is_estimated or self._steps_taken <= STEPS_COMPILED or measured_s < SECONDS_MEASURED:
            return
        self._is_estimated = True
        step_s = measured_s / (self._steps_taken - STEPS_COMPILED) / TRAINING_SHARE
        minutes = step_s * (self._total_steps - self._step) / 60
        self._bar.write(estimate(minutes, self._total_steps / self._steps_per_epoch))


def estimate(minutes: float, epochs: float) -> str:
    """The sentence with a run's expected time, and the number of epochs that a shorter time would give."""
    sentence = f"About {minutes:.0f} minutes" if minutes >= 1.5 else "About a minute"
    shorter = [number for number in ROUND_MINUTES if number <= minutes / 2]
    if not shorter:
        return f"{sentence}."
    times = f"{epochs * shorter[-1] / minutes:.2g}"
    return f"{sentence}; --minutes {shorter[-1]} would read the text {times} times instead of {epochs:.4g}."
