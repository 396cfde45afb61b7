"""The optimizers by name. Knows no step and no schedule."""

import keras

from training.config import TrainConfig


def make_optimizer(config: TrainConfig) -> keras.Optimizer:
    """The optimizer of a configuration; its rate is set before each step."""
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": lambda **options: keras.optimizers.RMSprop(rho=0.95, **options),  # char-rnn's
        "adagrad": keras.optimizers.Adagrad,
        "sgd": lambda **options: keras.optimizers.SGD(momentum=0.9, nesterov=True, **options),
    }
    decay = config.weight_decay if config.weight_decay or config.optimizer == "adamw" else None  # AdamW wants a number
    optimizer = kinds[config.optimizer](learning_rate=config.learning_rate, weight_decay=decay)
    # Decay keeps products small. A bias has no product, and the embedding begins at N(0,1) for a reason (network.py).
    optimizer.exclude_from_weight_decay(var_names=["bias", "embedding"])
    return optimizer
