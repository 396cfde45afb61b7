"""The training step on Keras' JAX backend, for machines whose GPU is supported by JAX and not by TensorFlow.

Imports no TensorFlow.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from training.config import TrainConfig
from training.data.windows import Window
from training.learning.trainer import MAX_DROPOUTS, Trainer
from training.network.network import Network


class JaxTrainer(Trainer):
    """A `Trainer` whose step is compiled by JAX; the batch is not split.

    A step is only started: the host prepares the next ones while the device computes. Weights, optimizer and state are
    donated to the step, which writes the new ones in their place.
    """

    steps_in_flight = 32

    def __init__(self, network: Network, config: TrainConfig) -> None:
        super().__init__(network, config)
        # An average starts as a copy: a buffer cannot be donated twice.
        for average in self._averages:
            average.assign(np.array(average))
        self._step = jax.jit(self._training_step, donate_argnums=(0, 2))
        self._read = jax.jit(lambda values, previous, state: self._logits(values, previous, state, None))
        self._losses = jax.jit(_next_symbol_losses)

    def train(self, window: Window, state: Any, *, rate: float, step: int) -> tuple[Any, Any, Any]:
        """Start one optimisation step, as `Trainer.train`. `state` cannot be used afterwards if it is a JAX array."""
        self._optimizer.learning_rate.assign(rate)
        seed = np.array([self._config.seed % 2**32, step * MAX_DROPOUTS % 2**32], np.uint32)
        groups = list(self.variables.values())
        before = [[variable.value for variable in group] for group in groups]
        batch = (window.previous, window.targets, window.reset)
        loss, norm, state, after = self._step(before, batch, state, seed, np.float32(self._ema_update_rate(step)))
        for variables, values in zip(groups, after, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return loss, norm, state

    def read(self, previous: Any, state: Any) -> tuple[Any, Any]:
        """Logits and state, as `Trainer.read`."""
        values = [variable.value for variable in self.network.trainable_variables]
        logits, state = self._read(values, previous, state)
        return logits, state

    def losses(self, logits: Any, targets: Any) -> Any:
        """Nats of each target, as `Trainer.losses`."""
        return self._losses(logits, targets)

    def _logits(self, values: Any, previous: Any, state: Any, seed: Any) -> Any:
        outputs, _ = self.network.stateless_call(values, [], previous, state, seed)
        return outputs

    def _training_step(self, groups: Any, batch: Any, state: Any, seed: Any, ema_update_rate: Any) -> Any:
        """`batch`: previous [N, T], targets [N, T], reset [N]."""
        values, slots, averages = groups
        previous, targets, reset = batch
        state = jnp.where(reset[None, :, None], 0.0, state)

        def loss_of(values: Any) -> Any:
            logits, new_state = self._logits(values, previous, state, seed)
            return _next_symbol_losses(logits, targets).mean(), new_state

        (loss, state), gradients = jax.value_and_grad(loss_of, has_aux=True)(values)
        clipped, norm = self._clipped(gradients)
        values, slots = self._optimizer.stateless_apply(slots, clipped, values)
        averages = [
            average + (value - average) * ema_update_rate for average, value in zip(averages, values, strict=False)
        ]
        return loss, norm, state, (values, slots, averages)

    def _clipped(self, gradients: list[Any]) -> tuple[list[Any], Any]:
        norm = jnp.sqrt(sum(jnp.sum(gradient**2) for gradient in gradients))
        limit = self._config.grad_clip
        if not limit:
            return gradients, norm
        if self._config.clip_by == "value":
            return [jnp.clip(gradient, -limit, limit) for gradient in gradients], norm
        scale = limit / jnp.maximum(norm, limit)
        return [gradient * scale for gradient in gradients], norm


def _next_symbol_losses(logits: Any, targets: Any) -> Any:
    """Nats of each target: [N, T] from logits [N, T, V] and targets [N, T]."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, :, None], axis=-1)[:, :, 0]
