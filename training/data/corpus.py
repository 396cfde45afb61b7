"""An encoded corpus on disk: `ids.bin`, which is memory-mapped, and `corpus.json`, which describes it.

The ids of encoded parts stay in the folder or bucket that `corpus.json` names. Reads such a corpus. Does not know how
one is written (prepare.py, join.py).
"""

import hashlib
import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.encoded_parts import EncodedParts, PartsReader
from training.data.held_out import HeldOut
from training.data.parts import key_of, load_parts
from training.data.split import Split
from training.data.storage import storage_of
from training.data.vocabulary import RESERVED, Vocabulary
from training.errors import DamagedRun, InputError

IDS = "ids.bin"
RECORD = "corpus.json"


@dataclass(frozen=True)
class SourceFile:
    """One file of a corpus, as the manifest records it: size and checksum after decompression."""

    path: str
    bytes: int
    sha256: str
    symbols: int = 0  # of its text, normalized
    validation: int | None = None  # symbols in the validation part; only with --split-by each-file


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids on disk, in the order in which training reads it."""

    folder: Path
    ids: NDArray[Any]  # [symbols] read-only np.memmap, uint8 or uint16; or EncodedParts, which are used like one
    vocabulary: Vocabulary
    files: tuple[SourceFile, ...]
    split: Split
    notes: tuple[str, ...]  # sentences about changes to the text, printed to the user
    unknown: int  # symbols that became id 0
    key: str  # a hash of the files and of every option that decides the encoding

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """The corpus that `prepare` wrote into `folder`.

        Raises:
            DamagedRun: There is none, or it is damaged.
            InputError: The encoded parts that it names have changed.
        """
        if not (folder / RECORD).exists():
            raise DamagedRun(f"{folder} holds no encoded corpus")
        try:
            return cls._of_record(folder, json.loads((folder / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedRun(f"The encoded corpus in {folder} is damaged ({error})") from error

    @classmethod
    def _of_record(cls, folder: Path, record: dict[str, Any]) -> "Corpus":
        vocabulary = Vocabulary.from_json(record["vocabulary"], record["unit"])
        return cls(
            folder=folder,
            ids=_of_parts(record["parts"], vocabulary) if "parts" in record else _mapped(folder, record, vocabulary),
            vocabulary=vocabulary,
            files=tuple(SourceFile(**file) for file in record["files"]),
            split=Split(**{part: tuple(ends) for part, ends in record["split"].items()}),
            notes=tuple(record["notes"]),
            unknown=record["unknown"],
            key=record["key"],
        )

    @property
    def fingerprints(self) -> list[str]:
        """SHA-256 of each file's content, which identifies it under any name."""
        return [file.sha256 for file in self.files]

    @property
    def training(self) -> NDArray[Any]:
        """Ids of the training part, not copied."""
        return self.ids[slice(*self.split.train)]

    @property
    def validation(self) -> NDArray[Any]:
        """Ids of the validation part, not copied."""
        return self.ids[slice(*self.split.validation)]

    @property
    def test(self) -> NDArray[Any]:
        """Ids of the test part, not copied; it may be empty."""
        return self.ids[slice(*self.split.test)]

    def validation_of(self, digests: Container[str], config: TrainConfig) -> NDArray[Any]:
        """Ids of the validation text of the files with these checksums, for a corpus split by each file."""
        start, ranges = self.split.validation[0], []
        for file in self.files:
            first, last = Split.contiguous(file.symbols, config.split).validation
            length = last - first if file.validation is None else file.validation
            if file.sha256 in digests:
                ranges.append(self.ids[start : start + length])
            start += length
        return np.concatenate([self.ids[:0], *ranges])

    def held_out_sha256(self, known: Vocabulary | None = None) -> str:
        """SHA-256 of the text outside the training part, by which another encoding of the same files can be recognised.

        Shuffled lines and files, and text that an earlier version had held out, may be other text of the same size.
        A symbol outside `known`, by default the corpus' own vocabulary, counts as id 0.
        """
        start, stop = self.split.validation[0], self.split.test[1]
        points = np.array([0, *self.vocabulary.points], "<u4")
        points[self.vocabulary.ids_in(known or self.vocabulary) == RESERVED] = 0
        return hashlib.sha256(points[np.asarray(self.ids[start:stop])].tobytes()).hexdigest()

    def held_out(self) -> HeldOut:
        """The text outside the training part, to be found again when a later version of the text is encoded."""
        points = np.array([0, *self.vocabulary.points], np.uint32)
        return HeldOut(self.training, self.validation, self.test, points)

    def __len__(self) -> int:
        """Symbols of the text, all parts together."""
        return len(self.ids)

    def text(self, start: int, stop: int) -> str:
        """The text of a range of symbols; U+FFFD for id 0."""
        return self.vocabulary.decode(np.asarray(self.ids[start:stop]))


def _mapped(folder: Path, record: dict[str, Any], vocabulary: Vocabulary) -> NDArray[Any]:
    found, expected = (folder / IDS).stat().st_size, record["symbols"] * vocabulary.dtype.itemsize
    if found != expected:
        raise ValueError(f"{IDS} has {found:,} bytes instead of {expected:,}")
    return np.memmap(folder / IDS, vocabulary.dtype, mode="r")


def _of_parts(recorded: dict[str, str], vocabulary: Vocabulary) -> NDArray[Any]:
    storage = storage_of(recorded["location"])
    parts = load_parts(storage)
    if key_of(parts) != recorded["key"]:
        raise InputError(f"The encoded parts in {storage.url} have changed: a run continues with those it began with.")
    reader = PartsReader(storage, parts, vocabulary)
    return cast(NDArray[Any], EncodedParts(reader, 0, len(reader)))
