"""One loaded version: `advance` over NumPy arrays. THE ONLY MODULE THAT IMPORTS TENSORFLOW.

TensorFlow is imported when the first model loads: it takes seconds, and whoever imports the service for another
reason does not pay them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import Manifest, ManifestError
from service.artifact.text import RESERVED, TextCodec

# The same weights on another processor round otherwise; damaged ones are off by far more.
PROBE_TOLERANCE_NATS = 1e-3
ROW_MULTIPLES = (1, 2, 4, 8, 16, 32)
ROW_MULTIPLE_STEPS = 8


class ModelError(Exception):
    """A version that cannot be served; the message says why, to follow the version's name."""


@dataclass(frozen=True)
class Steps:
    """The inputs of one call for N rows and K steps; models/README.md says what each one means."""

    previous: NDArray[np.int32]  # [N]
    given: NDArray[np.int32]  # [N, K]
    given_length: NDArray[np.int32]  # [N]
    length: NDArray[np.int32]  # [N]
    uniforms: NDArray[np.float32]  # [N, K]
    temperature: NDArray[np.float32]  # [N]
    top_k: NDArray[np.int32]  # [N]
    top_p: NDArray[np.float32]  # [N]
    bias: NDArray[np.float32]  # [N, V]
    state: NDArray[np.float32]  # [S, N, H]


@dataclass(frozen=True)
class Stepped:
    """The outputs of one call."""

    symbols: NDArray[np.int32]  # [N, K]
    logprobs: NDArray[np.float32]  # [N, K]
    previous: NDArray[np.int32]  # [N]
    state: NDArray[np.float32]  # [S, N, H]


class Model:
    """A version that answers. Holds no state of any stream, so any number of threads may share it."""

    def __init__(self, folder: Path, *, max_rows: int) -> None:
        """Load a version folder, replay its probe, and measure `row_multiple` for batches of up to `max_rows`.

        Raises:
            ModelError: the version is broken, or not one that this service understands.
        """
        try:
            self.manifest = Manifest.read(folder / "assets.extra" / "manifest.json")
        except ManifestError as error:
            raise ModelError(str(error)) from error
        if (folder.parent.name, folder.name) != (self.manifest.name, str(self.manifest.version)):
            raise ModelError(f"its manifest says that it is {self.manifest.name} {self.manifest.version}")
        self.text = TextCodec(self.manifest)
        self._loaded, self._advance = _load(folder)
        self._replay_probe()
        self.row_multiple = self._row_multiple(max_rows)

    def advance(self, steps: Steps) -> Stepped:
        """One call of the artifact's `advance`."""
        outputs = self._advance(**vars(steps))
        return Stepped(**{name: output.numpy() for name, output in outputs.items()})

    def cold_state(self, rows: int) -> NDArray[np.float32]:
        """[S, N, H] of zeros: nothing came before."""
        return np.zeros((self.manifest.state_tensors, rows, self.manifest.units), np.float32)

    def _row_multiple(self, max_rows: int) -> int:
        """The number that a batch's rows must be a multiple of for a row's bits not to depend on its neighbours.

        A matrix product computes rows in tiles, and rounds otherwise in a tile that is not full. The tile's size is
        the processor's and the library's, so it is measured: the smallest multiple at which all rows of all batches
        get the same bits.
        """
        symbols = np.array(self.manifest.probe.symbols[:ROW_MULTIPLE_STEPS], np.int32)
        for multiple in ROW_MULTIPLES:
            alone = self._follow(symbols, multiple)[0]
            batches = range(multiple, max_rows + multiple, multiple)
            if all((self._follow(symbols, rows) == alone).all() for rows in batches):
                return multiple
        return max_rows

    def _follow(self, symbols: NDArray[np.int32], rows: int) -> NDArray[np.float32]:
        """Logprobs [N, K] of N cold rows that follow `symbols`."""
        return self.advance(self._same_rows(symbols, rows, len(symbols), np.zeros(len(symbols)))).logprobs

    def _same_rows(self, given: Any, rows: int, given_length: int, uniforms: Any) -> Steps:
        def column(value: float, dtype: Any) -> Any:
            return np.full(rows, value, dtype)

        return Steps(
            previous=column(RESERVED, np.int32),
            given=np.tile(np.asarray(given, np.int32), (rows, 1)),
            given_length=column(given_length, np.int32),
            length=column(len(given), np.int32),
            uniforms=np.tile(np.asarray(uniforms, np.float32), (rows, 1)),
            temperature=column(1, np.float32),
            top_k=column(0, np.int32),
            top_p=column(1, np.float32),
            bias=np.zeros((rows, self.manifest.symbols), np.float32),
            state=self.cold_state(rows),
        )

    def _replay_probe(self) -> None:
        probe = self.manifest.probe
        prompt = self.text.encode(probe.prompt)
        sampled = len(probe.symbols) - len(prompt)
        generator = np.random.Generator(np.random.PCG64(probe.seed))
        uniforms = np.concatenate([np.zeros(len(prompt)), generator.random(sampled, dtype=np.float32)])
        given = np.concatenate([prompt, np.zeros(sampled)])
        try:
            found = self.advance(self._same_rows(given, 1, len(prompt), uniforms))
        except Exception as error:
            raise ModelError(f"its probe fails: {error}") from error
        if tuple(found.symbols[0]) != probe.symbols or not np.allclose(
            found.logprobs[0], probe.logprobs, rtol=0, atol=PROBE_TOLERANCE_NATS
        ):
            raise ModelError("it does not repeat its probe: the weights are not those that were published")


def configure_threads(engines: int) -> None:
    """One core for each engine's call, and as many calls at once as there are engines. Before anything loads."""
    import tensorflow as tf

    # TensorFlow would take every core for one product; engines side by side use them better (docs/experiments.md).
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(engines)


def _load(folder: Path) -> Any:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
        return loaded, loaded.signatures["advance"]
    except Exception as error:  # TensorFlow raises whatever the broken file makes it raise
        raise ModelError(f"TensorFlow {tf.__version__} cannot load it: {error}") from error
