"""Joins encoded parts to the corpus of a run: one vocabulary from their counts, and a split.

The ids stay where they are. The folder of the corpus gets only its record, which names their location.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from training.config import TrainConfig
from training.data.corpus import IDS, RECORD, Corpus, SourceFile
from training.data.encode_part import settings_of
from training.data.parts import Part, key_of, load_parts, points_and_counts
from training.data.sources import NoText
from training.data.split import Split
from training.data.storage import storage_of
from training.data.survey import require_encoding
from training.data.vocabulary import Vocabulary, vocabulary_of
from training.data.windows import require_windows
from training.errors import InputError
from training.files import replacing


def join(
    location: str, config: TrainConfig, folder: Path, *, vocabulary: Vocabulary | None = None, extend: bool = False
) -> Corpus:
    """The corpus of all parts in `location`: vocabulary, ids and split are those of `prepare` for their text.

    Args:
        location: A folder, or the URL of one in a bucket.
        config: Decides the vocabulary and the split; its unit, normalization and encoding must be those of the parts.
        folder: Gets the record; created if missing.
        vocabulary: Used instead of the text's own; symbols outside it become id 0.
        extend: Symbols outside `vocabulary` get new ids instead.

    Raises:
        InputError: The parts do not belong together or to the configuration, or the text is too short.
        StorageError: The bucket does not answer.
    """
    storage = storage_of(location)
    parts = load_parts(storage)
    _require_settings(parts[0], config, location)
    counts = points_and_counts(parts)
    if not counts:
        raise NoText(f"--corpus {location} is empty: there is nothing to learn from.", location)
    learns = vocabulary is None or extend
    if vocabulary is None or extend:
        vocabulary = vocabulary_of(config.unit, counts, min_count=config.min_count, known=vocabulary)
    split = _split(sum(counts.values()), config)
    lost = [counts[point] for point in counts.keys() - set(vocabulary.points)]
    kind = "rare" if learns else "unknown"
    key = json.dumps([key_of(parts), split.train, split.validation, vocabulary.to_json()])
    record = {
        "unit": vocabulary.unit,
        "vocabulary": vocabulary.to_json(),
        "symbols": sum(counts.values()),
        "files": [asdict(SourceFile(part.file, part.bytes, part.sha256, part.symbols)) for part in parts],
        "split": asdict(split),
        "notes": [f"{len(lost):,} {kind} symbols ({sum(lost):,} occurrences) became id 0."] if lost else [],
        "unknown": sum(lost),
        "key": hashlib.sha256(key.encode()).hexdigest(),
        "parts": {"location": storage.url, "key": key_of(parts)},
    }
    with replacing(folder, {IDS, RECORD}) as aside:
        (aside / RECORD).write_text(json.dumps(record, indent=1) + "\n")  # ASCII: a folder's name may not be UTF-8
    return Corpus.open(folder)


def _split(symbols: int, config: TrainConfig) -> Split:
    split = Split.contiguous(symbols, config.split)
    split.require_validation(symbols, "bytes" if config.unit == "byte" else "characters")
    trained = split.train[1]
    require_windows(trained - config.held_out(trained), batch_size=config.batch_size, window=config.window)
    return split


def _require_settings(part: Part, config: TrainConfig, location: str) -> None:
    if config.split_by != "char":
        raise InputError(
            f"--corpus {location} holds encoded parts, whose text stays in its order: --split-by must be char, "
            f"not {config.split_by}."
        )
    require_encoding(config)
    for name, value in settings_of(config).items():
        if part.settings.get(name) != value:
            raise InputError(
                f"--corpus {location} was encoded with --{name} {part.settings.get(name, 'none')}, "
                f"and this run has --{name} {value}."
            )
