"""A published version as a person or a job uses it: load, read a text, write a text. From the artifact alone."""

import codecs
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED, Vocabulary
from training.errors import InputError
from training.learning.network import NetworkWeights
from training.learning.recurrence.layer import CELLS
from training.release.export import trained_weights

MANIFEST = Path("assets.extra") / "manifest.json"
STEPS_PER_CALL = 16


class PublishedModel:
    """The SavedModel and the manifest of one version folder."""

    def __init__(self, folder: Path) -> None:
        self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        self.vocabulary = Vocabulary.from_json(self.manifest["vocabulary"], self.manifest["unit"])
        self._loaded = tf.saved_model.load(str(folder))  # its signatures live as long as it does
        self._advance = self._loaded.signatures["advance"]
        self._inspect = self._loaded.signatures["inspect"]

    @property
    def cold_state(self) -> NDArray[np.float32]:
        """[S, 1, H] of zeros: nothing came before."""
        states = CELLS[self.manifest["cell"]].states * self.manifest["layers"]
        return np.zeros((states, 1, self.manifest["units"]), np.float32)

    def weights(self) -> NetworkWeights:
        """The trained numbers, for another run to start from.

        Raises:
            InputError: this version was published before they were kept.
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
    ) -> dict[str, Any]:
        """Follow `given`, then sample one symbol for each of `uniforms`; the artifact's outputs for N = 1."""
        steps = len(given) + len(uniforms)
        outputs: dict[str, Any] = self._advance(
            previous=_row(previous, tf.int32),
            given=tf.constant(np.pad(given, (0, len(uniforms)))[None], tf.int32),
            given_length=_row(len(given), tf.int32),
            length=_row(steps, tf.int32),
            uniforms=tf.constant(np.pad(uniforms, (len(given), 0))[None], tf.float32),
            temperature=_row(temperature, tf.float32),
            top_k=_row(0, tf.int32),
            top_p=_row(1.0, tf.float32),
            bias=tf.zeros((1, len(self.vocabulary))),
            state=state,
        )
        return outputs

    def read(self, previous: NDArray[np.int32], targets: NDArray[np.int32], state: Any) -> Any:
        """A `training.learning.evaluate.Reader`."""
        outputs = self.advance(int(previous[0]), targets, np.zeros(0, np.float32), state)
        return -outputs["logprobs"].numpy()[0], outputs["state"]

    def generate(self, prompt: str, *, length: int, temperature: float, seed: int) -> Iterator[str]:
        """Continue `prompt` by `length` characters, a few at a time: the text that the service gives for this seed."""
        generator = np.random.Generator(np.random.PCG64(seed))
        given = self.vocabulary.encode(unicodedata.normalize("NFC", prompt) if self._is_normalized else prompt)
        previous, state = RESERVED, self.cold_state
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while length:
            chunk = generator.random(STEPS_PER_CALL, dtype=np.float32)
            outputs = self.advance(previous, given, chunk, state, temperature=temperature)
            symbols = outputs["symbols"].numpy()[0, len(given) :]
            text = self.vocabulary.decode(symbols)
            if self.vocabulary.unit == "byte":
                text = decode(bytes(self.vocabulary.points[id_ - 1] for id_ in symbols))
            yield text[:length]
            length -= min(length, len(text))
            previous, state, given = int(outputs["previous"][0]), outputs["state"], given[:0]

    @property
    def _is_normalized(self) -> bool:
        return bool(self.manifest["normalization"] == "NFC")


def version_folder(models: Path, name: str, version: str | None = None) -> Path:
    """The folder of a model's version, of its highest where none is named.

    Raises:
        InputError: there is no such model or version.
    """
    found = [str(number) for number in versions(models, name)]
    if not found:
        raise InputError(f"There is no model {name!r} in {models}: train one with --name {name}.")
    if version not in (None, *found):
        raise InputError(f"There is no version {version} of {name} in {models}: there is {', '.join(found)}.")
    return models / name / (version or found[-1])


def versions(models: Path, name: str) -> list[int]:
    """The published versions of a model, oldest first; every other name in its folder is ignored."""
    folder = models / name
    if not folder.is_dir():
        return []
    return sorted(int(child.name) for child in folder.iterdir() if _is_version(child.name))


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")


def _row(value: float, dtype: tf.DType) -> tf.Tensor:
    return tf.constant([value], dtype)
