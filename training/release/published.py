"""A published version as a person or a job uses it: load, read a text, write a text. From the artifact alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.data.vocabulary import RESERVED, Vocabulary
from training.errors import InputError

MANIFEST = Path("assets.extra") / "manifest.json"
STEPS_PER_CALL = 16


class PublishedModel:
    """The SavedModel and the manifest of one version folder."""

    def __init__(self, folder: Path) -> None:
        self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        self.vocabulary = Vocabulary.from_json(self.manifest["vocabulary"])
        self._loaded = tf.saved_model.load(str(folder))  # its signatures live as long as it does
        self._advance = self._loaded.signatures["advance"]
        self._inspect = self._loaded.signatures["inspect"]

    @property
    def cold_state(self) -> NDArray[np.float32]:
        """[S, 1, H] of zeros: nothing came before."""
        return np.zeros((2 * self.manifest["layers"], 1, self.manifest["units"]), np.float32)

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
        uniforms = np.random.Generator(np.random.PCG64(seed)).random(length, dtype=np.float32)
        given = self.vocabulary.encode(prompt)
        previous, state = RESERVED, self.cold_state
        for start in range(0, length, STEPS_PER_CALL):
            chunk = uniforms[start : start + STEPS_PER_CALL]
            outputs = self.advance(previous, given, chunk, state, temperature=temperature)
            yield self.vocabulary.decode(outputs["symbols"].numpy()[0, len(given) :])
            previous, state = int(outputs["previous"][0]), outputs["state"]
            given = given[:0]


def newest_version(models: Path, name: str) -> Path:
    """The folder of a model's highest version.

    Raises:
        InputError: there is no such model.
    """
    found = versions(models, name)
    if not found:
        raise InputError(f"There is no model {name!r} in {models}: train one with --name {name}.")
    return models / name / str(found[-1])


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
