"""The training step on TensorFlow, compiled, the batch split between replicas.

Knows windows of ids and states; knows no text, file or epoch.
"""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from training.config import TrainConfig
from training.data.windows import Window
from training.learning.cores import cores
from training.learning.trainer import MAX_DROPOUTS, Trainer
from training.network.network import Network, state_shape

# Keeps the seeds of two replicas apart: more replicas than a step has.
MAX_REPLICAS = 2**16


def next_symbol_losses(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Nats of each target: [N, T] from logits [N, T, V] and targets, ids [N, T] or probabilities [N, T, V]."""
    if len(targets.shape) == 3:
        return tf.nn.softmax_cross_entropy_with_logits(labels=tf.cast(targets, logits.dtype), logits=logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def use_one_core_per_replica(replicas: int | None = None) -> None:
    """Compute each replica's operations on one core, and the replicas side by side. Call before anything is computed.

    One core for each replica is faster than all cores for one matrix product after the other (docs/experiments.md).
    The bits of a gradient's norm depend on the number of threads. So it is the number of `replicas` of the run, by
    default one for each core, also where other workers compute some of them or this machine has fewer cores.
    """
    replicas = replicas or cores()
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    tf.config.threading.set_intra_op_parallelism_threads(replicas)  # XLA runs each replica on one of these
    tf.config.threading.set_inter_op_parallelism_threads(cores())


class TensorFlowTrainer(Trainer):
    """A `Trainer` that splits the rows of a batch between `replicas`: one for each core, or one for a GPU.

    `rows` are the rows of each replica of this process, which computes a `share` of the replicas, by default all.
    `streams` are these rows together.
    """

    def __init__(
        self, network: Network, config: TrainConfig, *, replicas: int | None = None, share: range | None = None
    ) -> None:
        # A resumed run must end with the same bits as an uninterrupted one.
        tf.config.experimental.enable_op_determinism()
        super().__init__(network, config)
        replicas = min(replicas or cores(), config.batch_size)
        rows = [config.batch_size // replicas + (i < config.batch_size % replicas) for i in range(replicas)]
        self.replicas, self._share = replicas, share or range(replicas)
        self.rows = [rows[i] for i in self._share]
        before = sum(rows[: self._share.start])
        self.streams = slice(before, before + sum(self.rows))
        self._replica = tf.function(self._replica_step, jit_compile=network.is_compiled, autograph=False)
        self._step = tf.function(self._training_step, autograph=False)
        self._read = tf.function(
            lambda previous, state: network(previous, state),
            input_signature=[
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((state_shape(config, 1)[0], None, config.units), network.compute_dtype),
            ],
            autograph=False,
        )

    def train(self, window: Window, state: Any, *, rate: float, step: int) -> tuple[float, float, Any]:
        """One optimisation step, as `Trainer.train`."""
        seed = np.array([self._config.seed, step * MAX_DROPOUTS * MAX_REPLICAS], np.int64)
        rates = np.array([rate, self._ema_update_rate(step)], self.network.variable_dtype)
        loss_and_norm, state = self._step((window.previous, window.targets, window.reset), state, seed, rates)
        loss, norm = loss_and_norm.numpy().tolist()
        return loss, norm, state

    def read(self, previous: Any, state: Any) -> tuple[Any, Any]:
        """Logits and state, as `Trainer.read`."""
        logits, state = self._read(previous, state)
        return logits, state

    def losses(self, logits: Any, targets: Any) -> tf.Tensor:
        """Nats of each target, as `Trainer.losses`."""
        return next_symbol_losses(logits, targets)

    def _training_step(self, batch: Any, state: Any, seed: Any, rates: Any) -> Any:
        """`batch`: previous [N, T], targets [N, T] or [N, T, V], reset [N]."""
        previous, targets, reset = batch
        state = tf.where(reset[None, :, None], tf.zeros_like(state), state)
        total = tf.cast(self._config.batch_size * tf.shape(targets)[1], state.dtype)
        shares = zip(
            tf.split(previous, self.rows),
            tf.split(targets, self.rows),
            tf.split(state, self.rows, axis=1),
            strict=True,
        )
        done = [
            self._replica(*share, seed + tf.constant([0, i * MAX_DROPOUTS], tf.int64), total)
            for i, share in zip(self._share, shares, strict=True)
        ]
        losses, gradients, states = zip(*done, strict=True)
        loss, gradient = self._summed(losses, gradients)
        norm = self._update_weights(gradient, rates)
        return tf.stack([loss, norm]), tf.concat(states, axis=1)

    def _summed(self, losses: Any, gradients: Any) -> tuple[Any, list[Any]]:
        """The loss and the gradient of all replicas."""
        return tf.add_n(losses), [tf.add_n(parts) for parts in zip(*gradients, strict=True)]

    def _update_weights(self, gradient: list[Any], rates: Any) -> Any:
        """Take the optimizer's step and update the averages; returns the gradient's norm before clipping."""
        variables = self.network.trainable_variables
        clipped, norm = self._clipped(gradient)
        self._optimizer.learning_rate.assign(tf.cast(rates[0], self._optimizer.learning_rate.dtype))
        self._optimizer.apply(clipped, variables)
        for average, variable in zip(self._averages, variables, strict=False):
            average.assign_add((variable - average) * rates[1])
        return norm

    def _replica_step(self, previous: tf.Tensor, targets: tf.Tensor, state: tf.Tensor, seed: Any, total: Any) -> Any:
        """The share of a replica's rows in the loss of all `total` targets, its gradient, and their new state."""
        with tf.GradientTape() as tape:
            logits, new_state = self.network(previous, state, seed)
            loss = tf.reduce_sum(next_symbol_losses(logits, targets)) / total
        gradients = tape.gradient(loss, self.network.trainable_variables)
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients], new_state

    def _clipped(self, gradients: list[Any]) -> tuple[list[Any], Any]:
        norm, limit = tf.linalg.global_norm(gradients), self._config.grad_clip
        if not limit:
            return gradients, norm
        if self._config.clip_by == "value":
            return [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients], norm
        return tf.clip_by_global_norm(gradients, limit, use_norm=norm)[0], norm
