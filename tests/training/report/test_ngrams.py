"""N-gram losses against a second computation: the same models in nested dictionaries, one symbol at a time."""

import math
from collections import defaultdict

import numpy as np
import pytest

from training.report import ngrams
from training.report.ngrams import baselines, probabilities_by_order

HIGHEST = 5


class Textbook:
    """Interpolated Kneser-Ney by its definition, in sets and dictionaries of tuples."""

    def __init__(self, text: list[int], symbols: int, order: int) -> None:
        self.symbols = symbols
        self.levels = {}
        for k in range(1, order + 1):
            counts: dict[tuple, dict[int, int]] = defaultdict(lambda: defaultdict(int))
            if k == order:
                for i in range(len(text) - k + 1):
                    counts[tuple(text[i : i + k - 1])][text[i + k - 1]] += 1
            else:
                for gram in {tuple(text[i : i + k + 1]) for i in range(len(text) - k)}:
                    counts[gram[1:-1]][gram[-1]] += 1
            every = [count for row in counts.values() for count in row.values()]
            once, twice = every.count(1), every.count(2)
            self.levels[k] = counts, once / (once + 2 * twice) if once else 0.5

    def probability(self, context: tuple, symbol: int) -> float:
        """`context` may be shorter than the order, at the start of a text."""
        k = len(context) + 1
        lower = self.probability(context[1:], symbol) if context else 1 / self.symbols
        counts, discount = self.levels[k]
        if context not in counts:
            return lower
        row = counts[context]
        return (max(row.get(symbol, 0) - discount, 0) + discount * len(row) * lower) / sum(row.values())

    def of(self, text: list[int], order: int) -> list[float]:
        return [self.probability(tuple(text[max(0, i - order + 1) : i]), text[i]) for i in range(len(text))]


def random_text(length: int, symbols: int, seed: int) -> list[int]:
    """A skewed text with repeated pieces, so that grams of every order recur.

    The last symbol never occurs, the last but one only at the start.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    text = (symbols - 2) * generator.random(length) ** 3
    return np.concatenate([[symbols - 2], text, text[: length // 2], text[length // 3 :]]).astype(int).tolist()


def computed(training: list[int], validation: list[int], symbols: int, dtype=np.uint8) -> dict:
    return dict(probabilities_by_order(np.array(training, dtype), np.array(validation, dtype), symbols, HIGHEST))


@pytest.mark.parametrize("symbols", [4, 9, 300])
@pytest.mark.parametrize("length", [3, 40, 400])
def test_every_probability_is_that_of_the_definition(symbols: int, length: int) -> None:
    training = random_text(length, symbols, seed=length)
    validation = [*random_text(100, symbols, seed=1), symbols - 1, 0, symbols - 2, *training[-9:]]
    found = computed(training, validation, symbols, np.uint16)
    for order in range(1, HIGHEST + 1):
        expected = Textbook(training, symbols, order).of(validation, order)
        np.testing.assert_allclose(found[order], expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_losses_are_the_mean_over_the_validation_text_for_all_types_of_ids(dtype) -> None:
    training, validation = random_text(300, 250, seed=2), random_text(50, 250, seed=3)
    losses = baselines(np.array(training, dtype), np.array(validation, dtype), 250, orders=[2, 4])
    assert set(losses) == {2, 4}
    for order, nats in losses.items():
        expected = Textbook(training, 250, order).of(validation, order)
        assert nats == pytest.approx(-math.fsum(map(math.log, expected)) / len(expected), rel=1e-12)


def test_every_distribution_sums_to_one_after_seen_unseen_and_final_contexts() -> None:
    symbols, training = 8, random_text(60, 8, seed=4)
    contexts = [[], training[5:12], training[-4:], [symbols - 1] * 4, [*training[5:8], symbols - 1], [0, 7, 1, 1]]
    for context in contexts:
        rows = [computed(training, [*context, symbol], symbols) for symbol in range(symbols)]
        for order in range(1, HIGHEST + 1):
            last = [row[order][-1] for row in rows]
            assert min(last) > 0
            assert math.fsum(last) == pytest.approx(1, abs=1e-12)


def test_a_repeated_text_is_predicted_from_long_contexts_only() -> None:
    losses = baselines(np.tile(np.arange(1, 9), 100), np.tile(np.arange(1, 9), 10), 9)
    assert list(losses) == list(range(1, 9))
    assert losses[1] == pytest.approx(math.log(8), rel=1e-2)
    assert losses[2] < 0.2


def test_text_shorter_than_the_order_still_has_a_finite_loss() -> None:
    for training in ([], [1], [1, 2]):
        losses = baselines(np.array(training, np.uint8), np.array([3, 0, 1], np.uint8), 4)
        assert all(math.isfinite(nats) for nats in losses.values())


def test_only_adjacent_parts_of_long_texts_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    text = np.array(random_text(300, 9, seed=5), np.uint8)
    expected = baselines(text[180:200], text[200:230], 9)
    monkeypatch.setattr(ngrams, "TRAINING_SYMBOLS", 20)
    monkeypatch.setattr(ngrams, "VALIDATION_SYMBOLS", 30)
    assert baselines(text[:200], text[200:], 9) == expected
