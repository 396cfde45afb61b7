"""Dropout whose randomness is an argument (Srivastava et al. 2014)."""

from typing import Any

import tensorflow as tf


def dropout(x: tf.Tensor, rate: float, seed: Any, *, compiled: bool) -> tf.Tensor:
    """`x` with this share of its numbers zero and the others scaled up to keep the sum; `seed` is two int64.

    `compiled`: the caller is under XLA, whose generators are 5 to 200 times as slow but for this one.
    """
    generator = "threefry" if compiled else "philox"
    kept = tf.random.stateless_uniform(tf.shape(x), seed, dtype=tf.float32, alg=generator) >= rate
    return tf.where(kept, x / (1 - rate), tf.zeros_like(x))
