"""text <-> ids, by the vocabulary of one model."""

import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import Manifest

RESERVED = 0
"""Nothing came before, or a character outside the vocabulary. Never sampled."""


class TextCodec:
    """Encodes prompts and decodes what was sampled."""

    def __init__(self, manifest: Manifest) -> None:
        self._characters = manifest.vocabulary
        self._ids = {character: id_ for id_, character in enumerate(manifest.vocabulary) if character is not None}
        self._normalization = manifest.normalization

    def normalize(self, text: str) -> str:
        """The form of Unicode that the model was trained on."""
        return unicodedata.normalize("NFC", text) if self._normalization == "NFC" else text

    def encode(self, text: str) -> NDArray[np.int32]:
        """Ids [characters] of a normalised text; a character outside the vocabulary becomes `RESERVED`."""
        return np.fromiter((self._ids.get(character, RESERVED) for character in text), np.int32, len(text))

    def decode(self, ids: Iterable[int]) -> str:
        """The characters of sampled ids."""
        return "".join(self._characters[id_] or "" for id_ in ids)
