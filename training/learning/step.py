"""One optimisation step and one evaluation step, compiled. Knows arrays; knows nothing of text, files or epochs."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from training.config import TrainConfig

Step = Callable[..., Any]  # a compiled tf.function


def next_symbol_losses(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Nats that each target cost: [N, T] from logits [N, T, V]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def make_training_step(network: keras.Model, optimizer: keras.Optimizer, grad_clip: float) -> Step:
    """A step (previous, targets, fresh, state) -> (mean loss in nats, gradient norm, state).

    The gradient flows through the window and no further (truncated back-propagation through time); its global norm
    is clipped to `grad_clip`.
    """
    # A resumed run is to end with the same bits as one that was never stopped.
    tf.config.experimental.enable_op_determinism()
    variables = network.trainable_variables
    optimizer.build(variables)

    def training_step(previous: tf.Tensor, targets: tf.Tensor, fresh: tf.Tensor, state: tf.Tensor) -> Any:
        state = tf.where(fresh[None, :, None], tf.zeros_like(state), state)
        with tf.GradientTape() as tape:
            logits, new_state = network([previous, state], training=True)
            loss = tf.reduce_mean(next_symbol_losses(logits, targets))
        gradients, norm = tf.clip_by_global_norm(tape.gradient(loss, variables), grad_clip)
        optimizer.apply(gradients, variables)
        return loss, norm, new_state

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
