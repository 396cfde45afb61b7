"""The parts that all recurrences share: a loop over time that collects outputs, and matrix products."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]
Step = Callable[..., tuple[Tensors, Tensors]]
"""(t, *carried) -> (carried, outputs)."""


def scan(step: Step, carried: Tensors, steps: tf.Tensor, *, outputs: int, backwards: bool = False) -> tuple[Any, Any]:
    """Call `step` for every t from 0, or from the last one down if `backwards`.

    Args:
        step: (t, *carried) -> (carried, outputs).
        carried: the tensors that pass from step to step, before the first.
        steps: the number of steps T, a scalar tensor.
        outputs: the number of outputs of a step.
        backwards: whether to start at the last t.

    Returns:
        `carried` after the last step, and each output of all steps [T, ...].
    """
    dtype = carried[0].dtype

    def body(i: tf.Tensor, carried: Tensors, arrays: Any) -> Any:
        t = steps - 1 - i if backwards else i
        carried, tensors = step(t, *carried)
        return i + 1, carried, [array.write(t, tensor) for array, tensor in zip(arrays, tensors, strict=True)]

    empty = [tf.TensorArray(dtype, size=steps) for _ in range(outputs)]
    _, carried, arrays = tf.while_loop(lambda i, *_: i < steps, body, (0, carried, empty), maximum_iterations=steps)
    return carried, [array.stack() for array in arrays]


def product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`x` [..., A] times `kernel` [A, B], computed in the precision of `kernel`, returned in that of `x`."""
    return tf.cast(tf.tensordot(tf.cast(x, kernel.dtype), kernel, 1), x.dtype)


def kernel_gradient(x: tf.Tensor, d_sums: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The gradient [A, B] of `product` by its kernel, for all steps at once, from x [T, N, A] and d_sums [T, N, B]."""
    rows, columns = kernel.shape
    flat = tf.reshape(tf.cast(x, kernel.dtype), [-1, rows])
    return tf.matmul(flat, tf.reshape(tf.cast(d_sums, kernel.dtype), [-1, columns]), transpose_a=True)


def before(first: tf.Tensor, after_steps: tf.Tensor) -> tf.Tensor:
    """The state before each step [T, N, H]: `first` [N, H], then the states after the steps without the last."""
    return tf.concat([first[None], after_steps[:-1]], axis=0)
