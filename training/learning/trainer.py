"""Trainer: a network, its optimizer and the moving average of its weights, which training steps change.

Knows windows of ids and states; knows no text, file or epoch. step.py and step_jax.py compile the steps for a backend.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from training.config import TrainConfig
from training.data.windows import Window
from training.learning.schedule import make_optimizer
from training.network.network import Network

# Keeps the seeds of two steps apart: more dropouts than a network has.
MAX_DROPOUTS = 2**8


class Trainer(ABC):
    """Takes optimisation steps on `network`, and computes its logits without dropout.

    The caller owns the recurrent state [S, N, H]: it goes in and comes out of every call.

    `steps_in_flight` steps may be started before the loss of the first is read: more than 1 where the host would
    otherwise wait for a device.
    """

    steps_in_flight = 1
    replicas: int | None = None  # that the rows of a batch are split between, which dropout seeds follow

    def __init__(self, network: Network, config: TrainConfig) -> None:
        self.network, self._config = network, config
        self._optimizer = make_optimizer(config)
        self._optimizer.build(network.trainable_variables)
        self._averages = [keras.Variable(variable) for variable in network.trainable_variables] if config.ema else []

    @abstractmethod
    def train(self, window: Window, state: Any, *, rate: float, step: int) -> tuple[Any, Any, Any]:
        """Take one optimisation step over `window` at learning rate `rate`.

        The gradient ends at the window's start (truncated back-propagation through time). `step` and the configured
        seed are all the randomness of the dropout.

        Returns:
            The mean loss in nats per character, the gradient's norm before clipping, the state after the window. A
            device may still compute them; reading them waits for it.
        """

    @abstractmethod
    def read(self, previous: Any, state: Any) -> tuple[Any, Any]:
        """Logits [N, T, V] and the state after `previous` [N, T], without dropout, for any N and T."""

    @abstractmethod
    def losses(self, logits: Any, targets: Any) -> Any:
        """Nats of each target: [N, T] from logits [N, T, V] and targets [N, T]."""

    @property
    def variables(self) -> dict[str, list[Any]]:
        """All variables that an exact resume needs, by group."""
        return {
            "network": self.network.variables,
            "optimizer": self._optimizer.variables,
            "averages": self._averages,
        }

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network its averaged weights inside the `with`; changes nothing where no average is kept."""
        variables = self.network.trainable_variables if self._averages else []
        trained = [variable.numpy() for variable in variables]
        for variable, average in zip(variables, self._averages, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, array in zip(variables, trained, strict=True):
                variable.assign(array)

    def _ema_update_rate(self, step: int) -> float:
        """The weights' share in their average after `step`: `average += (weights - average) * rate`.

        Larger early, so that the random initial weights wash out (TensorFlow's ExponentialMovingAverage with
        `num_updates`).
        """
        return 1 - min(self._config.ema, (1 + step) / (10 + step))
