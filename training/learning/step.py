"""One optimisation step and one evaluation step, compiled. Knows arrays; knows nothing of text, files or epochs."""

import math
import os
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from training.config import TrainConfig

Step = Callable[..., Any]  # a compiled tf.function


def next_symbol_losses(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Nats that each target cost: [N, T] from logits [N, T, V]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def use_one_core_per_replica() -> None:
    """Compute each replica's operations on one core, and the replicas side by side. Before anything is computed.

    A core for each replica beats all cores in one matrix product after the other (docs/experiments.md).
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(_cores())


def make_training_step(network: keras.Model, optimizer: keras.Optimizer, grad_clip: float, batch_size: int) -> Step:
    """A step (previous, targets, fresh, state) -> (mean loss in nats, gradient norm, state).

    The batch is shared out between replicas, one for each core. The gradient flows through the window and no further
    (truncated back-propagation through time); its global norm is clipped to `grad_clip`.
    """
    # A resumed run is to end with the same bits as one that was never stopped.
    tf.config.experimental.enable_op_determinism()
    variables = network.trainable_variables
    optimizer.build(variables)
    replicas = min(_cores(), batch_size)
    rows = [batch_size // replicas + (i < batch_size % replicas) for i in range(replicas)]

    def replica_step(previous: tf.Tensor, targets: tf.Tensor, state: tf.Tensor, characters: int) -> Any:
        with tf.GradientTape() as tape:
            logits, new_state = network([previous, state], training=True)
            loss = tf.reduce_sum(next_symbol_losses(logits, targets)) / characters
        return loss, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)], new_state

    def training_step(previous: tf.Tensor, targets: tf.Tensor, fresh: tf.Tensor, state: tf.Tensor) -> Any:
        state = tf.where(fresh[None, :, None], tf.zeros_like(state), state)
        characters = tf.cast(tf.size(targets), state.dtype)
        shares = zip(tf.split(previous, rows), tf.split(targets, rows), tf.split(state, rows, axis=1), strict=True)
        losses, gradients, states = zip(*(replica_step(*share, characters) for share in shares), strict=True)
        summed = [tf.add_n(parts) for parts in zip(*gradients, strict=True)]
        clipped, norm = tf.clip_by_global_norm(summed, grad_clip)
        optimizer.apply(clipped, variables)
        return tf.add_n(losses), norm, tf.concat(states, axis=1)

    compiled: Step = tf.function(training_step)
    return compiled


def make_evaluation_step(network: keras.Model) -> Step:
    """A step (previous, state) -> (logits [N, T, V], state) without dropout, for any N and T."""
    _, state_shape = network.input_shape

    def evaluation_step(previous: tf.Tensor, state: tf.Tensor) -> Any:
        return network([previous, state], training=False)

    compiled: Step = tf.function(
        evaluation_step,
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec(state_shape, network.compute_dtype),
        ],
    )
    return compiled


def learning_rate(config: TrainConfig, step: int, total_steps: int) -> float:
    """Linear warm-up to `config.learning_rate`, then half a cosine down to zero (arXiv 1608.03983)."""
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return config.learning_rate * warmup * (0.5 + 0.5 * math.cos(math.pi * step / total_steps))


def _cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
