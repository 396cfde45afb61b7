"""What the recurrences share: a loop over time that collects what each step gives, and the product inside it."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]
Step = Callable[..., tuple[Tensors, Tensors]]
"""(t, *carried) -> (carried, given)."""


def scan(step: Step, carried: Tensors, steps: tf.Tensor, *, given: int, backwards: bool = False) -> tuple[Any, Any]:
    """Call `step` for every t. Returns the last `carried`, and each of the `given` tensors of all steps [T, ...].

    `given` is how many tensors a step gives beside what it carries; `backwards` begins at the last t.
    """
    dtype = carried[0].dtype

    def body(i: tf.Tensor, carried: Tensors, outputs: Any) -> Any:
        t = steps - 1 - i if backwards else i
        carried, tensors = step(t, *carried)
        return i + 1, carried, [output.write(t, tensor) for output, tensor in zip(outputs, tensors, strict=True)]

    empty = [tf.TensorArray(dtype, size=steps) for _ in range(given)]
    _, carried, outputs = tf.while_loop(lambda i, *_: i < steps, body, (0, carried, empty), maximum_iterations=steps)
    return carried, [output.stack() for output in outputs]


def product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`x` [..., A] times `kernel` [A, B], computed in the kernel's precision, in that of `x`."""
    return tf.cast(tf.tensordot(tf.cast(x, kernel.dtype), kernel, 1), x.dtype)


def kernel_gradient(x: tf.Tensor, d_sums: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The gradient of `product` by its kernel, all steps at once: x [T, N, A], d_sums [T, N, B] -> [A, B]."""
    rows, columns = kernel.shape
    flat = tf.reshape(tf.cast(x, kernel.dtype), [-1, rows])
    return tf.matmul(flat, tf.reshape(tf.cast(d_sums, kernel.dtype), [-1, columns]), transpose_a=True)


def before(first: tf.Tensor, of_steps: tf.Tensor) -> tf.Tensor:
    """What was there before each step: `first` [N, H] and then `of_steps` [T, N, H] without its last."""
    return tf.concat([first[None], of_steps[:-1]], axis=0)
