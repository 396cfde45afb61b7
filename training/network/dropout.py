"""Dropout whose randomness is an argument (Srivastava et al. 2014)."""

from typing import Any

import keras
from keras import ops


def dropout(x: Any, rate: float, seed: Any, *, compiled: bool) -> Any:
    """`x` with this share of its numbers zero and the others scaled up to keep the sum; `seed` is two whole numbers.

    `compiled`: the caller is under TensorFlow's XLA, whose generators are 5 to 200 times as slow but for one.
    """
    return ops.where(_uniform(ops.shape(x), seed, compiled=compiled) >= rate, x / (1 - rate), 0.0)


def _uniform(shape: Any, seed: Any, *, compiled: bool) -> Any:
    """Numbers in [0, 1) that `seed` alone decides: Keras' own take a seed that is known before compilation only."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.random.uniform(seed.astype("uint32"), shape)
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, seed, alg="threefry" if compiled else "philox")
