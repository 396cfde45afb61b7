"""Compares a recurrence over a window, and its gradient, with the NumPy cell of the same equations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

STREAMS, STEPS, UNITS = 3, 6, 4


def random_arrays(gates: int, states: int) -> tuple[Any, list[Any], Any]:
    """inputs [T, N, gates x H], the state before them, and a recurrent kernel [H, gates x H]."""
    generator = np.random.default_rng(7)
    inputs = generator.normal(size=(STEPS, STREAMS, gates * UNITS))
    state = [generator.normal(size=(STREAMS, UNITS)) for _ in range(states)]
    return inputs, state, generator.normal(0, 0.5, (UNITS, gates * UNITS))


def assert_agrees(run: Callable[..., Any], oracle: Any, inputs: Any, state: list[Any], weights: list[Any]) -> None:
    """Compare `run(inputs, *state, *weights)` with `oracle`, whose input kernel is the identity and whose bias is 0."""
    expected, expected_state, tape = oracle.forward(inputs.transpose(1, 0, 2), tuple(state))
    tensors = [tf.constant(array) for array in (inputs, *state, *weights)]
    factors = np.random.default_rng(8).normal(size=expected.shape)  # a random sum of all h has a gradient everywhere
    with tf.GradientTape() as watched:
        watched.watch(tensors)
        hs, *after = run(*tensors)
        total = tf.reduce_sum(hs * factors.transpose(1, 0, 2))
    np.testing.assert_allclose(tf.transpose(hs, (1, 0, 2)), expected, rtol=0, atol=1e-13)
    for found, array in zip(after, expected_state, strict=True):
        np.testing.assert_allclose(found, array, rtol=0, atol=1e-13)
    d_inputs, (_, d_recurrent, _, *d_others) = oracle.backward(factors, tape)
    gradients = watched.gradient(total, tensors)
    found_inputs, found_weights = gradients[0], gradients[1 + len(state) :]
    np.testing.assert_allclose(tf.transpose(found_inputs, (1, 0, 2)), d_inputs, rtol=0, atol=1e-12)
    for found, array in zip(found_weights, [d_recurrent, *d_others], strict=True):
        np.testing.assert_allclose(found, array, rtol=0, atol=1e-12)
