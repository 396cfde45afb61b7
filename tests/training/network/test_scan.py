"""The loop over time and the matrix product that the recurrences share."""

import numpy as np
import pytest
import tensorflow as tf

from training.network.scan import before, kernel_gradient, product, scan


@pytest.mark.parametrize(("backwards", "order"), [(False, [0, 1, 2, 3]), (True, [3, 2, 1, 0])])
def test_scan_carries_and_collects_in_the_order_of_time(backwards: bool, order: list[int]) -> None:
    x = tf.constant([[1.0], [20.0], [300.0], [4000.0]])

    def step(t, total):
        total = total + x[t]
        return (total,), (total,)

    (last,), (totals,) = scan(step, (tf.zeros(1),), tf.constant(4), outputs=1, backwards=backwards)
    expected = np.zeros(4)
    expected[order] = np.cumsum(x.numpy()[order, 0])
    assert totals.numpy()[:, 0].tolist() == expected.tolist()
    assert last.numpy().tolist() == [4321.0]


def test_a_product_has_the_kernels_precision_and_the_type_of_x() -> None:
    x, kernel = tf.constant([[1.0, 1 / 3]]), tf.constant([[1.0], [3.0]])
    assert product(x, kernel).numpy().tolist() == [[2.0]]
    rounded = product(x, tf.cast(kernel, tf.bfloat16))
    assert rounded.dtype == tf.float32
    exact_sum = 1 + 3 * float(tf.cast(x[0, 1], tf.bfloat16))
    assert float(rounded[0, 0]) == pytest.approx(exact_sum, rel=2**-8)


def test_the_kernel_gradient_is_that_of_the_product() -> None:
    generator = np.random.default_rng(1)
    x, d_sums, kernel = (tf.constant(generator.normal(size=shape)) for shape in ((5, 2, 3), (5, 2, 4), (3, 4)))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        total = tf.reduce_sum(product(x, kernel) * d_sums)
    np.testing.assert_allclose(kernel_gradient(x, d_sums, kernel), tape.gradient(total, kernel), rtol=0, atol=1e-14)


def test_the_state_before_each_step_is_that_after_the_one_before() -> None:
    after = tf.constant([[[2.0]], [[3.0]], [[4.0]]])
    assert before(tf.constant([[1.0]]), after).numpy().ravel().tolist() == [1.0, 2.0, 3.0]
