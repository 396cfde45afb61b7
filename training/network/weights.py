"""The trained numbers of a network as NumPy arrays, read from a Keras network and written into one.

Knows nothing of how a network computes, is trained or is exported.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.network.network import Network


@dataclass(frozen=True)
class LayerWeights:
    """One recurrent layer. Gate order: LSTM input, forget, output, candidate; GRU update, reset, candidate."""

    kernel: NDArray[np.float32]  # [inputs, gates x H]
    recurrent_kernel: NDArray[np.float32]  # [H, gates x H]
    bias: NDArray[np.float32]  # [gates x H]
    candidate_bias: NDArray[np.float32] | None = None  # [H], GRU only

    @property
    def arrays(self) -> list[NDArray[np.float32]]:
        """The arrays that the cell has, in this order."""
        return [array for array in dataclasses.astuple(self) if array is not None]


@dataclass(frozen=True)
class NetworkWeights:
    """Every trained number of a network."""

    cell: str
    embedding: NDArray[np.float32] | None  # [V, E]; None: symbols are one-hot
    layers: tuple[LayerWeights, ...]  # bottom first
    output_kernel: NDArray[np.float32]  # [H, V]
    output_bias: NDArray[np.float32]  # [V]

    @property
    def arrays(self) -> list[NDArray[np.float32]]:
        """All arrays, bottom to top."""
        embedding = [] if self.embedding is None else [self.embedding]
        layers = [array for layer in self.layers for array in layer.arrays]
        return [*embedding, *layers, self.output_kernel, self.output_bias]

    @property
    def parameters(self) -> int:
        """The number of trained numbers."""
        return sum(array.size for array in self.arrays)


def scale_logits(weights: NetworkWeights, factor: float) -> NetworkWeights:
    """The network with its logits multiplied by `factor` (temperature scaling, Guo et al. 2017)."""
    return dataclasses.replace(
        weights, output_kernel=weights.output_kernel * factor, output_bias=weights.output_bias * factor
    )


def weights_of(network: Network) -> NetworkWeights:
    """Copy the trained numbers out of a network."""
    arrays = iter(variable.numpy() for variable in _in_order(network))
    cell = network.config.cell
    return NetworkWeights(
        cell=cell,
        embedding=next(arrays) if network.config.embedding else None,
        layers=tuple(
            LayerWeights(next(arrays), next(arrays), next(arrays), next(arrays) if cell == "gru" else None)
            for _ in network.recurrent
        ),
        output_kernel=next(arrays),
        output_bias=next(arrays),
    )


def set_weights(network: Network, weights: NetworkWeights) -> None:
    """Set a network's trained numbers to those of another network of its shape."""
    for variable, array in zip(_in_order(network), weights.arrays, strict=True):
        variable.assign(array)


def _in_order(network: Network) -> list[Any]:
    """The network's variables in the order of `NetworkWeights.arrays`, however Keras tracks them."""
    embedding = [network.embedding] if network.config.embedding else []
    layers = [variable for layer in network.recurrent for variable in layer.trainable_variables]
    return [*embedding, *layers, network.output_kernel, network.output_bias]
