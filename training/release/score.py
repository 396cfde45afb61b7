"""The loss of a published model on any text, or on the parts of the text that it was trained on."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.prepare import prepare
from training.data.selection import Selection
from training.data.sources import ALL
from training.errors import InputError
from training.learning.evaluate import Loss, evaluate
from training.release.published import PublishedModel


def score(
    model: PublishedModel,
    paths: Sequence[str],
    *,
    encoding: str,
    parts: Sequence[str] = (),
    selection: Selection = ALL,
) -> Iterator[tuple[str, Loss, int]]:
    """Score a text, or parts of the text that the model was trained on.

    Args:
        model: the published model.
        paths: the files and folders of the text.
        encoding: the encoding of the files.
        parts: the parts of the model's own split to score; by default validation and test.
        selection: the files to take from folders.

    Yields:
        The name of the part ("text" for another text than the model's own), its loss, and the number of its symbols
        that are outside the vocabulary.

    Raises:
        InputError: the text cannot be read, or has no such part.
    """
    _require_parts(model, parts)
    trained_on, fields = model.manifest["corpus"], model.manifest["config"]
    known = {name: fields[name] for name in ("unit", "normalization", "split_by", "seed") if name in fields}
    config = TrainConfig(**known, encoding=encoding, split=tuple(fields["split"]))
    in_order = replace(config, split=(0.5, 0.5, 0.0), split_by="char")
    encoded = partial(prepare, vocabulary=model.vocabulary, selection=selection)
    with tempfile.TemporaryDirectory() as folder:
        corpus = encoded(paths, in_order, Path(folder) / "text")
        ranges = {"text": (0, len(corpus))}
        if corpus.fingerprints == [file["sha256"] for file in trained_on["files"]]:
            if config.split_by != "char":
                corpus = encoded(paths, config, Path(folder) / "parts")
            ranges = {part: tuple(trained_on["split"][part]) for part in parts or ("validation", "test")}
        elif parts:
            raise InputError(
                f"--part {parts[0]} needs the text that {model.manifest['name']} {model.manifest['version']} was "
                "trained on, and this is another text: leave out --part to read all of it."
            )
        for part, (start, stop) in ranges.items():
            if start < stop:
                yield part, _loss(model, corpus.ids[start:stop]), int((corpus.ids[start:stop] == 0).sum())


def _require_parts(model: PublishedModel, parts: Sequence[str]) -> None:
    split = model.manifest["corpus"]["split"]
    for part in parts:
        start, stop = split[part]
        if start == stop:
            present = " and ".join(name for name, (start, stop) in split.items() if start < stop)
            raise InputError(
                f"{model.manifest['name']} {model.manifest['version']} was trained without a {part} part: its text has "
                f"only {present}."
            )


def _loss(model: PublishedModel, ids: NDArray[Any]) -> Loss:
    return evaluate(model.read, model.initial_state, np.asarray(ids))
