"""The optimizer, the learning rate of each step, and the end of a run: pure functions of the configuration and losses.

Knows no step and no network. Keras is imported only where an optimizer is made: the report and the command line compute
rates without it.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.config import TrainConfig

if TYPE_CHECKING:
    import keras


def make_optimizer(config: TrainConfig) -> "keras.Optimizer":
    """The optimizer of a configuration; its learning rate is set before each step."""
    import keras

    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": lambda **options: keras.optimizers.RMSprop(rho=0.95, **options),  # as in char-rnn
        "adagrad": keras.optimizers.Adagrad,
        "sgd": lambda **options: keras.optimizers.SGD(momentum=0.9, nesterov=True, **options),
    }
    # Keras' AdamW requires a number; the others take None for no decay.
    decay = config.weight_decay if config.weight_decay or config.optimizer == "adamw" else None
    optimizer = kinds[config.optimizer](learning_rate=config.learning_rate, weight_decay=decay)
    # Weight decay keeps matrix products small. A bias is in no product, and the embedding starts at N(0, 1) on purpose
    # (network.py).
    optimizer.exclude_from_weight_decay(var_names=["bias", "embedding"])
    return optimizer


def decay_epochs(config: TrainConfig, steps_per_epoch: int) -> float:
    """The time scale of weight decay, in epochs at the peak learning rate; infinite without decay.

    Without a gradient, a weight falls to 1/e of itself in this time (Wang and Aitchison 2024, arXiv 2405.13698).
    """
    strength = config.learning_rate * config.weight_decay * steps_per_epoch
    return 1 / strength if strength else math.inf


def decay_note(config: TrainConfig, steps_per_epoch: int) -> str:
    """A sentence with the time scale of weight decay; empty without decay."""
    epochs = decay_epochs(config, steps_per_epoch)
    return f"Weight decay has a time scale of {epochs:.3g} epochs." if math.isfinite(epochs) else ""


def warm_up_steps(config: TrainConfig, steps_per_epoch: int) -> int:
    """The steps of the warm-up: a run of few steps has a shorter one, or it would end before its peak rate."""
    return min(config.warmup_steps, config.total_steps(steps_per_epoch) // 10)


def learning_rate(
    config: TrainConfig, step: int, *, steps_per_epoch: int, validation_losses: Sequence[float] = ()
) -> float:
    """The rate of step `step` (from 0): linear warm-up to the configured rate, times the factor of the schedule.

    - cosine: half a cosine down to zero (Loshchilov and Hutter 2016, arXiv 1608.03983)
    - step: multiplied by `decay_rate` after each epoch from `decay_after` epochs on (char-rnn)
    - plateau: multiplied by `decay_rate` each time `decay_after` evaluations in a row brought no new best
    - constant: 1
    """
    warmup = min(1.0, (step + 1) / (warm_up_steps(config, steps_per_epoch) + 1))
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


def has_ended(config: TrainConfig, step: int, total_steps: int, validation_losses: Sequence[float]) -> bool:
    """Whether all steps are taken, or `patience` evaluations in a row brought no new best."""
    return step >= total_steps or 0 < config.patience <= evaluations_since_best(validation_losses)


def evaluations_since_best(validation_losses: Sequence[float]) -> int:
    """The number of evaluations after the first one with the lowest loss."""
    return len(validation_losses) - 1 - validation_losses.index(min(validation_losses)) if validation_losses else 0


def _plateaus(validation_losses: Sequence[float], length: int) -> int:
    """How many times `length` evaluations in a row brought no new best."""
    found, since, best = 0, 0, math.inf
    for loss in validation_losses:
        since = 0 if loss < best else since + 1
        best = min(best, loss)
        if since == length:
            found, since = found + 1, 0
    return found
