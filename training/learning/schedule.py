"""The learning rate of a step: a pure function of the configuration and of what has been measured so far."""

import math
from collections.abc import Sequence

from training.config import TrainConfig


def learning_rate(
    config: TrainConfig, step: int, *, steps_per_epoch: int, validation_losses: Sequence[float] = ()
) -> float:
    """The rate of step `step` (from 0): linear warm-up to the configured rate, then its schedule.

    cosine: half a cosine down to zero (Loshchilov and Hutter 2016, arXiv 1608.03983). step: times `decay_rate` after
    each epoch from `decay_after` epochs on (char-rnn). plateau: times `decay_rate` whenever `decay_after` evaluations
    in a row brought no new best.
    """
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return config.learning_rate * warmup * _factor(config, step, steps_per_epoch, validation_losses)


def _factor(config: TrainConfig, step: int, steps_per_epoch: int, validation_losses: Sequence[float]) -> float:
    if config.schedule == "cosine":
        return 0.5 + 0.5 * math.cos(math.pi * step / config.total_steps(steps_per_epoch))
    after = max(1, config.decay_after)
    if config.schedule == "step":
        return config.decay_rate ** max(0, step // steps_per_epoch - after + 1)
    if config.schedule == "plateau":
        return config.decay_rate ** _plateaus(validation_losses, after)
    return 1.0


def has_ended(config: TrainConfig, step: int, total_steps: int, losses: Sequence[float]) -> bool:
    """All steps are taken, or `patience` evaluations in a row brought no new best."""
    return step >= total_steps or 0 < config.patience <= evaluations_since_best(losses)


def evaluations_since_best(losses: Sequence[float]) -> int:
    """How many evaluations in a row, up to the last one, brought no new best."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _plateaus(losses: Sequence[float], length: int) -> int:
    """How many times `length` evaluations in a row brought no new best."""
    found, since, best = 0, 0, math.inf
    for loss in losses:
        since = 0 if loss < best else since + 1
        best = min(best, loss)
        if since == length:
            found, since = found + 1, 0
    return found
