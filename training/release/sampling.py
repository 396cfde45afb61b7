"""The sampling rule of the artifact (models/README.md) in TensorFlow ops. Knows nothing of networks.

No input makes it choose a forbidden symbol: a NaN logit is forbidden, an infinite one is the largest number, a filter
keeps at least the most likely symbol, and a parameter outside its range is set to the nearest limit. A row in which
every symbol is forbidden gets symbol 0, the reserved one.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

# For 1 / 0. Times the distance to the best logit it is 0 for the best symbol, and below every exponent for the others.
INFINITE_SHARPNESS = 3e38
SMALLEST = 2.0**-126  # the smallest normal float32; TensorFlow treats smaller numbers as 0
LARGEST = tf.float32.max
LARGEST_UNIFORM = 1 - 2.0**-24  # times any total of weights, it is below the total in float32


class Rule(NamedTuple):
    """The sampling parameters of each row, prepared once for all steps of a call."""

    sharpness: tf.Tensor  # [N, 1], 1 / temperature
    uniforms: tf.Tensor  # [K, N, 1], in [0, 1)
    top_k: tf.Tensor  # [N]
    top_p: tf.Tensor  # [N]
    has_filters: tf.Tensor  # bool: whether any row has top_k or top_p

    @classmethod
    def of(cls, uniforms: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor) -> "Rule":
        """Prepare uniforms [N, K], and temperature, top_k and top_p [N].

        At temperature 0, the most likely symbols share all probability and the uniform is 0: the lowest id is chosen.
        """
        # NaN is greedy too. Without a NOT: in a graph, TensorFlow makes ~(a >= b) a < b, which is false for NaN.
        is_warm = temperature >= SMALLEST
        sharpness = tf.where(is_warm, tf.maximum(1 / temperature, SMALLEST), INFINITE_SHARPNESS)
        # NaN becomes 0: a comparison with NaN is false.
        uniforms = tf.where(uniforms >= 0, tf.minimum(uniforms, LARGEST_UNIFORM), 0.0)
        return cls(
            sharpness=sharpness[:, None],
            uniforms=tf.transpose(tf.where(is_warm[:, None], uniforms, 0.0))[:, :, None],
            top_k=top_k,
            top_p=top_p,
            has_filters=tf.reduce_any((top_k > 0) | (top_p < 1.0)),
        )

    def choose(self, step: tf.Tensor, logits: tf.Tensor, *, plain: bool = False) -> tf.Tensor:
        """Choose one symbol for each row: int32 [N], from logits [N, V]; -inf forbids a symbol.

        `plain`, which is quicker: no row has a filter, every logit is finite or -inf, and each row has a finite one.
        """
        if not plain:
            logits = tf.where(tf.math.is_nan(logits), -np.inf, tf.minimum(logits, LARGEST))
        below_best = logits - tf.reduce_max(logits, axis=1, keepdims=True)
        weights = tf.exp(below_best * self.sharpness)  # probabilities times a constant
        if not plain:
            weights = tf.cond(self.has_filters, lambda: self._filtered(weights), lambda: weights)
        cumulative = tf.cumsum(weights, axis=1)
        thresholds = tf.gather(self.uniforms, step) * cumulative[:, -1:]
        first_above = tf.squeeze(tf.raw_ops.UpperBound(sorted_inputs=cumulative, values=thresholds), axis=1)
        # V if every symbol is forbidden: the weights are NaN then.
        return first_above if plain else tf.where(first_above < logits.shape[1], first_above, 0)

    def _filtered(self, weights: tf.Tensor) -> tf.Tensor:
        """Keep the `top_k` most likely symbols of each row, of these the shortest prefix that reaches `top_p`."""
        symbols = tf.shape(weights)[1]
        descending, ids = tf.math.top_k(weights, k=symbols)  # ties in id order
        rank = tf.argsort(ids, axis=1)
        before = tf.cumsum(descending, axis=1, exclusive=True)
        needed = self.top_p[:, None] * tf.reduce_sum(weights, axis=1, keepdims=True)
        reached = tf.reduce_sum(tf.cast(before < needed, tf.int32), axis=1)
        reached = tf.where(self.top_p < 1.0, tf.maximum(reached, 1), symbols)
        count = tf.minimum(tf.where(self.top_k > 0, self.top_k, symbols), reached)
        return tf.where(rank < count[:, None], weights, 0.0)
