"""What counting alone predicts: interpolated Kneser-Ney n-grams of a text's ids, as a measure for a network's loss.

Knows ids and nothing of the text behind them; keeps no model, only what a second text costs under it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TRAINING_SYMBOLS = 5_000_000
"""At most so many are counted: the last ones of the training part, which stand nearest to the validation part."""

VALIDATION_SYMBOLS = 1_000_000
"""At most so many are predicted: the first ones of the validation part."""

# Where no gram occurs just once the estimate is 0, and then an unseen symbol would cost infinitely much.
DISCOUNT_WITHOUT_SINGLES = 0.5
UNSEEN = -1

Ids = NDArray[np.integer]


@dataclass(frozen=True)
class Grams:
    """The distinct grams of one order, ranked by (rank of their prefix, last symbol)."""

    keys: NDArray[np.int64]  # [grams] ascending: rank of the prefix * V + last symbol
    prefixes: NDArray[np.int64]  # [grams] the rank of the prefix among the grams one shorter
    prefix_count: int
    counts: NDArray[np.int64]  # [grams]
    occurrences: NDArray[np.int32]  # the rank of the gram that ends at each position of the text that has one


@dataclass(frozen=True)
class Places:
    """Where the symbols of another text stand among the grams of a text, by rank or `UNSEEN`."""

    contexts: NDArray[np.int64]  # the gram before each symbol, one shorter
    grams: NDArray[np.int64]  # the gram that ends in it


def baselines(
    training_ids: Ids, validation_ids: Ids, symbols: int, orders: Iterable[int] = range(1, 9)
) -> dict[int, float]:
    """Nats per symbol that n-gram models of the training ids lose on the validation ids, per order.

    Of long texts `counted` and `predicted` are used. The validation text starts cold, as a network does that is
    evaluated on it: its first symbols have a shorter context.

    Args:
        training_ids: what is counted; every id is below `symbols`.
        validation_ids: what is predicted; not empty.
        symbols: V; id 0, the unknown symbol, is a symbol like the others.
        orders: from 1 (no context) on.
    """
    wanted = set(orders)
    probabilities = probabilities_by_order(counted(training_ids), predicted(validation_ids), symbols, max(wanted))
    return {order: float(-np.log(p).mean()) for order, p in probabilities if order in wanted}


def counted(training_ids: Ids) -> Ids:
    """The part of a training text that `baselines` counts."""
    return training_ids[-TRAINING_SYMBOLS:]


def predicted(validation_ids: Ids) -> Ids:
    """The part of a validation text that `baselines` predicts."""
    return validation_ids[:VALIDATION_SYMBOLS]


def probabilities_by_order(
    training_ids: Ids, validation_ids: Ids, symbols: int, highest: int
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """For each order up to `highest`, the probability of each validation symbol after those before it.

    Kneser and Ney's smoothing (1995), interpolated as by Chen and Goodman (1999), one absolute discount per order:
    the order asked for is estimated from counts, those below it from the number of different symbols that a gram was
    seen after; a uniform distribution over all V symbols lies under the lowest.
    """
    grams = _grams(np.zeros(len(training_ids), np.int32), 1, training_ids, symbols)
    contexts = np.zeros(len(validation_ids), np.int64)  # all empty
    lower = np.full(len(validation_ids), 1 / symbols)
    for order in range(1, highest + 1):
        places = Places(contexts, _find(grams.keys, contexts, validation_ids, symbols))
        yield order, _interpolate(grams.counts, grams, places, lower)
        if order == highest:
            return
        longer = _grams(grams.occurrences[:-1], len(grams.keys), training_ids[order:], symbols)
        lower = _interpolate(_continuations(grams, longer), grams, places, lower)
        # The gram that ends at a symbol is the context of the next one.
        contexts = np.concatenate([[UNSEEN], places.grams[:-1]])
        grams = longer


def _grams(prefixes: NDArray[np.int32], prefix_count: int, ids: Ids, symbols: int) -> Grams:
    """The grams that each of `prefixes`, by rank, forms with the symbol of `ids` that follows it."""
    keys, occurrences, counts = np.unique(
        prefixes.astype(np.int64) * symbols + ids, return_inverse=True, return_counts=True
    )
    return Grams(keys, keys // symbols, prefix_count, counts, occurrences.astype(np.int32))


def _find(keys: NDArray[np.int64], contexts: NDArray[np.int64], ids: Ids, symbols: int) -> NDArray[np.int64]:
    """The rank of each symbol with its context among `keys`, or `UNSEEN`."""
    if not len(keys):
        return np.full(len(ids), UNSEEN)
    wanted = contexts * symbols + ids  # negative after an unseen context, as no key is
    ranks = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[ranks] == wanted, ranks, UNSEEN)


def _continuations(grams: Grams, longer: Grams) -> NDArray[np.int64]:
    """For each gram, how many different symbols it was seen after: the grams one longer that end in it."""
    ends = np.empty(len(longer.keys), np.int64)
    ends[longer.occurrences] = np.arange(1, len(longer.occurrences) + 1)  # any one place of each
    return np.bincount(grams.occurrences[ends], minlength=len(grams.keys))


def _interpolate(
    counts: NDArray[np.int64], grams: Grams, places: Places, lower: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One order over the one below it: what the discount takes from the grams goes to `lower`.

    After a context that nothing follows, in a text that ends in it for example, `lower` is all there is.
    """
    discount = _discount(counts)
    totals = np.bincount(grams.prefixes, weights=counts, minlength=grams.prefix_count)
    followers = np.bincount(grams.prefixes, weights=counts > 0, minlength=grams.prefix_count)
    # One more of each than there are: rank UNSEEN, the last one, is an unseen context, or a gram counted 0 times.
    totals, followers, counts = (np.append(array, 0) for array in (totals, followers, counts))
    total = totals[places.contexts]
    own = np.maximum(counts[places.grams] - discount, 0)
    mixed = own + discount * followers[places.contexts] * lower
    probabilities: NDArray[np.float64] = np.divide(mixed, total, out=lower.copy(), where=total > 0)
    return probabilities


def _discount(counts: NDArray[np.int64]) -> float:
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once else DISCOUNT_WITHOUT_SINGLES
