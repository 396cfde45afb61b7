"""One call of a model for the rows of a batch: a row that makes it fail, or gets no usable output, fails alone.

Knows arrays, not listeners, and not how rows join and leave.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.model.codec import RESERVED
from service.model.model import Model, Stepped, SteppedTop, Steps

log = logging.getLogger(__name__)

Errors = dict[int, Exception]
"""By the index of a row: why it could not be advanced."""


class UnusableOutput(Exception):
    """The model gave a row a symbol that is never sampled, or a logprob that is not a number."""


def advance(model: Model, steps: Steps, used: Sequence[int], *, guesses: bool = False) -> tuple[Stepped, Errors]:
    """Advance as many rows of `steps` as `used` has items; the others are padding. `guesses`: the outputs have them.

    `used` has the number of steps whose outputs each row uses. Only these outputs can make a row fail, so that it does
    not depend on the length of the call, which is that of another row.

    A call that fails is repeated for each half of its rows, and so on down to single rows. The model is a pure
    function, so the other rows get the same bits as if the call had succeeded.

    Returns:
        The outputs, which are undefined for the rows that failed, and the errors of these.
    """
    function = model.advance_top if guesses else model.advance
    try:
        outputs, errors = function(steps), Errors()
    except Exception as error:
        log.exception("A call of %d rows of %s failed.", len(used), model.manifest.model_version)
        metrics.ENGINE_FAILURES.labels("call").inc()
        outputs, errors = _advance_by_halves(function, steps, len(used), model.row_multiple, error)
    for row in _unusable(outputs, steps, used, model.manifest.symbols).tolist():
        if row not in errors:
            metrics.ENGINE_FAILURES.labels("call").inc()
            errors[row] = UnusableOutput("The model gave no usable symbol.")
    return outputs, errors


def _advance_by_halves(
    function: Callable[[Steps], Stepped], steps: Steps, rows: int, multiple: int, error: Exception
) -> tuple[Stepped, Errors]:
    """The outputs of smaller calls in place of one that failed with `error`."""
    symbols, logprobs = np.zeros_like(steps.given), np.zeros_like(steps.uniforms)
    outputs, errors = Stepped(symbols, logprobs, steps.previous.copy(), steps.state.copy()), Errors()
    failed = [(np.arange(rows), error)]
    while failed:
        indices, error = failed.pop()
        if len(indices) == 1:
            errors[int(indices[0])] = error
            continue
        for half in np.array_split(indices, 2):
            try:
                found = function(_take(steps, half, multiple))
            except Exception as half_error:  # noqa: BLE001  # it fails the row that causes it
                failed.append((half, half_error))
                continue
            outputs = _with_guesses(outputs, found)
            for name, array in vars(found).items():
                to = np.s_[:, half] if name == "state" else half
                taken = np.s_[:, : len(half)] if name == "state" else np.s_[: len(half)]
                getattr(outputs, name)[to] = array[taken]
    return outputs, errors


def _with_guesses(outputs: Stepped, found: Stepped) -> Stepped:
    """The outputs of all rows, with arrays for guesses if `found`, the outputs of some of them, has guesses."""
    if not isinstance(found, SteppedTop) or isinstance(outputs, SteppedTop):
        return outputs
    shape = (*outputs.symbols.shape, found.top_symbols.shape[2])
    return SteppedTop(**vars(outputs), top_symbols=np.zeros(shape, np.int32), top_logprobs=np.zeros(shape, np.float32))


def _take(steps: Steps, rows: NDArray[np.int64], multiple: int) -> Steps:
    """The inputs of some rows, which are repeated until their number is a multiple."""
    indices = np.resize(rows, -(-len(rows) // multiple) * multiple)
    return Steps(**{name: array.take(indices, 1 if name == "state" else 0) for name, array in vars(steps).items()})


def _unusable(outputs: Stepped, steps: Steps, used: Sequence[int], symbols: int) -> NDArray[np.int64]:
    """The rows that use a sampled id outside the vocabulary, or a logprob that is not a number."""
    rows, step = len(used), np.arange(steps.given.shape[1])
    ids, logprobs = outputs.symbols[:rows], outputs.logprobs[:rows]
    is_sampled = step >= steps.given_length[:rows, None]
    is_symbol = (ids > RESERVED) & (ids < symbols)
    is_used = step < np.asarray(used)[:, None]
    return np.flatnonzero((is_used & ((is_sampled & ~is_symbol) | np.isnan(logprobs))).any(axis=1))
