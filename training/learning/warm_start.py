"""Warm start: the weights of a network extended to a larger vocabulary."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError
from training.network.weights import NetworkWeights


def warm_started(untrained: NetworkWeights, known: NetworkWeights) -> NetworkWeights:
    """The weights `known`, with those of the symbols that it lacks taken from `untrained`.

    A new symbol starts as unlikely as the least likely known one. Known symbols must have the same ids in both.

    Raises:
        InputError: the two networks differ in more than the number of symbols.
    """
    symbols = len(known.output_bias)
    if _shape(untrained) != _shape(known):
        raise InputError(f"The network to start from has {_shape(known)}, the one to train {_shape(untrained)}.")
    output_kernel = untrained.output_kernel.copy()
    output_bias = np.full_like(untrained.output_bias, known.output_bias.min())
    output_kernel[:, :symbols], output_bias[:symbols] = known.output_kernel, known.output_bias
    started = dataclasses.replace(known, output_kernel=output_kernel, output_bias=output_bias)
    if untrained.embedding is not None and known.embedding is not None:
        return dataclasses.replace(started, embedding=_extended(known.embedding, untrained.embedding))
    kernel = _extended(known.layers[0].kernel, untrained.layers[0].kernel)
    bottom = dataclasses.replace(known.layers[0], kernel=kernel)
    return dataclasses.replace(started, layers=(bottom, *known.layers[1:]))


def _extended(known: NDArray[np.float32], untrained: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows of `known`, and those of `untrained` after them."""
    return np.concatenate([known, untrained[len(known) :]])


def _shape(weights: NetworkWeights) -> str:
    units = weights.output_kernel.shape[0]
    inputs = "one-hot symbols" if weights.embedding is None else f"an embedding of {weights.embedding.shape[1]}"
    count = len(weights.layers)
    return f"{count} {weights.cell} {'layer' if count == 1 else 'layers'} of {units} units over {inputs}"
