"""One loaded version, checked: its functions as calls of typed arrays. Knows nothing of TensorFlow."""

import dataclasses
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.model import files
from service.model.codec import RESERVED, TextCodec
from service.model.files import FileError
from service.model.guesses import NO_GUESSES, Guesses, guesses_of
from service.model.manifest import Manifest
from service.model.saved_model import SavedModel, SavedModelError

log = logging.getLogger(__name__)

# The same weights round differently on another processor; damaged weights differ by far more.
PROBE_TOLERANCE_NATS = 1e-3
BFLOAT16_TOLERANCE_NATS = 0.05  # a character, over the probe's text
DIVIDED_UNITS = 256  # from which a call that runs alone is faster on several cores (docs/experiments.md)
ROW_MULTIPLES = (4, 8, 16, 32)  # a matrix product of fewer rows takes no less time
ROWS_MEASURED = 64
TEXTS_MEASURED = (8, 32)  # texts, symbols
CHUNKS_MEASURED = (2, 1, 16, 3, 10)  # the same symbols, call by call

_row_multiples: dict[tuple[str, str, int, int, int], int] = {}
_measuring = threading.Lock()


class ModelError(Exception):
    """A version that cannot be served. The message completes a sentence that names the version."""


class MissingFunction(Exception):
    """The version was published without a function that a request needs. The message is one sentence."""


@dataclass(frozen=True)
class Steps:
    """The inputs of one call of `advance` for N rows and K steps (see models/README.md)."""

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
    """The outputs of one call of `advance`."""

    symbols: NDArray[np.int32]  # [N, K]
    logprobs: NDArray[np.float32]  # [N, K]
    previous: NDArray[np.int32]  # [N]
    state: NDArray[np.float32]  # [S, N, H]

    def guesses(self, row: int, steps: int, count: int) -> Guesses:
        """A copy of the `count` best guesses before each of a row's first steps; `NO_GUESSES` if it asks for none."""
        return NO_GUESSES


@dataclass(frozen=True)
class SteppedTop(Stepped):
    """The outputs of one call of `advance_top`."""

    top_symbols: NDArray[np.int32]  # [N, K, 5], fewer where V < 5
    top_logprobs: NDArray[np.float32]  # [N, K, 5]

    def guesses(self, row: int, steps: int, count: int) -> Guesses:
        """A copy of the `count` best guesses before each of a row's first steps; `NO_GUESSES` if it asks for none."""
        if not count:
            return NO_GUESSES
        return guesses_of(self.top_symbols[row, :steps, :count], self.top_logprobs[row, :steps, :count])


@dataclass(frozen=True)
class Inspected:
    """The outputs of one call of `inspect` for N rows and T symbols (see models/README.md)."""

    logprobs: NDArray[np.float32]  # [N, T]
    top_symbols: NDArray[np.int32]  # [N, T, 5]
    top_logprobs: NDArray[np.float32]  # [N, T, 5]
    activations: NDArray[np.float32]  # [N, T, L, H]
    state: NDArray[np.float32]  # [S, N, H]


class Model:
    """A loaded version. Holds no state of any stream, so any number of threads may share it."""

    def __init__(self, folder: Path, precision: str = "float32") -> None:
        """Load a version folder, replay its probe, and measure `row_multiple`.

        Args:
            folder: the folder of the version.
            precision: of the products of `advance` and `advance_top`, `float32` or `bfloat16`. A version without
                functions for it computes in float32.

        Raises:
            ModelError: the version is damaged or not supported.
        """
        try:
            files.check(folder)
            self.manifest = Manifest.read(folder)
        except FileError as error:
            raise ModelError(str(error)) from error
        version = self.manifest.model_version
        if f"{folder.parent.name}/{folder.name}" != str(version):
            raise ModelError(f"its manifest says that it is {version}")
        self.text = TextCodec(self.manifest)
        try:
            self._saved_model = SavedModel(folder, divides=self.manifest.units >= DIVIDED_UNITS)
        except SavedModelError as error:
            raise ModelError(str(error)) from error
        if not self.has("advance"):
            raise ModelError("it has no function 'advance'")
        self._suffix = f"_{precision}" if self.has(f"advance_{precision}") else ""
        self._check_weights()
        self._replay_probe("advance")
        if self._suffix:
            self._follow_probe("advance" + self._suffix)
        with ThreadPoolExecutor(1) as second_core:
            others = second_core.submit(self._check_other_functions)
            self.row_multiple = self._row_multiple()
        others.result()
        log.info(
            "Version %s is loaded; its products are %s, and its batches are padded to multiples of %d rows.",
            version,
            self.precision,
            self.row_multiple,
        )

    @property
    def precision(self) -> str:
        """The type of the products of `advance` and `advance_top`."""
        return self._suffix.removeprefix("_") or "float32"

    def advance(self, steps: Steps) -> Stepped:
        """Call `advance` of the SavedModel, in this precision."""
        return Stepped(**self._call("advance" + self._suffix, **vars(steps)))

    def advance_top(self, steps: Steps) -> Stepped:
        """Call `advance_top` of the SavedModel, which also returns guesses. A row's other bits are those of `advance`.

        Raises:
            MissingFunction: the version has no `advance_top`.
        """
        return SteppedTop(**self._call("advance_top" + self._suffix, **vars(steps)))

    def inspect(self, symbols: NDArray[np.int32], state: NDArray[np.float32]) -> Inspected:
        """Call `inspect` of the SavedModel for symbols [N, T].

        Raises:
            MissingFunction: the version has no `inspect`.
        """
        return Inspected(**self._call("inspect", symbols=symbols, state=state))

    def has(self, function: str) -> bool:
        """Whether the version has a function, such as `advance_top`."""
        return self._saved_model.has(function)

    def require(self, function: str) -> None:
        """Check that the version has a function.

        Raises:
            MissingFunction: it was published without it.
        """
        if not self.has(function):
            raise MissingFunction(
                f"Version {self.manifest.model_version} was published without the function {function!r}."
            )

    def _call(self, function: str, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        self.require(function)
        return self._saved_model.call(function, inputs)

    def initial_state(self, rows: int) -> NDArray[np.float32]:
        """The state [S, N, H] at the start of a text: zeros."""
        return np.zeros((self.manifest.state_tensors, rows, self.manifest.units), np.float32)

    def _row_multiple(self) -> int:
        """The smallest multiple to which a batch must be padded so that a row's bits do not depend on the other rows.

        A matrix product computes rows in tiles, and a tile that is not full rounds differently. The tile's size
        depends on the processor and the library, so it is measured once for each shape of network and precision.
        """
        manifest = self.manifest
        shape = (self.precision, manifest.cell, manifest.layers, manifest.units, manifest.symbols)
        with _measuring:
            if shape not in _row_multiples:
                _row_multiples[shape] = self._measured_row_multiple()
            return _row_multiples[shape]

    def _measured_row_multiple(self) -> int:
        """The smallest multiple at which texts get the same bits alone and at every index of every batch."""
        generator = np.random.Generator(np.random.PCG64(0))
        texts = generator.integers(1, self.manifest.symbols, TEXTS_MEASURED)
        one_chunk = (TEXTS_MEASURED[1],)
        for multiple in ROW_MULTIPLES:
            alone = np.concatenate([self._follow(np.repeat([text], multiple, axis=0), one_chunk)[:1] for text in texts])
            for rows in range(multiple, ROWS_MEASURED + 1, multiple):
                texts_of_rows = np.arange(rows) % len(texts)
                if (self._follow(texts[texts_of_rows], CHUNKS_MEASURED) != alone[texts_of_rows]).any():
                    break
            else:
                return multiple
        return ROWS_MEASURED

    def _follow(self, symbols: NDArray[np.int64], chunks: tuple[int, ...]) -> NDArray[np.float32]:
        """Logprobs and final state [N, K + S x H] of rows that follow `symbols` [N, K] in calls of `chunks` steps."""
        outputs: list[Stepped] = []
        for given in np.split(symbols, np.cumsum(chunks)[:-1], axis=1):
            steps = self._initial_steps(given, np.full(len(given), given.shape[1]), np.zeros(given.shape))
            if outputs:
                steps = dataclasses.replace(steps, previous=outputs[-1].previous, state=outputs[-1].state)
            outputs.append(self.advance(steps))
        state = np.concatenate(list(outputs[-1].state), axis=1)
        return np.concatenate([*(stepped.logprobs for stepped in outputs), state], axis=1)

    def _initial_steps(self, given: Any, given_length: Any, uniforms: Any) -> Steps:
        """Inputs for rows at the start of a text that follow `given` [N, K], then sample without a filter."""
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
        """Refuse NaN and infinity, also in weights that the probe does not use."""
        for name, weights in self._saved_model.weights().items():
            if weights.dtype.kind == "f" and not np.isfinite(weights).all():
                raise ModelError(f"its weights {name!r} are not all finite numbers")

    def _check_other_functions(self) -> None:
        """Call the functions beside `advance` for the first time, which would delay the first request for each."""
        if self.has("advance_top" + self._suffix):
            check = self._follow_probe if self._suffix else self._replay_probe
            check("advance_top" + self._suffix)
        if self.has("inspect"):
            symbol = np.full((1, 1), RESERVED, np.int32)
            try:
                self._saved_model.first_call("inspect", {"symbols": symbol, "state": self.initial_state(1)})
            except Exception as error:
                raise ModelError(f"its function 'inspect' fails: {error}") from error

    def _replay_probe(self, function: str) -> None:
        """Refuse weights that do not generate the probe's text."""
        probe = self.manifest.probe
        prompt = self.text.encode(probe.prompt)
        sampled = max(0, len(probe.symbols) - len(prompt))
        generator = np.random.Generator(np.random.PCG64(probe.seed))
        uniforms = np.pad(generator.random(sampled, dtype=np.float32), (len(prompt), 0))
        given = np.pad(prompt, (0, sampled))
        found = self._call_for_probe(function, self._initial_steps(given[None], [len(prompt)], uniforms[None]))
        if tuple(found.symbols[0]) != probe.symbols or not np.allclose(
            found.logprobs[0], probe.logprobs, rtol=0, atol=PROBE_TOLERANCE_NATS
        ):
            raise ModelError("it does not repeat its probe: the weights are not those that were published")

    def _follow_probe(self, function: str) -> None:
        """Refuse a function in bfloat16 that finds the probe's text much more or less likely.

        Generated in bfloat16, the text may be another: two symbols can be almost equally likely.
        """
        probe = self.manifest.probe
        given = np.array([probe.symbols])
        found = self._call_for_probe(function, self._initial_steps(given, [given.shape[1]], np.zeros(given.shape)))
        if not abs(np.mean(found.logprobs[0] - probe.logprobs)) <= BFLOAT16_TOLERANCE_NATS:
            raise ModelError(f"its function {function!r} does not agree with its probe")

    def _call_for_probe(self, function: str, steps: Steps) -> Stepped:
        """The outputs of a function, which must take these steps and return a finite state."""
        try:
            self._saved_model.check_inputs(function, vars(steps))
            outputs = self._saved_model.first_call(function, vars(steps))
            found = Stepped(**{name: outputs[name] for name in ("symbols", "logprobs", "previous", "state")})
        except Exception as error:
            raise ModelError(f"its probe fails: {error}") from error
        if not np.isfinite(found.state).all():
            raise ModelError("its state after its probe is not finite")
        return found
