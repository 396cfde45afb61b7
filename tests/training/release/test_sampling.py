"""The sampling rule on hand-written distributions, and against the NumPy rule."""

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import sample_rule
from training.release.sampling import Rule

LOGITS = [-np.inf, *np.log([0.5, 0.125, 0.25, 0.125])]  # id 0 is the reserved one


MANY = np.linspace(0, 0.9999, 1000)


@tf.function(autograph=False)
def chosen(uniforms, temperature, top_k, top_p, logits, plain: bool = False) -> tf.Tensor:
    """The symbols that a graph chooses: an export is one, and TensorFlow optimizes it."""
    return Rule.of(uniforms[:, None], temperature, top_k, top_p).choose(0, logits, plain=plain)


def choose_each(uniforms, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, logits=LOGITS) -> list[int]:
    rows = len(uniforms)
    found = chosen(
        tf.constant(uniforms, tf.float32),
        tf.fill([rows], tf.constant(temperature, tf.float32)),
        tf.fill([rows], top_k),
        tf.fill([rows], tf.constant(top_p, tf.float32)),
        tf.constant([logits] * rows, tf.float32),
    )
    return found.numpy().tolist()


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
    found = choose_rows(logits, uniforms, temperature, top_k, top_p)
    expected = [sample_rule(*row) for row in zip(logits, uniforms, temperature, top_k, top_p, strict=True)]
    assert found.tolist() == expected


ROWS, SYMBOLS = 120_000, 16  # a multiple of the vector size, as in the export: rows do not change each other's bits
SMALLEST = float(np.finfo(np.float32).tiny)


@pytest.mark.parametrize(
    ("uniform", "rule"),
    [(0.5, {"top_p": p}) for p in (0.0, 1e-45, 1e-40, SMALLEST, -1.0, np.nan)]
    + [(0.5, {"temperature": t}) for t in (1e-45, SMALLEST, 3e38, np.inf, -1.0, np.nan)]
    + [(u, {}) for u in (-1.0, -1e-45, 1.0, 2.0, np.inf, np.nan)]
    + [(1 - 2**-24, {"top_k": k}) for k in (-(2**31), -1, 2**31 - 1)],
)
def test_no_parameter_makes_it_choose_a_symbol_that_may_not_be_sampled(uniform: float, rule: dict[str, float]) -> None:
    logits = [-np.inf, 0.0, -1.0, -np.inf]
    assert choose(uniform, logits=logits, **rule) in (1, 2)


@pytest.mark.parametrize("rule", [{}, {"top_k": 2}, {"top_p": 0.5}, {"temperature": 0}])
def test_logits_that_are_no_numbers(rule: dict[str, float]) -> None:
    inf, nan = np.inf, np.nan
    for uniform in (0.0, 0.5, 1 - 2**-24):
        assert choose(uniform, logits=[-inf, nan, 1.0, -inf, nan], **rule) == 2
        assert choose(uniform, logits=[-inf, 3e38, inf, -3e38, nan], **rule) == 2
        assert choose(uniform, logits=[-inf] * 5, **rule) == choose(uniform, logits=[nan] * 5, **rule) == 0


def floats(generator: np.random.Generator, ordinary: np.ndarray) -> np.ndarray:
    """Every other one replaced by a float32 of random bits."""
    bits = generator.integers(0, 2**32, ordinary.shape, dtype=np.uint32).view(np.float32)
    return np.where(generator.random(ordinary.shape) < 0.5, bits, ordinary.astype(np.float32))


def random_rows(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows in which any parameter, any logit and any number of them may have random bits."""
    is_ordinary = generator.random((ROWS, 1)) < 0.5  # rows without random bits in their logits
    logits = generator.normal(0, 3, (ROWS, SYMBOLS)).astype(np.float32)
    logits = np.where(is_ordinary, logits, floats(generator, logits))
    logits[generator.random(logits.shape) < 0.2] = -np.inf
    logits[:, 0] = -np.inf
    extremes = np.array([0, 1 - 2**-24, 1, 2**-149], np.float32)
    uniforms = np.where(generator.random(ROWS) < 0.2, generator.choice(extremes, ROWS), generator.random(ROWS))
    top_k = generator.integers(-(2**31), 2**31, ROWS)
    return {
        "logits": logits,
        "uniforms": floats(generator, uniforms),
        "temperature": floats(generator, generator.choice([0, 0.5, 1, 2], ROWS)),
        "top_k": np.where(generator.random(ROWS) < 0.5, top_k, generator.integers(0, 5, ROWS)).astype(np.int32),
        "top_p": floats(generator, generator.choice([0.3, 0.9, 1], ROWS)),
    }


def choose_rows(logits, uniforms, temperature, top_k, top_p, *, plain: bool = False) -> np.ndarray:
    return chosen(*map(tf.constant, (uniforms, temperature, top_k, top_p, logits)), plain=plain).numpy()


def reference(logits, uniforms, temperature, top_k, top_p) -> tuple[np.ndarray, np.ndarray]:
    """The rule in float64 for rows of meaningful parameters: the symbols, and which rows have no close call.

    A close call is one that the rounding of float32 decides: a uniform at a symbol's limit, or a filter between two
    symbols of almost the same probability.
    """
    rows = np.arange(len(logits))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        below = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        weights = np.where(below == 0, 1, np.exp(below / temperature.astype(np.float64)[:, None]))
    order = np.argsort(-weights, axis=1, kind="stable")
    descending = np.take_along_axis(weights, order, axis=1)
    before = np.cumsum(descending, axis=1) - descending
    needed = top_p.astype(np.float64) * weights.sum(axis=1)
    reached = np.where(top_p < 1, (before < needed[:, None]).sum(axis=1), SYMBOLS)
    count = np.maximum(1, np.minimum(np.where(top_k > 0, top_k, SYMBOLS), reached))
    kept = weights * (np.argsort(order, axis=1) < count[:, None])
    cumulative = np.cumsum(kept, axis=1)
    threshold = uniforms * cumulative[:, -1]
    last, following = descending[rows, count - 1], descending[rows, np.minimum(count, SYMBOLS - 1)]
    clear = np.abs(cumulative - threshold[:, None]).min(axis=1) > 1e-4
    clear &= np.abs(before - needed[:, None]).min(axis=1) > 1e-4
    clear &= (count == SYMBOLS) | (last - following > 1e-4)
    return (cumulative <= threshold[:, None]).sum(axis=1), clear


def test_any_bits_give_a_symbol_that_may_be_sampled_and_meaningful_ones_the_rules() -> None:
    rows = random_rows(np.random.default_rng(11))
    logits, found = rows["logits"], choose_rows(**rows)
    allowed = ~np.isnan(logits) & (logits > -np.inf)
    assert ((found >= 0) & (found < SYMBOLS)).all()
    assert (allowed[np.arange(ROWS), found] | ~allowed.any(axis=1)).all()
    meaningful = allowed.any(axis=1) & (np.isfinite(logits) | (logits == -np.inf)).all(axis=1)
    meaningful &= (rows["uniforms"] >= 0) & (rows["uniforms"] < 1)
    meaningful &= (rows["temperature"] >= SMALLEST) & (rows["temperature"] <= 1 / SMALLEST)
    meaningful &= (rows["top_p"] >= SMALLEST) & (rows["top_p"] <= 1)
    expected, clear = reference(**{name: array[meaningful] for name, array in rows.items()})
    assert clear.sum() > ROWS / 100
    np.testing.assert_array_equal(found[meaningful][clear], expected[clear])
    # The others are no neighbours of theirs: nothing of a row reaches another.
    alone = choose_rows(**{name: array[meaningful] for name, array in rows.items()})
    np.testing.assert_array_equal(found[meaningful], alone)


def test_a_plain_choice_is_the_same_choice() -> None:
    rows = random_rows(np.random.default_rng(12))
    logits = rows["logits"]
    plain = ((logits < np.inf) | (logits == -np.inf)).all(axis=1) & np.isfinite(logits).any(axis=1)
    rows |= {"top_k": np.zeros(ROWS, np.int32), "top_p": np.ones(ROWS, np.float32)}
    rows = {name: array[plain] for name, array in rows.items()}
    assert plain.sum() > ROWS / 10
    np.testing.assert_array_equal(choose_rows(**rows, plain=True), choose_rows(**rows))
