import math
from collections import Counter

import numpy as np
import pytest

from service.analysis.features import FEATURES, Feature
from service.analysis.inspect import CHARS_PER_CALL
from service.analysis.neurons import BINS, EXAMPLE_DISTANCE, EXAMPLES, FeatureTracking, mutual_information
from tests.service.analysis.fakes import ActiveModel, InspectingByteModel
from tests.service.fakes import FakeModel

# Every feature varies in it.
TEXT = (
    """FIRST Man: he said "it is (so [very]) late", # no
    and /* then (he) */ left. See http://a.org/b for it {now}
\tVERY well; 'who goes there?' // no one
"""
    * 8
)
UNITS = 6


def noise(chars: int = len(TEXT), units: int = UNITS) -> np.ndarray:
    """Activations [characters, 2, units] that know nothing of the text."""
    return np.random.Generator(np.random.PCG64(7)).uniform(-1, 1, (chars, 2, units)).astype(np.float32)


def tracking_of(activations: np.ndarray, text: str = TEXT) -> FeatureTracking:
    tracking = FeatureTracking(ActiveModel(activations), text)  # type: ignore[arg-type]
    assert list(tracking.read())[-1] == len(text)
    return tracking


def information_of(xs: list[int], ys: list[int]) -> float:
    """The mutual information in bits, from the table of how often each pair occurs."""
    n, pairs, of_x, of_y = len(xs), Counter(zip(xs, ys, strict=True)), Counter(xs), Counter(ys)
    return sum(count / n * math.log2(count * n / (of_x[x] * of_y[y])) for (x, y), count in pairs.items())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_unit_that_tracks_a_feature_is_ranked_first(feature: Feature, sign: int) -> None:
    values, activations = feature.values(TEXT), noise()
    scaled = values / values.max()
    activations[:, 1, 4] = sign * (0.9 * scaled - 0.3) + 0.05 * activations[:, 1, 4]
    (ranking,) = [ranking for ranking in tracking_of(activations).rankings(3) if ranking.feature == feature.name]
    first, *others = ranking.units
    assert (first.layer, first.unit, first.sign) == (1, 4, sign)
    assert others[0].score < 0.5 * first.score <= 0.5 * ranking.max_score + 1e-9
    assert first.score > 0.9 * ranking.max_score
    assert ranking.measure == ("mutual_information_bits" if feature.is_binary else "absolute_correlation")
    assert scaled[first.examples].min() > 0.7


@pytest.mark.parametrize("flips", [0.0, 0.1, 0.3, 0.5])
def test_the_information_of_a_copy_with_errors_is_that_of_a_binary_channel(flips: float) -> None:
    """1 - H(flips) bits of a feature that is 1 for half of the characters."""
    generator = np.random.Generator(np.random.PCG64(3))
    feature = generator.integers(0, 2, 200_000)
    copy = np.where(generator.random(200_000) < flips, 1 - feature, feature)
    counts = np.bincount(copy, minlength=BINS)[None]
    inside = np.bincount(copy[feature == 1], minlength=BINS)[None]
    expected = 1 + sum(p * math.log2(p) for p in (flips, 1 - flips) if p)
    (found,) = mutual_information(counts, inside)
    assert found == pytest.approx(expected, abs=0.008)
    assert found == pytest.approx(max(0, information_of(copy.tolist(), feature.tolist()) - 1 / (4e5 * math.log(2))))


def test_scores_equal_a_second_computation() -> None:
    activations = noise()
    activations[:, 0, 1] = np.tanh(activations[:, 0, 1] + (np.array(list(TEXT)) > "a"))
    activations[:, 1, 2] = 0.25  # never changes
    activations[:, 1, 3] = np.where(
        activations[:, 1, 3] > 0, 1, np.nextafter(np.float32(1), np.float32(0))
    )  # saturated
    bins = np.digitize(activations, np.linspace(-1, 1, BINS + 1)[1:-1]).reshape(len(TEXT), -1).T.tolist()
    flat = activations.reshape(len(TEXT), -1).T.astype(np.float64)
    rankings = {ranking.feature: ranking for ranking in tracking_of(activations).rankings(100)}
    for feature in FEATURES:
        values, ranking = feature.values(TEXT), rankings[feature.name]
        assert len(ranking.units) == 2 * UNITS
        for unit in ranking.units:
            index = unit.layer * UNITS + unit.unit
            correlation = np.corrcoef(flat[index], values)[0, 1] if np.ptp(flat[index]) else 0.0
            expected = abs(correlation)
            if feature.is_binary:
                expected = information_of(bins[index], values.astype(int).tolist())
                expected = max(0, expected - (len(set(bins[index])) - 1) / (2 * len(TEXT) * math.log(2)))
            assert unit.score == pytest.approx(expected, abs=1e-9)
            assert unit.sign == (-1 if correlation < 0 else 1)
        if feature.is_binary:
            entropy = information_of(values.astype(int).tolist(), values.astype(int).tolist())
            assert ranking.max_score == pytest.approx(entropy)
        scores = [unit.score for unit in ranking.units]
        assert scores == sorted(scores, reverse=True)


def test_units_that_know_nothing_have_scores_near_zero() -> None:
    """Without the correction, the mean would be 19 / (2 N ln 2), which is 0.009 bits here."""
    for ranking in tracking_of(noise(units=200)).rankings(400):
        if ranking.measure == "mutual_information_bits":
            scores = [unit.score for unit in ranking.units]
            assert np.median(scores) < 0.002
            assert max(scores) < 0.03


def test_examples_are_the_most_active_positions_and_far_from_each_other() -> None:
    activations = noise()
    (ranking, *_) = tracking_of(activations).rankings(12)
    for unit in ranking.units:
        examples, active = unit.examples, unit.sign * activations[:, unit.layer, unit.unit]
        assert len(examples) == EXAMPLES
        assert examples[0] == active.argmax()
        assert active[examples].tolist() == sorted(active[examples].tolist(), reverse=True)
        assert min(abs(a - b) for a in examples for b in examples if a != b) >= EXAMPLE_DISTANCE
        assert active[examples[-1]] >= np.sort(active)[-3 * EXAMPLES]


def test_a_feature_that_is_constant_is_named_and_not_ranked() -> None:
    tracking = tracking_of(noise(9), "no marks,")
    assert [ranking.feature for ranking in tracking.rankings(5)] == ["line_position"]
    assert tracking.constant_features() == [
        *("inside_quotes", "bracket_depth", "inside_comment"),
        *("capitals", "capital_run", "indentation", "inside_url"),
    ]


def test_one_character_has_constant_features_only() -> None:
    tracking = tracking_of(noise(1), "A")
    assert tracking.rankings(5) == []
    assert len(tracking.constant_features()) == len(FEATURES)


def test_the_scores_of_a_part_are_those_of_a_text_that_ends_there() -> None:
    activations = noise()
    part = FeatureTracking(ActiveModel(activations), TEXT)  # type: ignore[arg-type]
    read = part.read()
    chars = [next(read) for _ in range(7)][-1]
    assert chars == part.chars == 7 * CHARS_PER_CALL
    for found, expected in zip(part.rankings(3), tracking_of(activations, TEXT[:chars]).rankings(3), strict=True):
        assert [(unit.layer, unit.unit, unit.examples) for unit in found.units] == [
            (unit.layer, unit.unit, unit.examples) for unit in expected.units
        ]
        assert [unit.score for unit in found.units] == pytest.approx([unit.score for unit in expected.units])


def test_units_with_the_same_score_are_in_the_order_of_the_network() -> None:
    activations = np.repeat(noise(units=1), 4, axis=2)
    activations[:, 1] = activations[:, 0]
    for ranking in tracking_of(activations).rankings(8):
        assert [(unit.layer, unit.unit) for unit in ranking.units] == [(layer, n) for layer in (0, 1) for n in range(4)]


def test_the_activations_of_a_byte_model_are_those_after_each_character() -> None:
    text = "é😀A" * 20
    tracking = FeatureTracking(InspectingByteModel(), text)  # type: ignore[arg-type]
    assert list(tracking.read()) == [32, 60]
    rankings = {ranking.feature: ranking for ranking in tracking.rankings(1)}
    position = rankings["line_position"].units[0]
    assert (position.score, position.sign) == (pytest.approx(1, abs=1e-3), 1)  # the activation counts bytes
    assert position.examples[0] == 59


@pytest.mark.parametrize("text", ["\ud800A\r\nb", "Ae\u0301"])
def test_positions_are_those_of_the_normalised_text(text: str) -> None:
    length = len(FakeModel().text.normalize(text))
    tracking = FeatureTracking(ActiveModel(noise(length)), text)  # type: ignore[arg-type]
    assert list(tracking.read()) == [length]
    assert all(unit.examples[0] < length for ranking in tracking.rankings(1) for unit in ranking.units)
