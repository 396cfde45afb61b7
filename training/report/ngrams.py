"""Losses of interpolated Kneser-Ney n-gram models, as baselines for a network's loss.

Works on ids and knows no characters; computes the loss on a second text without keeping a model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TRAINING_SYMBOLS = 5_000_000
"""At most this many are counted: the last ones of the training part, nearest to the validation part."""

VALIDATION_SYMBOLS = 1_000_000
"""At most this many are predicted: the first ones of the validation part."""

# If no gram occurs exactly once the estimated discount is 0, and an unseen symbol would have infinite loss.
DISCOUNT_WITHOUT_SINGLES = 0.5
UNSEEN = -1

Ids = NDArray[np.integer]


@dataclass(frozen=True)
class Grams:
    """The distinct grams of one order, ranked by (rank of their prefix, last symbol)."""

    keys: NDArray[np.int64]  # [grams] ascending: rank of the prefix * V + last symbol
    prefixes: NDArray[np.int64]  # [grams] rank of the prefix among the grams that are one shorter
    prefix_count: int
    counts: NDArray[np.int64]  # [grams]
    occurrences: NDArray[np.int32]  # rank of the gram that ends at each position, from the first complete gram on


@dataclass(frozen=True)
class Ranks:
    """For each symbol of a second text, ranks among the grams of the first, or `UNSEEN`."""

    contexts: NDArray[np.int64]  # of the gram before the symbol, one shorter
    grams: NDArray[np.int64]  # of the gram that ends in the symbol


def baselines(
    training_ids: Ids, validation_ids: Ids, symbols: int, orders: Iterable[int] = range(1, 9)
) -> dict[int, float]:
    """Order -> loss in nats per symbol of an n-gram model of the training ids on the validation ids.

    Of long texts, only the parts `counted` and `predicted` are used. The first validation symbols have a shorter
    context, as they have for a network.

    Args:
        training_ids: Ids below `symbols`.
        validation_ids: Not empty.
        symbols: V; id 0, the unknown symbol, is a symbol like the others.
        orders: From 1 (no context).
    """
    wanted = set(orders)
    probabilities = probabilities_by_order(counted(training_ids), predicted(validation_ids), symbols, max(wanted))
    return {order: float(-np.log(p).mean()) for order, p in probabilities if order in wanted}


def counted(training_ids: Ids) -> Ids:
    """The part of a training text that `baselines` counts."""
    return np.asarray(training_ids[-TRAINING_SYMBOLS:])  # fetches encoded parts


def predicted(validation_ids: Ids) -> Ids:
    """The part of a validation text that `baselines` predicts."""
    return np.asarray(validation_ids[:VALIDATION_SYMBOLS])


def probabilities_by_order(
    training_ids: Ids, validation_ids: Ids, symbols: int, highest: int
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """For each order up to `highest`, the probability of each validation symbol after its context.

    Kneser and Ney's smoothing (1995), interpolated as by Chen and Goodman (1999), with one absolute discount per order.
    The requested order is estimated from counts, each lower order from the number of different symbols before a gram.
    Below order 1 is a uniform distribution over all V symbols.
    """
    grams = _grams(np.zeros(len(training_ids), np.int32), 1, training_ids, symbols)
    contexts = np.zeros(len(validation_ids), np.int64)  # all empty
    lower = np.full(len(validation_ids), 1 / symbols)
    for order in range(1, highest + 1):
        ranks = Ranks(contexts, _find(grams.keys, contexts, validation_ids, symbols))
        yield order, _interpolate(grams.counts, grams, ranks, lower)
        if order == highest:
            return
        longer = _grams(grams.occurrences[:-1], len(grams.keys), training_ids[order:], symbols)
        lower = _interpolate(_continuations(grams, longer), grams, ranks, lower)
        # The gram that ends at a symbol is the context of the next one.
        contexts = np.concatenate([[UNSEEN], ranks.grams[:-1]])
        grams = longer


def _grams(prefixes: NDArray[np.int32], prefix_count: int, ids: Ids, symbols: int) -> Grams:
    """The grams that each of `prefixes`, by rank, forms with the symbol of `ids` that follows it."""
    keys, occurrences, counts = np.unique(
        prefixes.astype(np.int64) * symbols + ids, return_inverse=True, return_counts=True
    )
    return Grams(keys, keys // symbols, prefix_count, counts, occurrences.astype(np.int32))


def _find(keys: NDArray[np.int64], contexts: NDArray[np.int64], ids: Ids, symbols: int) -> NDArray[np.int64]:
    """The rank among `keys` of each symbol with its context, or `UNSEEN`."""
    if not len(keys):
        return np.full(len(ids), UNSEEN)
    wanted = contexts * symbols + ids  # negative after an unseen context, and no key is negative
    ranks = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[ranks] == wanted, ranks, UNSEEN)


def _continuations(grams: Grams, longer: Grams) -> NDArray[np.int64]:
    """For each gram, the number of different symbols before it: of one longer grams that end in it."""
    ends = np.empty(len(longer.keys), np.int64)
    ends[longer.occurrences] = np.arange(1, len(longer.occurrences) + 1)  # one position of each gram
    return np.bincount(grams.occurrences[ends], minlength=len(grams.keys))


def _interpolate(
    counts: NDArray[np.int64], grams: Grams, ranks: Ranks, lower: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate one order with the next lower one, which gets the probability that the discount takes away.

    After a context without a following symbol, for example at the end of the text, the result is `lower`.
    """
    discount = _discount(counts)
    totals = np.bincount(grams.prefixes, weights=counts, minlength=grams.prefix_count)
    followers = np.bincount(grams.prefixes, weights=counts > 0, minlength=grams.prefix_count)
    # An additional zero at the end, for the rank UNSEEN (-1): an unseen context or gram.
    totals, followers, counts = (np.append(array, 0) for array in (totals, followers, counts))
    total = totals[ranks.contexts]
    own = np.maximum(counts[ranks.grams] - discount, 0)
    mixed = own + discount * followers[ranks.contexts] * lower
    probabilities: NDArray[np.float64] = np.divide(mixed, total, out=lower.copy(), where=total > 0)
    return probabilities


def _discount(counts: NDArray[np.int64]) -> float:
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once else DISCOUNT_WITHOUT_SINGLES
