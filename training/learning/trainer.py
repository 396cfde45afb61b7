"""What an optimisation step changes, on every backend: a network, its optimizer and the average of its weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from training.config import TrainConfig
from training.learning.optimizer import make_optimizer
from training.network.network import Network


class Learned:
    """The variables that `Trainer` and `JaxLearner` take their steps on."""

    def __init__(self, network: Network, config: TrainConfig) -> None:
        self.network, self._config = network, config
        self._optimizer = make_optimizer(config)
        self._optimizer.build(network.trainable_variables)
        self._averages = [keras.Variable(variable) for variable in network.trainable_variables] if config.ema else []

    @property
    def variables(self) -> dict[str, list[Any]]:
        """Everything to keep for an exact resume, by what it is."""
        return {
            "network": self.network.variables,
            "optimizer": self._optimizer.variables,
            "averages": self._averages,
        }

    def _news(self, step: int) -> float:
        """The weights' share in their average after a step: large at first, or random ones would be in it for long.

        As in TensorFlow's ExponentialMovingAverage with a number of updates.
        """
        return 1 - min(self._config.ema, (1 + step) / (10 + step))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within: the network has its averaged weights, where the configuration keeps them."""
        variables = self.network.trainable_variables if self._averages else []
        trained = [variable.numpy() for variable in variables]
        for variable, average in zip(variables, self._averages, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, array in zip(variables, trained, strict=True):
                variable.assign(array)
