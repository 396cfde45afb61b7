"""Encodes the files of a corpus into a folder, once: `prepare` reuses a folder that holds the same encoding.

Checks the text, the split and the disk space before an earlier encoding is replaced.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data.corpus import IDS, RECORD, Corpus, SourceFile
from training.data.encode import FirstPass, read_sources
from training.data.reader import SourceReader, shown
from training.data.selection import Selection
from training.data.shuffle import Arrangement, arrange
from training.data.sources import ALL, NoText
from training.data.survey import Survey, survey
from training.data.vocabulary import RESERVED, Vocabulary, vocabulary_of
from training.data.windows import require_windows
from training.errors import InputError
from training.files import replacing, require_space

_ENCODING_VERSION = 3  # raise it when the same files and options give other ids or another record
_MIN_BYTES_PER_SYMBOL = 3  # while encoding: a provisional id of two bytes, a final one of at least one
_ENCODED_TEXT = "The encoded text"


def prepare(
    paths: Sequence[str],
    config: TrainConfig,
    folder: Path,
    *,
    vocabulary: Vocabulary | None = None,
    extend: bool = False,
    selection: Selection = ALL,
    earlier: Corpus | None = None,
) -> Corpus:
    """Encode the text of `paths` into `folder`, unless it already holds that encoding.

    Memory use does not grow with the text, except by 15 bytes a line when lines are shuffled. A process killed at any
    time leaves a complete encoding in `folder` or none.

    Args:
        paths: The entries of --corpus.
        config: Decides unit, encoding, normalization, split and order.
        folder: Created if missing.
        vocabulary: Used instead of the text's own; symbols outside it become id 0.
        extend: Symbols outside `vocabulary` get new ids instead.
        selection: Which files of folders and archives are read.
        earlier: With --split-by each-file, its held-out text stays held out, even if it was moved.

    Raises:
        InputError: The corpus cannot be read, decoded, encoded or split as requested, the disk has too little free
            space, or `folder` holds other files.
        OSError: For example a full disk; names `folder`.
    """
    if vocabulary is not None and vocabulary.unit != config.unit:
        raise InputError(f"--unit {config.unit} does not match the vocabulary, whose unit is {vocabulary.unit}.")
    options = _Options(config, vocabulary, extend, earlier)
    found = survey(paths, config, selection)
    corpus = _reusable(folder, found.readers, options)
    if corpus is None:
        require_space({folder.parent: _MIN_BYTES_PER_SYMBOL * _symbols(found, config)}, _ENCODED_TEXT)
        with replacing(folder, {IDS, RECORD}) as aside:
            first_pass = read_sources(found.sources, config, aside / "provisional.bin")
            _require_text(first_pass, paths, config)
            _write(first_pass, options, aside)
            first_pass.path.unlink()
        corpus = Corpus.open(folder)
    return dataclasses.replace(corpus, notes=(*found.notes, *corpus.notes))


@dataclass(frozen=True)
class _Options:
    """Everything besides the files that decides the encoding."""

    config: TrainConfig
    vocabulary: Vocabulary | None
    extend: bool
    earlier: Corpus | None

    @property
    def learns_symbols(self) -> bool:
        """Whether the text's own symbols get ids."""
        return self.vocabulary is None or self.extend

    def key(self, files: Sequence[SourceReader]) -> str:
        """A hash of the options and of the files' names, which the record shows, and contents."""
        content = [[file.source.name, file.sha256] for file in files]
        return hashlib.sha256(json.dumps([content, self._to_json()]).encode()).hexdigest()

    def _to_json(self) -> dict[str, Any]:
        names = ["unit", "min_count", "split", "split_by"]
        if self.config.unit == "char":
            names += ["normalization", "encoding"]
        if self.config.split_by in ("line", "file"):
            names += ["seed"]
        symbols = None if self.vocabulary is None else self.vocabulary.to_json()
        given: dict[str, Any] = {"vocabulary": symbols, "extend": self.extend, "version": _ENCODING_VERSION}
        if self.earlier and self.config.split_by == "each-file":
            given["earlier"] = self.earlier.key
        return {name: getattr(self.config, name) for name in names} | given


def _reusable(folder: Path, files: Sequence[SourceReader], options: _Options) -> Corpus | None:
    """The corpus in `folder` if it is the encoding of these files; a pipe's content cannot be compared."""
    if all(file.source.repeatable for file in files):
        with contextlib.suppress(InputError):
            corpus = Corpus.open(folder)
            return corpus if corpus.key == options.key(files) else None
    return None


def _symbols(found: Survey, config: TrainConfig) -> int:
    """Symbols of the surveyed files, 0 for pipes."""
    return sum(reader.bytes if config.unit == "byte" else reader.chars for reader in found.readers)


def _require_text(first_pass: FirstPass, paths: Sequence[str], config: TrainConfig) -> None:
    if not first_pass.symbols:
        kind = "character" if config.unit == "char" else "byte"
        names = ", ".join(map(shown, paths))
        raise NoText(f"--corpus {names} is empty: there is no {kind} to learn from.", names)


def _write(first_pass: FirstPass, options: _Options, folder: Path) -> None:
    """Write ids and record of a complete corpus into `folder`."""
    config, vocabulary = options.config, options.vocabulary
    if vocabulary is None or options.extend:
        vocabulary = vocabulary_of(config.unit, first_pass.occurrences, min_count=config.min_count, known=vocabulary)
    final = vocabulary.encode_points(first_pass.points).astype(vocabulary.dtype)
    copies = 2 if config.split_by == "line" else 1  # lines are sorted through files of the text's size
    require_space({folder.parent: copies * vocabulary.dtype.itemsize * first_pass.symbols}, _ENCODED_TEXT)
    earlier = options.earlier.held_out() if options.earlier else None
    with (folder / IDS).open("wb") as file:
        arrangement = arrange(first_pass, final, file, config, earlier)
    if options.learns_symbols:
        trained = arrangement.split.train[1]
        require_windows(trained - config.held_out(trained), batch_size=config.batch_size, window=config.window)
    lost = first_pass.counts[(final == RESERVED) & (first_pass.counts > 0)]
    notes = list(first_pass.notes)
    if len(lost):
        kind = "rare" if options.learns_symbols else "unknown"
        notes.append(f"{len(lost):,} {kind} symbols ({lost.sum():,} occurrences) became id 0.")
    record = {
        "unit": vocabulary.unit,
        "vocabulary": vocabulary.to_json(),
        "symbols": first_pass.symbols,
        "files": [dataclasses.asdict(file) for file in _source_files(first_pass, arrangement)],
        "split": dataclasses.asdict(arrangement.split),
        "notes": notes,
        "unknown": int(lost.sum()),
        "key": options.key(first_pass.files),
    }
    (folder / RECORD).write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _source_files(first_pass: FirstPass, arrangement: Arrangement) -> list[SourceFile]:
    validation: Sequence[int | None] = arrangement.validation or [None] * len(first_pass.files)
    return [
        SourceFile(file.source.name, file.bytes, file.sha256, stop - start, held_out)
        for file, (start, stop), held_out in zip(first_pass.files, first_pass.ranges, validation, strict=True)
    ]
