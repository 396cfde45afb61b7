"""Chooses the trainer: TensorFlow on the cores of a CPU or on a GPU, or JAX (KERAS_BACKEND=jax).

The network, its weights and everything around a step are the same on each. TensorFlow is imported only where it is the
backend: a machine with JAX alone trains too.
"""

from typing import TYPE_CHECKING

import keras

from training.config import TrainConfig
from training.errors import InputError
from training.learning.cores import cores
from training.learning.trainer import Trainer
from training.learning.warm_start import warm_started
from training.network.network import Network
from training.network.weights import NetworkWeights, set_weights, weights_of
from training.packages import BACKENDS

if TYPE_CHECKING:
    from training.learning.collectives import Workers


def use_devices(replicas: int | None = None) -> None:
    """Set the process up for training. Call before anything is computed.

    Args:
        replicas: those of the run, on all workers together; by default one for each core.

    Raises:
        InputError: Keras runs on a backend that cannot train here.
    """
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise InputError(f"KERAS_BACKEND must be {' or '.join(BACKENDS)}, not {backend}.")
    if backend == "tensorflow":
        import tensorflow as tf

        from training.learning.step import use_one_core_per_replica

        if not tf.config.list_physical_devices("GPU"):
            use_one_core_per_replica(replicas)


def local_replicas() -> int | None:
    """The replicas that this machine computes side by side: one for each core, or one for a GPU. None on JAX."""
    if keras.backend.backend() == "jax":
        return None
    import tensorflow as tf

    return 1 if tf.config.list_physical_devices("GPU") else cores()


def make_trainer(
    config: TrainConfig,
    symbols: int,
    start_from: NetworkWeights | None = None,
    *,
    replicas: int | None = None,
    workers: "Workers | None" = None,
) -> Trainer:
    """The trainer for this machine, of a network over V `symbols` with random weights or those of `start_from`.

    Args:
        config: of the run.
        symbols: V.
        start_from: other first weights.
        replicas: the number of all replicas, by default one for each core or one for a GPU. JAX has none.
        workers: the other workers of the run; None: this process trains alone.

    Raises:
        InputError: `start_from` is of another shape than the configuration asks for.
    """
    if keras.backend.backend() == "jax":
        from training.learning.step_jax import JaxTrainer

        return JaxTrainer(_started(Network(config, symbols, stock=True), start_from), config)
    import tensorflow as tf

    from training.learning.step import TensorFlowTrainer

    on_gpu = bool(tf.config.list_physical_devices("GPU"))  # where cuDNN is faster than our own loops
    network = _started(Network(config, symbols, stock=on_gpu), start_from)
    if workers is not None:
        from training.learning.distribute import DistributedTrainer

        assert replicas is not None
        return DistributedTrainer(network, config, workers, replicas=replicas)
    return TensorFlowTrainer(network, config, replicas=replicas or (1 if on_gpu else None))


def _started(network: Network, start_from: NetworkWeights | None) -> Network:
    if start_from is not None:
        set_weights(network, warm_started(weights_of(network), start_from))
    return network
