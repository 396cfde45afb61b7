"""The sampling rule on hand-written distributions, and against a second reading of its words."""

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import sample_rule
from training.release.sampling import Rule

LOGITS = [-np.inf, *np.log([0.5, 0.125, 0.25, 0.125])]  # id 0 is the reserved one


MANY = np.linspace(0, 0.9999, 1000)


def choose_each(uniforms, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, logits=LOGITS) -> list[int]:
    rows = len(uniforms)
    rule = Rule.of(
        tf.constant(uniforms, tf.float32)[:, None],
        tf.fill([rows], tf.constant(temperature, tf.float32)),
        tf.fill([rows], top_k),
        tf.fill([rows], tf.constant(top_p, tf.float32)),
    )
    return rule.choose(0, tf.constant([logits] * rows, tf.float32)).numpy().tolist()


def choose(uniform: float, **rule) -> int:
    return choose_each([uniform], **rule)[0]


@pytest.mark.parametrize(
    ("uniform", "id_"),
    [(0.0, 1), (0.49, 1), (0.51, 2), (0.62, 2), (0.63, 3), (0.87, 3), (0.88, 4), (1 - 2**-24, 4)],
)
def test_inverse_of_the_cumulative_distribution_in_id_order(uniform: float, id_: int) -> None:
    assert choose(uniform) == id_


def test_temperature_zero_takes_the_likeliest_whatever_the_uniform() -> None:
    assert set(choose_each([0.0, 0.5, 1 - 2**-24], temperature=0)) == {1}


def test_ties_at_temperature_zero_go_to_the_lowest_id() -> None:
    assert choose(0.99, temperature=0, logits=[-np.inf, 1.0, 3.0, 2.0, 3.0]) == 2


def test_temperature_zero_ignores_filters() -> None:
    assert choose(0.99, temperature=0, top_k=2, top_p=0.1) == 1


def test_top_k_keeps_the_likeliest_and_ties_go_to_the_lower_id() -> None:
    assert choose(0.99, top_k=1) == 1
    assert choose(0.99, top_k=2) == 3
    # 0.125 twice: id 2 is kept, id 4 is not, and 3 comes last in id order.
    assert set(choose_each(MANY, top_k=3)) == {1, 2, 3}


def test_top_p_keeps_the_shortest_prefix_that_reaches_it() -> None:
    assert set(choose_each(MANY, top_p=0.5)) == {1}
    assert set(choose_each(MANY, top_p=0.51)) == {1, 3}
    assert set(choose_each(MANY, top_p=1e-6)) == {1}


def test_high_temperature_evens_out_and_low_temperature_sharpens() -> None:
    share = {t: np.mean(np.equal(choose_each(MANY, temperature=t), 1)) for t in (0.2, 1.0, 5.0)}
    assert share[0.2] > 0.9
    assert abs(share[1.0] - 0.5) < 0.01
    assert share[5.0] < 0.35


def test_random_rows_together_follow_the_rule_one_by_one() -> None:
    generator = np.random.default_rng(3)
    rows, symbols = 400, 23
    logits = generator.normal(0, 3, (rows, symbols)).astype(np.float32)
    logits[:, 0] = -np.inf
    uniforms = generator.random(rows, dtype=np.float32)
    temperature = generator.choice([0, 0.3, 0.8, 1, 2], rows).astype(np.float32)
    top_k = generator.choice([0, 1, 3, 100], rows).astype(np.int32)
    top_p = generator.choice([0.2, 0.9, 1.0], rows).astype(np.float32)
    rule = Rule.of(*(tf.constant(a) for a in (uniforms[:, None], temperature, top_k, top_p)))
    found = rule.choose(0, tf.constant(logits)).numpy()
    expected = [sample_rule(*row) for row in zip(logits, uniforms, temperature, top_k, top_p, strict=True)]
    assert found.tolist() == expected
