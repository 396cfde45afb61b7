"""One loaded version: `advance` over NumPy arrays. THE ONLY MODULE THAT IMPORTS TENSORFLOW.

TensorFlow is imported when the first model loads: it takes seconds, and whoever imports the service for another
reason does not pay them.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.model import files
from service.model.codec import RESERVED, TextCodec
from service.model.files import FileError
from service.model.manifest import Manifest

log = logging.getLogger(__name__)

# The same weights on another processor round otherwise; damaged ones are off by far more.
PROBE_TOLERANCE_NATS = 1e-3
ROW_MULTIPLES = (4, 8, 16, 32)  # a product of fewer rows takes no less time
ROWS_MEASURED = 64
TEXTS_MEASURED = (8, 32)  # texts, characters
CHUNKS_MEASURED = (2, 1, 16, 3, 10)  # of these characters, call by call

Advance = Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]

_row_multiples: dict[tuple[str, int, int, int], int] = {}
_measuring = threading.Lock()


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

    def __init__(self, folder: Path) -> None:
        """Load a version folder, replay its probe, and measure `row_multiple`.

        Raises:
            ModelError: the version is broken, or not one that this service understands.
        """
        try:
            files.check(folder)
            self.manifest = Manifest.read(folder)
        except FileError as error:
            raise ModelError(str(error)) from error
        if (folder.parent.name, folder.name) != (self.manifest.name, str(self.manifest.version)):
            raise ModelError(f"its manifest says that it is {self.manifest.name} {self.manifest.version}")
        self.text = TextCodec(self.manifest)
        self._loaded, self._advance = _load(folder)
        self._check_weights()
        self._replay_probe()
        self.row_multiple = self._row_multiple()
        log.info("Loaded %s %d; rows in multiples of %d.", self.manifest.name, self.manifest.version, self.row_multiple)

    def advance(self, steps: Steps) -> Stepped:
        """One call of the artifact's `advance`."""
        return Stepped(**self._advance(vars(steps)))

    def initial_state(self, rows: int) -> NDArray[np.float32]:
        """[S, N, H] of zeros: nothing came before."""
        return np.zeros((self.manifest.state_tensors, rows, self.manifest.units), np.float32)

    def _row_multiple(self) -> int:
        """The number that a batch's rows must be a multiple of for a row's bits not to depend on its neighbours.

        A matrix product computes rows in tiles, and rounds otherwise in a tile that is not full. The tile's size is
        the processor's and the library's, so it is measured, once for each shape of network.
        """
        manifest = self.manifest
        shape = (manifest.cell, manifest.layers, manifest.units, manifest.symbols)
        with _measuring:
            if shape not in _row_multiples:
                _row_multiples[shape] = self._measured_row_multiple()
            return _row_multiples[shape]

    def _measured_row_multiple(self) -> int:
        """The smallest at which some texts get the same bits alone and in every place of every batch, in any chunks."""
        generator = np.random.Generator(np.random.PCG64(0))
        texts = generator.integers(1, self.manifest.symbols, TEXTS_MEASURED)
        whole = (TEXTS_MEASURED[1],)
        for multiple in ROW_MULTIPLES:
            alone = np.concatenate([self._read(np.repeat([text], multiple, axis=0), whole)[:1] for text in texts])
            for rows in range(multiple, ROWS_MEASURED + 1, multiple):
                places = np.arange(rows) % len(texts)
                if (self._read(texts[places], CHUNKS_MEASURED) != alone[places]).any():
                    break
            else:
                return multiple
        return ROWS_MEASURED

    def _read(self, symbols: NDArray[np.int64], chunks: tuple[int, ...]) -> NDArray[np.float32]:
        """Logprobs and at the end the state [N, K + S x H] of cold rows that follow `symbols`, so many at a time."""
        found: list[Stepped] = []
        for given in np.split(symbols, np.cumsum(chunks)[:-1], axis=1):
            steps = self._cold_steps(given, np.full(len(given), given.shape[1]), np.zeros(given.shape))
            if found:
                steps = dataclasses.replace(steps, previous=found[-1].previous, state=found[-1].state)
            found.append(self.advance(steps))
        state = np.concatenate(list(found[-1].state), axis=1)
        return np.concatenate([*(stepped.logprobs for stepped in found), state], axis=1)

    def _cold_steps(self, given: Any, given_length: Any, uniforms: Any) -> Steps:
        """Inputs for rows that begin cold, follow `given` [N, K] as far as it goes, and sample without any filter."""
        rows, steps = given.shape
        return Steps(
            previous=np.full(rows, RESERVED, np.int32),
            given=given.astype(np.int32),
            given_length=np.asarray(given_length, np.int32),
            length=np.full(rows, steps, np.int32),
            uniforms=uniforms.astype(np.float32),
            temperature=np.ones(rows, np.float32),
            top_k=np.zeros(rows, np.int32),
            top_p=np.ones(rows, np.float32),
            bias=np.zeros((rows, self.manifest.symbols), np.float32),
            state=self.initial_state(rows),
        )

    def _check_weights(self) -> None:
        """Refuse NaN and infinity, also in the rows of the embedding that the probe does not reach."""
        for weights in self._loaded.signatures["advance"].variables:
            if weights.dtype.is_floating and not np.isfinite(weights.numpy()).all():
                raise ModelError(f"its weights {weights.name!r} are not all finite numbers")

    def _replay_probe(self) -> None:
        probe = self.manifest.probe
        prompt = self.text.encode(probe.prompt)
        sampled = max(0, len(probe.symbols) - len(prompt))
        generator = np.random.Generator(np.random.PCG64(probe.seed))
        uniforms = np.pad(generator.random(sampled, dtype=np.float32), (len(prompt), 0))
        given = np.pad(prompt, (0, sampled))
        try:
            found = self.advance(self._cold_steps(given[None], [len(prompt)], uniforms[None]))
        except Exception as error:
            raise ModelError(f"its probe fails: {error}") from error
        if tuple(found.symbols[0]) != probe.symbols or not np.allclose(
            found.logprobs[0], probe.logprobs, rtol=0, atol=PROBE_TOLERANCE_NATS
        ):
            raise ModelError("it does not repeat its probe: the weights are not those that were published")
        if not np.isfinite(found.state).all():
            raise ModelError("its state after its probe is not finite")


def configure_threads(engines: int) -> None:
    """One core for each engine's call, and as many calls at once as there are engines. Before anything loads."""
    import tensorflow as tf

    # TensorFlow would take every core for one product; engines side by side use them better (docs/experiments.md).
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(engines)


def _load(folder: Path) -> tuple[Any, Advance]:
    """What TensorFlow loaded, to be held as long as its function is, and that function over arrays."""
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
        function = loaded.signatures["advance"]
    except Exception as error:  # TensorFlow raises whatever the broken file makes it raise
        raise ModelError(f"TensorFlow {tf.__version__} cannot load it: {error}") from error

    def advance(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = function(**arrays)
        return {name: output.numpy() for name, output in outputs.items()}

    return loaded, advance
