"""A published version, used through its artifact alone: load it, score a text, generate a text."""

import codecs
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED, Vocabulary
from training.errors import InputError
from training.network.layer import CELLS
from training.network.weights import NetworkWeights
from training.object_storage import DamagedError
from training.release.devices import leave_gpu_to_jax
from training.release.export import BFLOAT16_UNITS
from training.release.exported import trained_weights
from training.release.store import folder_of, manifest_of, versions

# Another processor rounds differently; damaged weights differ by far more.
PROBE_TOLERANCE_NATS = 1e-3
STEPS_PER_CALL = 16


class PublishedModel:
    """The SavedModel and the manifest of one version folder.

    Its products are computed in `precision`, "float32" or "bfloat16".

    Raises:
        InputError: the manifest is missing or damaged, or the version has no functions for this precision.
        Exception: TensorFlow's own, where the SavedModel is damaged.
    """

    def __init__(self, folder: Path, precision: str = "float32") -> None:
        self.precision = precision
        self.manifest = manifest_of(folder)
        self.vocabulary = Vocabulary.from_json(self.manifest["vocabulary"], self.manifest["unit"])
        leave_gpu_to_jax()
        self._loaded = tf.saved_model.load(str(folder))  # its signatures need it
        function = "advance" if precision == "float32" else f"advance_{precision}"
        if function not in self._loaded.signatures:
            raise InputError(
                f"{self.manifest['name']} {self.manifest['version']} has no function {function}: publish it again to "
                f"add it. Networks of fewer than {BFLOAT16_UNITS} units have none; it has {self.manifest['units']}."
            )
        self._advance = self._loaded.signatures[function]
        self._inspect = self._loaded.signatures["inspect"]

    def initial_state(self, rows: int = 1) -> NDArray[np.float32]:
        """Zeros [S, N, H] for N rows."""
        states = CELLS[self.manifest["cell"]].states * self.manifest["layers"]
        return np.zeros((states, rows, self.manifest["units"]), np.float32)

    def weights(self) -> NetworkWeights:
        """The trained numbers, for another run to start from.

        Raises:
            InputError: an older version of Charloom published this one without them.
        """
        if not hasattr(self._loaded, "gates"):
            name, version = self.manifest["name"], self.manifest["version"]
            raise InputError(f"{name} {version} does not hold its trained weights: train it anew to start from it.")
        return trained_weights(self._loaded, self.manifest["cell"])

    def advance(
        self,
        previous: int,
        given: NDArray[np.int32],
        uniforms: NDArray[np.float32],
        state: Any,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> dict[str, Any]:
        """Follow `given` [K'], then sample one symbol for each of `uniforms` [K'']; N = 1.

        Returns:
            The outputs of the artifact's `advance` (models/README.md).
        """
        steps = len(given) + len(uniforms)
        outputs: dict[str, Any] = self._advance(
            previous=_row(previous, tf.int32),
            given=tf.constant(np.pad(given, (0, len(uniforms)))[None], tf.int32),
            given_length=_row(len(given), tf.int32),
            length=_row(steps, tf.int32),
            uniforms=tf.constant(np.pad(uniforms, (len(given), 0))[None], tf.float32),
            temperature=_row(temperature, tf.float32),
            top_k=_row(top_k, tf.int32),
            top_p=_row(top_p, tf.float32),
            bias=tf.zeros((1, len(self.vocabulary))),
            state=state,
        )
        return outputs

    def repeats_probe(self) -> bool:
        """Whether the model generates the text and logprobs of the manifest's probe."""
        probe = self.manifest["probe"]
        given = self.vocabulary.encode(probe["prompt"])
        generator = np.random.Generator(np.random.PCG64(probe["seed"]))
        uniforms = generator.random(len(probe["symbols"]) - len(given), dtype=np.float32)
        outputs = self.advance(RESERVED, given, uniforms, self.initial_state())
        symbols, logprobs = outputs["symbols"].numpy()[0], outputs["logprobs"].numpy()[0]
        is_close = np.allclose(logprobs, probe["logprobs"], rtol=0, atol=PROBE_TOLERANCE_NATS)
        return symbols.tolist() == probe["symbols"] and bool(is_close)

    def read(self, previous: NDArray[np.int32], targets: NDArray[np.int32], state: Any) -> Any:
        """Nats of each target [N, T] and the state after them: a `training.learning.evaluate.Reader`."""
        rows, steps = targets.shape
        outputs = self._advance(
            previous=tf.constant(previous[:, 0], tf.int32),
            given=tf.constant(targets, tf.int32),
            given_length=tf.fill([rows], steps),
            length=tf.fill([rows], steps),
            uniforms=tf.zeros((rows, steps)),
            temperature=tf.zeros(rows),
            top_k=tf.zeros(rows, tf.int32),
            top_p=tf.ones(rows),
            bias=tf.zeros((rows, len(self.vocabulary))),
            state=state,
        )
        return -outputs["logprobs"].numpy(), outputs["state"]

    def unknown(self, prompt: str) -> Counter[str]:
        """The symbols of a prompt that are outside the vocabulary, in readable form, and their counts."""
        text = self._normalized(prompt)
        is_byte = self.vocabulary.unit == "byte"
        shown = [f"0x{byte:02x}" for byte in text.encode("utf-8", "surrogatepass")] if is_byte else map(repr, text)
        ids = self.vocabulary.encode(text)
        return Counter(symbol for symbol, id_ in zip(shown, ids, strict=True) if id_ == RESERVED)

    def generate(
        self, prompt: str, *, length: int, temperature: float, seed: int, top_k: int = 0, top_p: float = 1.0
    ) -> Iterator[str]:
        """Continue `prompt` by `length` characters, a few at a time; the service generates the same text for a seed."""
        generator = np.random.Generator(np.random.PCG64(seed))
        given = self.vocabulary.encode(self._normalized(prompt))
        previous, state = RESERVED, self.initial_state()
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while length:
            chunk = generator.random(STEPS_PER_CALL, dtype=np.float32)
            outputs = self.advance(previous, given, chunk, state, temperature=temperature, top_k=top_k, top_p=top_p)
            symbols = outputs["symbols"].numpy()[0, len(given) :]
            text = self.vocabulary.decode(symbols)
            if self.vocabulary.unit == "byte":
                text = decode(bytes(self.vocabulary.points[id_ - 1] for id_ in symbols))
            yield text[:length]
            length -= min(length, len(text))
            previous, state, given = int(outputs["previous"][0]), outputs["state"], given[:0]

    def _normalized(self, prompt: str) -> str:
        """The prompt, normalized as training texts are: line ends LF, and the model's Unicode normal form."""
        if ord("\r") not in self.vocabulary.points:
            prompt = prompt.replace("\r\n", "\n").replace("\r", "\n")
        return unicodedata.normalize("NFC", prompt) if self.manifest["normalization"] == "NFC" else prompt


def newest_valid(models: Path, name: str) -> int | None:
    """The highest valid version of a model, which the service serves; None where there is none."""
    return next((number for number in reversed(versions(models, name)) if _is_valid(models, name, number)), None)


def is_valid(folder: Path) -> bool:
    """Whether a version loads and repeats its probe, as the service requires."""
    try:
        return PublishedModel(folder).repeats_probe()
    except Exception:  # noqa: BLE001  # a damaged file can raise anything in TensorFlow
        return False


def _is_valid(models: Path, name: str, number: int) -> bool:
    try:
        return is_valid(folder_of(models, name, number))
    except DamagedError:
        return False


def _row(value: float, dtype: tf.DType) -> tf.Tensor:
    return tf.constant([value], dtype)
