"""Ranks the units of a network by how well their activations track features of a text. Knows no HTTP.

The activations of one call of the model are added to sums and counts, so that the memory does not grow with them.

A feature of 0 and 1 is compared by mutual information: a unit may show it by any level of its activation. The estimate
from counts is too high for small samples; the value that independent variables have on average is subtracted from it
(the mean of the chi-squared distribution of 2 N I, as in Roulston 1999). Other features are compared by Pearson's
correlation, for which a unit must be proportional to them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.analysis.features import FEATURES, Feature
from service.analysis.inspect import read
from service.model.model import Model

BINS = 20
"""Of equal width over the activations, which are in [-1, 1]."""
EXAMPLES = 5
"""The most positions for each unit."""
EXAMPLE_DISTANCE = 32
"""Characters between two positions of a unit, at least."""

Measure = Literal["mutual_information_bits", "absolute_correlation"]
Counts = NDArray[np.int64]
Sums = NDArray[np.float64]


@dataclass(frozen=True)
class RankedUnit:
    """A unit, and how well it tracks a feature."""

    layer: int
    unit: int
    score: float
    sign: int  # -1: its activation falls where the feature rises, by their correlation; otherwise 1
    examples: list[int]  # positions in the normalised text where sign * activation is highest, the highest first


@dataclass(frozen=True)
class Ranking:
    """The units that track a feature best, the best first."""

    feature: str
    measure: Measure
    max_score: float  # the entropy of the feature in bits, or 1
    units: list[RankedUnit]


class FeatureTracking:
    """Statistics of all units [L * H] and all features [F] over the characters of a text that were read."""

    def __init__(self, model: Model, text: str) -> None:
        self._model = model
        self._text = model.text.normalize(text)
        self._layers, self._units = model.manifest.layers, model.manifest.units
        count = self._layers * self._units
        self.chars = 0
        self._features = np.array([feature.values(self._text) for feature in FEATURES], np.float64)  # [F, characters]
        self._binary = [index for index, feature in enumerate(FEATURES) if feature.is_binary]
        self._counts = np.zeros((count, BINS), np.int64)
        self._counts_inside = np.zeros((len(self._binary), count, BINS), np.int64)  # of the characters with the value 1
        # Sums of differences from the first activations: a unit that never changes has a variance of exactly 0.
        self._origin = np.zeros(count)
        self._sums, self._squares = np.zeros(count), np.zeros(count)
        self._products = np.zeros((len(FEATURES), count))
        self._highest = _Highest(count)  # of the activations
        self._lowest = _Highest(count)  # of their negatives

    def read(self) -> Iterator[int]:
        """Read the text, and yield the number of characters read after each call of the model.

        Raises:
            MissingFunction: the version was published without `inspect`.
        """
        for call in read(self._model, self._text):
            self._add(call.activations.reshape(len(call.ends), -1))
            yield self.chars

    def constant_features(self) -> list[str]:
        """The names of the features that have one value only, so that nothing can track them."""
        return [feature.name for index, feature in enumerate(FEATURES) if self._is_constant(index)]

    def rankings(self, limit: int) -> list[Ranking]:
        """The best `limit` units of each feature that is not constant."""
        varying = [index for index in range(len(FEATURES)) if not self._is_constant(index)]
        return [self._ranking(index, FEATURES[index], limit) for index in varying]

    def _add(self, activations: NDArray[np.float32]) -> None:
        """Add the activations [characters, L * H] of the next characters."""
        first, self.chars = self.chars, self.chars + len(activations)
        features = self._features[:, first : self.chars]
        bins = np.clip(((activations + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)
        self._counts += _histograms(bins)
        for row, index in enumerate(self._binary):
            self._counts_inside[row] += _histograms(bins[features[index] == 1])
        if first == 0:
            self._origin = activations[0].astype(np.float64)
        differences = activations - self._origin
        self._sums += differences.sum(axis=0)
        self._squares += (differences**2).sum(axis=0)
        self._products += features @ differences
        self._highest.add(activations, first)
        self._lowest.add(-activations, first)

    def _is_constant(self, index: int) -> bool:
        values = self._features[index, : self.chars]
        return self.chars == 0 or bool((values == values[0]).all())

    def _ranking(self, index: int, feature: Feature, limit: int) -> Ranking:
        correlations = self._correlations(index)
        measure: Measure = "absolute_correlation"
        scores, max_score = np.abs(correlations), 1.0
        if feature.is_binary:
            inside = self._counts_inside[self._binary.index(index)]
            measure, scores = "mutual_information_bits", mutual_information(self._counts, inside)
            share = inside[0].sum() / self.chars
            max_score = float(_entropy(np.array([share, 1 - share])))
        best = np.argsort(-scores, kind="stable")[:limit].tolist()
        units = [self._ranked_unit(unit, float(scores[unit]), float(correlations[unit])) for unit in best]
        return Ranking(feature.name, measure, max_score, units)

    def _ranked_unit(self, index: int, score: float, correlation: float) -> RankedUnit:
        layer, unit = divmod(index, self._units)
        extremes = self._lowest if correlation < 0 else self._highest
        return RankedUnit(layer, unit, score, -1 if correlation < 0 else 1, extremes.examples_of(index))

    def _correlations(self, index: int) -> Sums:
        """Pearson's correlation [L * H] of a feature with each unit; 0 for a unit that never changes."""
        values = self._features[index, : self.chars]
        mean = self._sums / self.chars
        covariances = self._products[index] - values.sum() * mean
        variances = self._squares - self._sums * mean
        scale = np.sqrt(np.maximum(variances, 0) * ((values - values.mean()) ** 2).sum())
        correlations: Sums = np.divide(covariances, scale, out=np.zeros_like(scale), where=scale > 0)
        return np.clip(correlations, -1, 1)


class _Highest:
    """The positions at which each of several units was most active: the best of each call, and of these the best."""

    kept = 3 * EXAMPLES  # each position may be too near to one before it and one after it

    def __init__(self, units: int) -> None:
        self._values = np.full((self.kept, units), -np.inf, np.float32)  # the highest first
        self._positions = np.full((self.kept, units), -1)

    def add(self, activations: NDArray[np.float32], first: int) -> None:
        """Add the activations [characters, units] of the characters from the index `first`."""
        best = activations.argmax(axis=0)[None]
        values = np.append(self._values, np.take_along_axis(activations, best, axis=0), axis=0)
        positions = np.append(self._positions, first + best, axis=0)
        order = np.argsort(-values, axis=0, kind="stable")[: self.kept]
        self._values = np.take_along_axis(values, order, axis=0)
        self._positions = np.take_along_axis(positions, order, axis=0)

    def examples_of(self, unit: int) -> list[int]:
        """The best positions of a unit that are far from each other."""
        examples: list[int] = []
        for position in self._positions[:, unit].tolist():
            if position >= 0 and all(abs(position - other) >= EXAMPLE_DISTANCE for other in examples):
                examples.append(position)
        return examples[:EXAMPLES]


def mutual_information(counts: Counts, inside: Counts) -> Sums:
    """The mutual information in bits of each unit's bin and a feature of 0 and 1, corrected for the sample's size.

    Args:
        counts: the characters in each bin [units, bins].
        inside: those of them with the feature 1 [units, bins].
    """
    joint = np.stack([inside, counts - inside], axis=1)  # [units, 2, bins]
    total = counts.sum(axis=1)
    of_feature, of_bin, of_both = (
        _entropy(table / total[:, None]) for table in (joint.sum(axis=2), counts, joint.reshape(len(counts), -1))
    )
    used_bins = (counts > 0).sum(axis=1)
    bias = (used_bins - 1) / (2 * total * np.log(2))
    corrected: Sums = np.maximum(of_feature + of_bin - of_both - bias, 0)
    return corrected


def _entropy(shares: Sums) -> Sums:
    """The entropy in bits over the last axis."""
    entropy: Sums = -(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=-1)
    return entropy


def _histograms(bins: Counts) -> Counts:
    """The number of characters in each bin [units, BINS], from the bins [characters, units]."""
    units = bins.shape[1]
    flat = (bins + np.arange(units) * BINS).ravel()
    return np.bincount(flat, minlength=units * BINS).reshape(units, BINS)
