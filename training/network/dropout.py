"""Dropout whose randomness is an argument (Srivastava et al. 2014)."""

from typing import Any

import keras
from keras import ops


def dropout(x: Any, rate: float, seed: Any, *, compiled: bool) -> Any:
    """Set this share of the numbers of `x` to zero, and scale the others up to keep the expected sum.

    Args:
        x: of any shape.
        rate: the share, at least 0 and below 1.
        seed: two integers; the same seed gives the same zeros.
        compiled: whether the caller is compiled by TensorFlow's XLA, where threefry is the only fast generator: the
            others are 5 to 200 times as slow.
    """
    return ops.where(_uniform(ops.shape(x), seed, compiled=compiled) >= rate, x / (1 - rate), 0.0)


def _uniform(shape: Any, seed: Any, *, compiled: bool) -> Any:
    """Numbers in [0, 1) that follow from `seed`. Keras' own generators need the seed when they are compiled."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.random.uniform(seed.astype("uint32"), shape)
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, seed, alg="threefry" if compiled else "philox")
