"""A network that begins with the weights of another, which may know fewer symbols."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError
from training.network.weights import NetworkWeights


def warm_started(fresh: NetworkWeights, known: NetworkWeights) -> NetworkWeights:
    """`known`, with the symbols that it lacks as in `fresh`, an untrained network of the shape that is wanted.

    A symbol that is new begins as unlikely as the least likely known one. Ids of known symbols are the same in both.

    Raises:
        InputError: the two networks differ in more than the number of symbols.
    """
    symbols = len(known.output_bias)
    if _shape(fresh) != _shape(known):
        raise InputError(f"The network to start from has {_shape(known)}, the one to train {_shape(fresh)}.")
    output_kernel, output_bias = fresh.output_kernel.copy(), np.full_like(fresh.output_bias, known.output_bias.min())
    output_kernel[:, :symbols], output_bias[:symbols] = known.output_kernel, known.output_bias
    started = dataclasses.replace(known, output_kernel=output_kernel, output_bias=output_bias)
    if fresh.embedding is not None and known.embedding is not None:
        return dataclasses.replace(started, embedding=_over(fresh.embedding, known.embedding))
    bottom = dataclasses.replace(known.layers[0], kernel=_over(fresh.layers[0].kernel, known.layers[0].kernel))
    return dataclasses.replace(started, layers=(bottom, *known.layers[1:]))


def _over(fresh: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([known, fresh[len(known) :]])


def _shape(weights: NetworkWeights) -> str:
    units = weights.output_kernel.shape[0]
    inputs = "one-hot symbols" if weights.embedding is None else f"an embedding of {weights.embedding.shape[1]}"
    count = len(weights.layers)
    return f"{count} {weights.cell} {'layer' if count == 1 else 'layers'} of {units} units over {inputs}"
