"""A corpus, encoded once into a folder: `ids.bin`, memory-mapped by whoever reads it, and `corpus.json`, what it is.

Decides the order of the text and its split, and refuses a text too short to train on before an old one is replaced.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.encode import FirstPass, read
from training.data.held_out import HeldOut
from training.data.reader import SourceReader, shown
from training.data.selection import Selection
from training.data.shuffle import Split, arrange
from training.data.sources import ALL, NoText
from training.data.survey import survey
from training.data.vocabulary import RESERVED, Vocabulary, learned
from training.data.windows import require_windows
from training.errors import InputError
from training.files import replacing

IDS = "ids.bin"
RECORD = "corpus.json"

_ENCODING_VERSION = 3  # to be raised when the same files and options begin to give other ids, or another record


@dataclass(frozen=True)
class SourceFile:
    """One file of a corpus, as the manifest records it: size and checksum of what was decompressed."""

    path: str
    bytes: int
    sha256: str
    symbols: int = 0  # that it became
    validation: int | None = None  # symbols of it in that part, where every file is cut


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids on disk, in the order in which it is learned from."""

    folder: Path
    ids: NDArray[Any]  # [symbols] read-only np.memmap, uint8 or uint16
    vocabulary: Vocabulary
    files: tuple[SourceFile, ...]
    split: Split
    notes: tuple[str, ...]  # for the person: what was changed or is remarkable
    unknown: int  # symbols that became id 0
    key: str  # of the files and all options that decide the encoding

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """What `prepare` left in `folder`.

        Raises:
            InputError: nothing did, or it is damaged.
        """
        if not (folder / RECORD).exists():
            raise InputError(f"{folder} holds no encoded corpus.")
        try:
            return cls._of_record(folder, json.loads((folder / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"The encoded corpus in {folder} is damaged ({error}): remove it to encode anew."
            ) from error

    @classmethod
    def _of_record(cls, folder: Path, record: dict[str, Any]) -> "Corpus":
        vocabulary = Vocabulary.from_json(record["vocabulary"], record["unit"])
        found, expected = (folder / IDS).stat().st_size, record["symbols"] * vocabulary.dtype.itemsize
        if found != expected:
            raise ValueError(f"{IDS} has {found:,} bytes instead of {expected:,}")
        return cls(
            folder=folder,
            ids=np.memmap(folder / IDS, vocabulary.dtype, mode="r"),
            vocabulary=vocabulary,
            files=tuple(SourceFile(**file) for file in record["files"]),
            split=Split(**{part: tuple(ends) for part, ends in record["split"].items()}),
            notes=tuple(record["notes"]),
            unknown=record["unknown"],
            key=record["key"],
        )

    @property
    def fingerprints(self) -> list[str]:
        """What identifies the content wherever the files lie."""
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
        """Ids of what is held out of the files with these checksums, where every file is cut."""
        start, ranges = self.split.validation[0], []
        for file in self.files:
            first, last = Split.contiguous(file.symbols, config.split).validation
            length = last - first if file.validation is None else file.validation
            if file.sha256 in digests:
                ranges.append(self.ids[start : start + length])
            start += length
        return np.concatenate([self.ids[:0], *ranges])

    def held_out(self) -> HeldOut:
        """What its training part does not hold, to be found again in a later state of the text."""
        points = np.array([0, *self.vocabulary.points], np.uint32)
        return HeldOut(self.training, self.validation, self.test, points)

    def __len__(self) -> int:
        """Symbols of the whole text."""
        return len(self.ids)

    def text(self, start: int, stop: int) -> str:
        """The symbols of a range as a person reads them; U+FFFD for id 0."""
        return self.vocabulary.decode(self.ids[start:stop])


def prepare(
    paths: Sequence[str],
    config: TrainConfig,
    folder: Path,
    *,
    vocabulary: Vocabulary | None = None,
    extend: bool = False,
    selection: Selection = ALL,
    earlier: "Corpus | None" = None,
) -> Corpus:
    """Encode the text of all `paths` into `folder`, unless it holds just that already.

    With a `vocabulary` that one is used: other symbols become id 0, or with `extend` new ids. Where every file is cut,
    what `earlier` held out stays held out, wherever it stands now. Memory does not grow with
    the text (but by 15 bytes a line where lines are shuffled). Killed at any time, it leaves `folder` whole or absent.

    Raises:
        InputError: the corpus cannot be read, decoded, encoded or split as asked, or `folder` holds something else.
        OSError: the disk is full, for example; names `folder`.
    """
    if vocabulary is not None and vocabulary.unit != config.unit:
        raise InputError(f"--unit {config.unit} does not suit the vocabulary, whose unit is {vocabulary.unit}.")
    found = survey(paths, config, selection)
    options = _options(config, vocabulary, extend, earlier)
    if (kept := _kept(folder, found.readers, options)) is not None:
        return dataclasses.replace(kept, notes=(*found.notes, *kept.notes))
    with replacing(folder, {IDS, RECORD}) as aside:
        first_pass = read(found.sources, config, aside / "provisional.bin")
        if not first_pass.symbols:
            kind = "character" if config.unit == "char" else "byte"
            place = ", ".join(map(shown, paths))
            raise NoText(f"--corpus {place} is empty: there is no {kind} to learn from.", place)
        if vocabulary is None or extend:
            vocabulary = learned(config.unit, first_pass.occurrences, min_count=config.min_count, known=vocabulary)
        _encode(first_pass, config, aside, vocabulary, options, earlier)
        first_pass.path.unlink()
    corpus = Corpus.open(folder)
    return dataclasses.replace(corpus, notes=(*found.notes, *corpus.notes))


def _options(
    config: TrainConfig, vocabulary: Vocabulary | None, extend: bool, earlier: Corpus | None
) -> dict[str, Any]:
    """All that decides the encoding beside the files, and nothing that does not."""
    names = ["unit", "min_count", "split", "split_by"]
    if config.unit == "char":
        names += ["normalization", "encoding"]
    if config.split_by in ("line", "file"):
        names += ["seed"]
    symbols = None if vocabulary is None else vocabulary.to_json()
    given: dict[str, Any] = {"vocabulary": symbols, "extend": extend, "version": _ENCODING_VERSION}
    if earlier and config.split_by == "each-file":
        given["earlier"] = earlier.key
    return {name: getattr(config, name) for name in names} | given


def _key(files: Sequence[SourceReader], options: dict[str, Any]) -> str:
    # Names too: the record shows them.
    content = [[file.source.name, file.sha256] for file in files]
    return hashlib.sha256(json.dumps([content, options]).encode()).hexdigest()


def _kept(folder: Path, found: Sequence[SourceReader], options: dict[str, Any]) -> Corpus | None:
    """What `folder` holds, if it is the encoding of just these files; a pipe cannot be read a second time to know."""
    if all(reader.source.repeatable for reader in found):
        with contextlib.suppress(InputError):
            corpus = Corpus.open(folder)
            return corpus if corpus.key == _key(found, options) else None
    return None


def _source_files(first_pass: FirstPass, validation: Sequence[int]) -> list[SourceFile]:
    sizes = np.diff(first_pass.ends, prepend=0).tolist()
    held_out: Sequence[int | None] = validation or [None] * len(sizes)
    return [
        SourceFile(file.source.name, file.bytes, file.sha256, *symbols)
        for file, symbols in zip(first_pass.files, zip(sizes, held_out, strict=True), strict=True)
    ]


def _encode(
    first_pass: FirstPass,
    config: TrainConfig,
    aside: Path,
    vocabulary: Vocabulary,
    options: Any,
    earlier: "Corpus | None",
) -> None:
    learns = options["vocabulary"] is None or options["extend"]
    final = vocabulary.encode_points(first_pass.points).astype(vocabulary.dtype)
    with (aside / IDS).open("wb") as file:
        arrangement = arrange(first_pass, final, config, file, earlier.held_out() if earlier else None)
        split = arrangement.split
    if learns:
        learned = split.train[1] - config.held_out(split.train[1])
        require_windows(learned, batch_size=config.batch_size, window=config.window)
    lost = first_pass.counts[(final == RESERVED) & (first_pass.counts > 0)]
    notes = list(first_pass.notes)
    if len(lost):
        kind = "rare" if learns else "unknown"
        notes.append(f"{len(lost):,} {kind} symbols ({lost.sum():,} occurrences) became id 0.")
    record = {
        "unit": vocabulary.unit,
        "vocabulary": vocabulary.to_json(),
        "symbols": first_pass.symbols,
        "files": [dataclasses.asdict(file) for file in _source_files(first_pass, arrangement.validation)],
        "split": dataclasses.asdict(split),
        "notes": notes,
        "unknown": int(lost.sum()),
        "key": _key(first_pass.files, options),
    }
    (aside / RECORD).write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
