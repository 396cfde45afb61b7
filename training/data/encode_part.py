"""Encodes one share of a text into a part, for a training run that joins all parts (join.py).

Needs the list of all files, and reads only those of its share.
"""

import codecs
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data.encode import FirstPass, read_sources
from training.data.encodings import AUTO
from training.data.parts import Part, dtype_of, stem
from training.data.reader import Source
from training.data.selection import Selection
from training.data.shares import share_of
from training.data.sources import ALL, sources_and_notes
from training.data.storage import Storage, scratch, storage_of
from training.data.survey import Survey, require_encoding, survey_of
from training.errors import InputError
from training.files import require_space

_BYTES_PER_SYMBOL = 4  # while encoding, at most: a provisional id and a final one


def encode_part(
    paths: Sequence[str], config: TrainConfig, to: str, *, part: int, parts: int, selection: Selection = ALL
) -> tuple[Part, tuple[str, ...]]:
    """Encode a share of the text of `paths` into a folder or bucket; replaces an earlier encoding of this part.

    Memory use does not grow with the text. A process killed at any time leaves the earlier part or none.

    Args:
        paths: The entries of --corpus.
        config: Decides unit, encoding and normalization.
        to: A folder, created if missing, or the URL of one in a bucket.
        part: From 0.
        parts: The number of shares.
        selection: Which files of folders and archives are read.

    Returns:
        The record of the part, which may be empty, and sentences about changes to the text.

    Raises:
        InputError: The text cannot be read or decoded, or is a pipe; or the disk has too little free space.
        StorageError: A bucket does not answer.
        OSError: For example a full disk.
    """
    require_encoding(config)
    found, notes = sources_and_notes(paths, selection)
    if pipes := [source.display_path for source in found if not source.repeatable]:
        raise InputError(f"--corpus {pipes[0]} can be read only once, and every part reads it: name a file.")
    storage = storage_of(to)
    survey = survey_of(share_of(found, part, parts, config, selection), config, selection)
    with scratch(storage) as folder:
        require_space({folder: _BYTES_PER_SYMBOL * _symbols(survey, config)}, "The encoded part")
        first_pass = read_sources(survey.sources, config, folder / "provisional.bin")
        sha256 = _write_ids(first_pass, folder / "ids")
        record = Part(
            part=part,
            parts=parts,
            settings=settings_of(config),
            text=_text_key(found),
            symbols=first_pass.symbols,
            points=first_pass.points.tolist(),
            counts=first_pass.counts.tolist(),
            file=f"{stem(part, parts)}-{sha256[:16]}.ids",
            bytes=(folder / "ids").stat().st_size,
            sha256=sha256,
            sources=_files(first_pass),
        )
        _place(record, folder / "ids", storage)
    return record, (*notes, *survey.notes, *first_pass.notes)


def settings_of(config: TrainConfig) -> dict[str, str]:
    """The settings that decide the symbols of a text: flag without dashes -> value."""
    if config.unit == "byte":
        return {"unit": config.unit}
    encoding = AUTO if config.encoding == AUTO else codecs.lookup(config.encoding).name
    return {"unit": config.unit, "normalization": config.normalization, "encoding": encoding}


def _symbols(survey: Survey, config: TrainConfig) -> int:
    return sum(reader.bytes if config.unit == "byte" else reader.chars for reader in survey.readers)


def _text_key(sources: Sequence[Source]) -> str:
    """A hash of the files, by which parts of another text are recognised."""
    return hashlib.sha256(json.dumps([[source.name, source.size] for source in sources]).encode()).hexdigest()


def _write_ids(first_pass: FirstPass, path: Path) -> str:
    """Write the ids in their final type; returns their SHA-256."""
    dtype, digest = dtype_of(len(first_pass.points)), hashlib.sha256()
    with path.open("wb") as file:
        for block in first_pass.blocks():
            ids = block.astype(dtype).data
            digest.update(ids)
            file.write(ids)
    return digest.hexdigest()


def _files(first_pass: FirstPass) -> list[dict[str, Any]]:
    return [{"path": file.source.name, "bytes": file.bytes, "sha256": file.sha256} for file in first_pass.files]


def _place(record: Part, ids: Path, storage: Storage) -> None:
    """The ids first, then the record that names them; then delete the ids that an earlier record named."""
    storage.upload(record.file, ids)
    content = ids.with_name("record")
    content.write_text(record.to_json(), encoding="utf-8")
    storage.upload(f"{record.stem}.json", content)
    earlier = (each.path for each in storage.listing("") if each.path.startswith(f"{record.stem}-"))
    storage.delete([path for path in earlier if path != record.file])
