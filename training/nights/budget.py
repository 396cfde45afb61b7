"""How a night trains: as the version that serves was trained, for as many steps as the budget has time for."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.config import OF_THE_PARENT, TrainConfig
from training.data.corpus import Corpus
from training.errors import InputError
from training.learning.network import NetworkWeights
from training.learning.run import TrainingRun
from training.nights.config import Job
from training.nights.gate import JUDGED_CHARS

TRAINING_SHARE = 0.8  # of the budget that is left when training begins: the rest is for judging and publishing
EVALUATIONS = 6
MIN_STEPS = 25
SECONDS_MEASURED, STEPS_MEASURED, STEPS_COMPILED = 10, 50, 3


def config_of(job: Job, served: Mapping[str, Any] | None) -> TrainConfig:
    """The network of the version that serves, from its manifest, trained as it was; what the job says goes before it.

    Raises:
        InputError: the job's settings ask for another network than the version has.
    """
    first = job.first_config()
    if served is None:
        return first
    parent = TrainConfig.from_json(served["config"])
    for name in sorted(set(job.settings) & set(OF_THE_PARENT)):
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
        split_by="each-file" if config.split_by == "char" else config.split_by,
        eval_chars=min(config.eval_chars, JUDGED_CHARS),
        patience=0,
    )


def within_budget(
    config: TrainConfig, corpus: Corpus, folder: Path, weights: NetworkWeights | None, seconds: float
) -> TrainConfig:
    """As many of the epochs as there are seconds for from now on, by the speed of some steps."""
    deadline_s = time.monotonic() + seconds
    run = TrainingRun(config, corpus, folder, start_from=weights)
    for _ in range(STEPS_COMPILED):
        run.take_step()
    began_s, taken = time.monotonic(), 0
    while taken < STEPS_MEASURED and time.monotonic() - began_s < SECONDS_MEASURED:
        run.take_step()
        taken += 1
    now_s = time.monotonic()
    affordable = int(taken / (now_s - began_s) * TRAINING_SHARE * (deadline_s - now_s))
    steps = max(MIN_STEPS, min(run.total_steps, affordable))
    return replace(
        config,
        steps=steps,
        warmup_steps=min(config.warmup_steps, steps // 10),
        eval_every=steps / run.steps_per_epoch / EVALUATIONS,
    )
