"""Everything that a report needs from a run's folder. Knows no page and no framework."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.errors import InputError
from training.learning.schedule import learning_rate, warm_up_steps
from training.report.baselines import Baselines, kept_baselines
from training.report.evaluations import Evaluation, read_history

MAX_SHOWN = 200  # evaluations on a page, so that it opens quickly
WARM_UP_POINTS = 20


@dataclass(frozen=True)
class TextFacts:
    """Size of the text and of its parts, in symbols."""

    symbols: int
    vocabulary: int  # V, with the reserved id
    training: int
    validation: int


@dataclass(frozen=True)
class RunRecord:
    """A run as recorded in its folder."""

    name: str
    plan: dict[str, Any]
    evaluations: list[Evaluation]  # at least one
    text: TextFacts
    baselines: Baselines

    @cached_property
    def best(self) -> Evaluation:
        """The evaluation with the lowest validation loss, whose weights are published."""
        return min(self.evaluations, key=lambda evaluation: evaluation.validation)

    @cached_property
    def thinned(self) -> list[Evaluation]:
        """At most `MAX_SHOWN` evaluations at even distances, with the first, the best and the last."""
        count = len(self.evaluations)
        if count <= MAX_SHOWN:
            return self.evaluations
        at = {round(index * (count - 1) / (MAX_SHOWN - 2)) for index in range(MAX_SHOWN - 1)}
        return [item for index, item in enumerate(self.evaluations) if index in at or item is self.best]

    @cached_property
    def config(self) -> TrainConfig:
        """The configuration, without settings that this version of Charloom does not know."""
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        given = self.plan["config"]
        return TrainConfig.from_json({name: value for name, value in given.items() if name in known})

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every stream reads its share of the text."""
        last = self.evaluations[-1]
        return max(1, round(last.step / last.epoch)) if last.epoch > 0 else 1

    @cached_property
    def warm_up(self) -> list[tuple[float, float]]:
        """(symbols seen, learning rate) during the warm-up, which may end before the first evaluation."""
        config, steps_per_epoch = self.config, self.steps_per_epoch
        end = min(warm_up_steps(config, steps_per_epoch), self.evaluations[-1].step)
        steps = sorted({round(end * part / WARM_UP_POINTS) for part in range(WARM_UP_POINTS + 1)}) if end else []
        symbols = config.batch_size * config.window
        return [(step * symbols, learning_rate(config, step, steps_per_epoch=steps_per_epoch)) for step in steps]

    @property
    def unit(self) -> str:
        """The word for one symbol: character or byte."""
        return "byte" if self.plan["config"].get("unit") == "byte" else "character"

    @property
    def temperatures(self) -> list[str]:
        """Temperatures of the samples, ascending."""
        return sorted({key for evaluation in self.evaluations for key in evaluation.samples}, key=float)

    @property
    def parameters(self) -> int | None:
        """Number of the network's parameters, from the manifest of the published version, if there is a valid one."""
        published = self.plan.get("published")
        manifest = Path(published or "") / "assets.extra" / "manifest.json"
        if not published or not manifest.is_file():
            return None
        try:
            return int(json.loads(manifest.read_text(encoding="utf-8"))["parameters"])
        except (ValueError, KeyError, TypeError):  # a damaged version does not prevent a report of the run
            return None


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`; computes the baselines and keeps them there if they are missing.

    Raises:
        InputError: There is no run, or no valid evaluation.
    """
    if not (folder / "run.json").is_file():
        raise InputError(f"There is no run in {folder}: a report needs the folder that a training run wrote.")
    try:
        plan = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if "config" not in plan:
            raise ValueError("it has no configuration")
    except (ValueError, TypeError) as error:  # TypeError: JSON, but no object
        raise InputError(f"{folder / 'run.json'} is damaged: {error}.") from None
    evaluations = read_history(folder)
    corpus = Corpus.open(folder / "corpus")
    training, validation = corpus.training, corpus.validation
    text = TextFacts(len(corpus), len(corpus.vocabulary), len(training), len(validation))
    baselines = kept_baselines(folder, training, validation, text.vocabulary)
    return RunRecord(folder.resolve().name, plan, evaluations, text, baselines)
