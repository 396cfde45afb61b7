"""The configuration of a retraining run: that of the served version, with as many steps as its time limit allows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from training.config import INHERITED, TrainConfig, with_decay_of_optimizer
from training.errors import InputError
from training.learning.budget import MIN_STEPS, of_steps, within
from training.learning.run import TrainingRun
from training.retraining.config import Job
from training.retraining.gate import MAX_CHARS

GATE_SHARE = 0.2  # of the time that is left when training begins: for comparing the old and the new version
EVALUATIONS = 6


def config_of(job: Job, served: Mapping[str, Any] | None) -> TrainConfig:
    """The configuration for the next version of a model, before the time limit is known.

    It is the configuration of the served version, changed by the settings of the job; for the first version, it is made
    of these settings alone.

    Args:
        job: The model's table in nightly.toml.
        served: Manifest of the served version, or None.

    Raises:
        InputError: the settings require another network than that of the served version.
    """
    first = job.first_config()
    if served is None:
        return first
    parent = TrainConfig.from_json(served["config"])
    for name in sorted(set(job.settings) & set(INHERITED)):
        if (wanted := job.settings[name]) != (found := getattr(parent, name)):
            raise InputError(
                f"The settings of {job.name} have {name} {wanted}, and version {served['version']} has {found}: "
                "another network needs another name."
            )
    settings = with_decay_of_optimizer(job.settings) if "optimizer" in job.settings else job.settings
    config = replace(parent, **{"leave_out": "none"} | settings)  # its blocks are of the earlier text
    return replace(
        config,
        learning_rate=job.learning_rate,
        warmup_steps=first.warmup_steps,
        epochs=job.epochs,
        steps=0,
        minutes=0.0,
        split_by="each-file" if config.split_by == "char" else config.split_by,
        eval_chars=min(config.eval_chars, MAX_CHARS),
        patience=0,
    )


def within_budget(config: TrainConfig, run: TrainingRun, deadline_s: float) -> TrainConfig:
    """The configuration with as many of its steps as fit before a deadline, the gate included.

    Args:
        config: The configuration of `run`.
        run: A run at step 0, to measure with; it cannot be used afterwards.
        deadline_s: Of time.monotonic().

    Raises:
        Stopped: the run's stages were asked to stop.
    """
    affordable = within(config, run, deadline_s, reserve=GATE_SHARE).steps
    steps = max(MIN_STEPS, min(run.total_steps, affordable))
    return of_steps(config, steps, run.steps_per_epoch, EVALUATIONS)
