"""The sampling rule of the artifact (models/README.md), in TensorFlow operations. Knows nothing of networks."""

import tensorflow as tf


def sample(
    logits: tf.Tensor,
    uniforms: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
) -> tf.Tensor:
    """Choose one symbol a row: int32 [N] from logits [N, V] (a forbidden symbol's is -inf) and uniforms [N] in [0, 1).

    At temperature 0 the most likely symbols share all probability and the uniform counts as 0: the lowest id wins.
    """
    greedy = temperature == 0
    scaled = logits / tf.where(greedy, 1.0, temperature)[:, None]
    best = logits >= tf.reduce_max(logits, axis=1, keepdims=True)
    probabilities = tf.where(greedy[:, None], tf.cast(best, tf.float32), tf.nn.softmax(scaled))
    kept = tf.cond(
        tf.reduce_any((top_k > 0) | (top_p < 1.0)),
        lambda: tf.where(_most_likely(probabilities, top_k, top_p), probabilities, 0.0),
        lambda: probabilities,
    )
    cumulative = tf.cumsum(kept, axis=1)
    threshold = tf.where(greedy, 0.0, uniforms)[:, None] * cumulative[:, -1:]
    return tf.reduce_sum(tf.cast(cumulative <= threshold, tf.int32), axis=1)


def _most_likely(probabilities: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor) -> tf.Tensor:
    """Bool [N, V]: the `top_k` most likely symbols, of these the shortest prefix whose probability reaches `top_p`."""
    descending, ids = tf.math.top_k(probabilities, k=tf.shape(probabilities)[1])  # equal ones in id order
    rank = tf.argsort(ids, axis=1)
    before = tf.cumsum(descending, axis=1, exclusive=True)
    reached = tf.reduce_sum(tf.cast(before < top_p[:, None], tf.int32), axis=1)
    every = tf.shape(probabilities)[1]
    count = tf.minimum(tf.where(top_k > 0, top_k, every), tf.where(top_p < 1.0, reached, every))
    return rank < count[:, None]
