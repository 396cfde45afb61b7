"""One optimisation step and one evaluation step, compiled. Knows arrays; knows nothing of text, files or epochs."""

import os
from typing import Any

import tensorflow as tf

from training.config import TrainConfig
from training.data.windows import Window
from training.learning.learned import Learned
from training.network.network import Network, state_shape

# Seeds apart from one another: more dropouts in a network, more replicas in a step, than there will be.
PLACES, REPLICAS = 2**8, 2**16


def next_symbol_losses(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Nats that each target cost: [N, T] from logits [N, T, V]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def use_one_core_per_replica() -> None:
    """Compute each replica's operations on one core, and the replicas side by side. Before anything is computed.

    A core for each replica beats all cores in one matrix product after the other (docs/experiments.md).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    tf.config.threading.set_intra_op_parallelism_threads(cores())  # XLA runs each replica on one of these
    tf.config.threading.set_inter_op_parallelism_threads(cores())


class Trainer(Learned):
    """Takes optimisation steps, and reads.

    The batch is shared out between `replicas`, one for each core or a GPU. The gradient flows through the window and no
    further (truncated back-propagation through time).
    """

    def __init__(self, network: Network, config: TrainConfig, *, replicas: int | None = None) -> None:
        # A resumed run is to end with the same bits as one that was never stopped.
        tf.config.experimental.enable_op_determinism()
        super().__init__(network, config)
        replicas = min(replicas or cores(), config.batch_size)
        self._rows = [config.batch_size // replicas + (i < config.batch_size % replicas) for i in range(replicas)]
        self._replica = tf.function(self._replica_step, jit_compile=network.is_compiled)
        self._step = tf.function(self._training_step)
        self._read = tf.function(
            lambda previous, state: network(previous, state),
            input_signature=[
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((state_shape(config, 1)[0], None, config.units), network.compute_dtype),
            ],
        )

    def train(self, window: Window, state: Any, *, rate: float, step: int) -> tuple[float, float, Any]:
        """One optimisation step over `window`: its mean loss in nats, the gradient's norm before clipping, the state.

        `step` and the configured seed are all the randomness of its dropout.
        """
        self._optimizer.learning_rate.assign(rate)
        seed = tf.constant([self._config.seed, step * PLACES * REPLICAS], tf.int64)
        news = tf.constant(self._news(step), self.network.variable_dtype)
        loss, norm, state = self._step(window.previous, window.targets, window.reset, state, seed, news)
        return float(loss), float(norm), state

    def read(self, previous: Any, state: Any) -> tuple[Any, Any]:
        """Logits [N, T, V] and the state after `previous` [N, T], without dropout, for any N and T."""
        logits, state = self._read(previous, state)
        return logits, state

    def _replica_step(self, previous: tf.Tensor, targets: tf.Tensor, state: tf.Tensor, seed: Any, total: Any) -> Any:
        with tf.GradientTape() as tape:
            logits, new_state = self.network(previous, state, seed)
            loss = tf.reduce_sum(next_symbol_losses(logits, targets)) / total
        gradients = tape.gradient(loss, self.network.trainable_variables)
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients], new_state

    def _training_step(self, previous: Any, targets: Any, fresh: Any, state: Any, seed: Any, news: Any) -> Any:
        state = tf.where(fresh[None, :, None], tf.zeros_like(state), state)
        total = tf.cast(tf.size(targets), state.dtype)
        shares = zip(
            tf.split(previous, self._rows),
            tf.split(targets, self._rows),
            tf.split(state, self._rows, axis=1),
            strict=True,
        )
        done = [
            self._replica(*share, seed + tf.constant([0, i * PLACES], tf.int64), total)
            for i, share in enumerate(shares)
        ]
        losses, gradients, states = zip(*done, strict=True)
        clipped, norm = self._clipped([tf.add_n(parts) for parts in zip(*gradients, strict=True)])
        self._optimizer.apply(clipped, self.network.trainable_variables)
        for average, variable in zip(self._averages, self.network.trainable_variables, strict=False):
            average.assign_add((variable - average) * news)
        return tf.add_n(losses), norm, tf.concat(states, axis=1)

    def _clipped(self, gradients: list[Any]) -> tuple[list[Any], Any]:
        norm, limit = tf.linalg.global_norm(gradients), self._config.grad_clip
        if not limit:
            return gradients, norm
        if self._config.clip_by == "value":
            return [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients], norm
        return tf.clip_by_global_norm(gradients, limit, use_norm=norm)[0], norm


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
