"""How a night trains: as the version that serves was trained, for as many steps as the budget has time for."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.config import INHERITED, TrainConfig
from training.data.corpus import Corpus
from training.errors import InputError
from training.learning.budget import MIN_STEPS, of_steps, within
from training.learning.run import TrainingRun
from training.network.weights import NetworkWeights
from training.retraining.config import Job
from training.retraining.gate import JUDGED_CHARS

JUDGING_SHARE = 0.2  # of the budget that is left when training begins: for comparing the old and the new version
EVALUATIONS = 6


def config_of(job: Job, served: Mapping[str, Any] | None) -> TrainConfig:
    """The network of the version that serves, from its manifest, trained as it was; what the job says goes before it.

    Raises:
        InputError: the job's settings ask for another network than the version has.
    """
    first = job.first_config()
    if served is None:
        return first
    parent = TrainConfig.from_json(served["config"])
    for name in sorted(set(job.settings) & set(INHERITED)):
        if (wanted := job.settings[name]) != (found := getattr(parent, name)):
            raise InputError(
                f"The settings say {name} {wanted}, and version {served['version']} has {found}: "
                "another network needs another name."
            )
    config = replace(parent, **job.settings)
    return replace(
        config,
        learning_rate=job.learning_rate,
        warmup_steps=first.warmup_steps,
        epochs=job.epochs,
        steps=0,
        minutes=0.0,
        split_by="each-file" if config.split_by == "char" else config.split_by,
        eval_chars=min(config.eval_chars, JUDGED_CHARS),
        patience=0,
    )


def within_budget(
    config: TrainConfig,
    corpus: Corpus,
    folder: Path,
    weights: NetworkWeights | None,
    seconds: float,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainConfig:
    """As many of the epochs as there are seconds for from now on, by the speed of some steps.

    Raises:
        Stopped: `should_stop` says so.
    """
    run = TrainingRun(config, corpus, folder, start_from=weights)
    run.stages.should_stop = should_stop
    affordable = within(config, run, time.monotonic() + seconds, reserve=JUDGING_SHARE).steps
    steps = max(MIN_STEPS, min(run.total_steps, affordable))
    return of_steps(config, steps, run.steps_per_epoch, EVALUATIONS)
