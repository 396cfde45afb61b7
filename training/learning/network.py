"""ONE Keras model for training, evaluation and export: (ids [N,T], state [S,N,H]) -> (logits [N,T,V], state).

The recurrent state is a value that goes in and comes out. Nothing is stored inside a layer, so whoever calls decides
what a row continues from.
"""

import dataclasses
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.learning.recurrence import LSTM


@dataclass(frozen=True)
class LstmWeights:
    """One LSTM layer; the four gates stand side by side: input, forget, output, candidate."""

    kernel: NDArray[np.float32]  # [inputs, 4H]
    recurrent_kernel: NDArray[np.float32]  # [H, 4H]
    bias: NDArray[np.float32]  # [4H]


@dataclass(frozen=True)
class NetworkWeights:
    """Every trained number of a network, as arrays."""

    embedding: NDArray[np.float32]  # [V, E]
    lstm: tuple[LstmWeights, ...]  # bottom first
    output_kernel: NDArray[np.float32]  # [H, V]
    output_bias: NDArray[np.float32]  # [V]

    @property
    def parameters(self) -> int:
        """How many numbers these are."""
        arrays = [self.embedding, self.output_kernel, self.output_bias]
        for layer in self.lstm:
            arrays += [layer.kernel, layer.recurrent_kernel, layer.bias]
        return sum(array.size for array in arrays)


def build_network(config: TrainConfig, symbols: int, *, dtype: str = "float32") -> keras.Model:
    """An untrained network over `symbols` (V) ids, its initial weights and its dropout drawn from `config.seed`."""
    keras.utils.set_random_seed(config.seed % 2**32)
    ids = keras.Input((None,), dtype="int32", name="ids")
    state = keras.Input(batch_shape=(2 * config.layers, None, config.units), dtype=dtype, name="state")
    # Keras' own initial embedding is so small that the gates see nothing of the text for epochs.
    spread = keras.initializers.RandomNormal(stddev=1.0)
    x = keras.layers.Embedding(symbols, config.embedding, spread, dtype=dtype, name="embedding")(ids)
    x = keras.ops.transpose(x, (1, 0, 2))  # time-major from here on: a step is a row
    new_state = []
    for layer in range(config.layers):
        lstm = LSTM(config.units, weight_dropout=config.weight_dropout, dtype=dtype, name=f"lstm_{layer}")
        x, h, c = lstm(x, state[2 * layer], state[2 * layer + 1])
        new_state += [h, c]
        x = keras.layers.Dropout(config.dropout, dtype=dtype)(x)
    logits = keras.layers.Dense(symbols, dtype=dtype, name="logits")(x)
    outputs = [keras.ops.transpose(logits, (1, 0, 2)), keras.ops.stack(new_state)]
    network = keras.Model([ids, state], outputs)
    network.dtype_policy = dtype  # or its inputs would be rounded to float32
    return network


def scale_logits(weights: NetworkWeights, factor: float) -> NetworkWeights:
    """The same network, less sure of itself (`factor` below 1) or more."""
    return dataclasses.replace(
        weights, output_kernel=weights.output_kernel * factor, output_bias=weights.output_bias * factor
    )


def state_shape(config: TrainConfig, streams: int) -> tuple[int, int, int]:
    """[S, N, H]: h, then c, of each layer, bottom first. Zeros are a cold start."""
    return (2 * config.layers, streams, config.units)


def weights_of(network: keras.Model) -> NetworkWeights:
    """The trained numbers of a network that `build_network` made."""
    lstm = [layer for layer in network.layers if isinstance(layer, LSTM)]
    output_kernel, output_bias = network.get_layer("logits").get_weights()
    return NetworkWeights(
        embedding=network.get_layer("embedding").get_weights()[0],
        lstm=tuple(LstmWeights(*layer.get_weights()) for layer in lstm),
        output_kernel=output_kernel,
        output_bias=output_bias,
    )
