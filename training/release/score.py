"""The loss of a published model on any text, or on the parts of the text that it was trained on."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.selection import Selection
from training.data.sources import ALL
from training.data.vocabulary import RESERVED
from training.errors import InputError
from training.learning.evaluate import Loss, difference, evaluate, evaluate_cold
from training.release.published import PublishedModel


@dataclass(frozen=True)
class Score:
    """The losses on one part of a text."""

    part: str  # "text" for another text than the model's own
    loss: Loss
    unknown: int  # symbols outside the vocabulary
    cold: Loss | None  # of cold windows; None for a text shorter than one
    against: Loss | None = None  # of the other model

    @property
    def difference(self) -> tuple[float, float]:
        """This model's loss minus that of the other one, and its standard error."""
        assert self.against is not None
        return difference(self.loss, self.against)


def score(
    model: PublishedModel,
    paths: Sequence[str],
    *,
    encoding: str,
    parts: Sequence[str] = (),
    selection: Selection = ALL,
    against: PublishedModel | None = None,
) -> Iterator[Score]:
    """Score a text, or parts of the text that the model was trained on.

    Args:
        model: the published model.
        paths: the files and folders of the text.
        encoding: the encoding of the files.
        parts: the parts of the model's own split to score; by default validation and test.
        selection: the files to take from folders.
        against: another model, which reads the same parts.

    Raises:
        InputError: the text cannot be read, has no such part, or the other model has another unit.
    """
    _require_parts(model, parts)
    if against:
        _require_same_unit(model, against)
    fields = model.manifest["config"]
    known = {name: fields[name] for name in ("unit", "normalization", "split_by", "seed") if name in fields}
    config = TrainConfig(**known, encoding=encoding, split=tuple(fields["split"]))
    in_order = replace(config, split=(0.5, 0.5, 0.0), split_by="char")
    encoded = partial(prepare, vocabulary=model.vocabulary, selection=selection)
    with tempfile.TemporaryDirectory() as folder:
        corpus = encoded(paths, in_order, Path(folder) / "text")
        is_own_text = corpus.fingerprints == [file["sha256"] for file in model.manifest["corpus"]["files"]]
        is_arranged = is_own_text and config.split_by != "char"
        arranged = encoded(paths, config, Path(folder) / "parts") if is_arranged else corpus
        if is_own_text and _holds_out(model.manifest, arranged):
            corpus = arranged
            split = model.manifest["corpus"]["split"]
            ranges = {part: tuple(split[part]) for part in parts or ("validation", "test")}
        else:
            _refuse_parts(model, parts, is_own_text=is_own_text)
            ranges = {"text": (0, len(corpus))}
        for part, (start, stop) in ranges.items():
            if start < stop:
                yield _score(part, model, np.asarray(corpus.ids[start:stop]), against)


def _refuse_parts(model: PublishedModel, parts: Sequence[str], *, is_own_text: bool) -> None:
    """Refuse --part for a text whose parts are not known."""
    if not parts:
        return
    version = f"{model.manifest['name']} {model.manifest['version']}"
    if is_own_text:
        raise InputError(
            f"--part {parts[0]} cannot be made of the files again: {version} also holds out text that earlier versions "
            "held out. Leave out --part to read all of the text."
        )
    raise InputError(
        f"--part {parts[0]} needs the text that {version} was trained on, and this is another text: leave out --part "
        "to read all of it."
    )


def _holds_out(manifest: dict[str, Any], corpus: Corpus) -> bool:
    """Whether the version has the validation and test part of this encoding of its files."""
    split_by, recorded = manifest["config"].get("split_by", "char"), manifest["corpus"].get("held_out_sha256")
    if recorded is None:  # characters in order, or published by an older version of Charloom
        return split_by != "each-file" or manifest["parent"] is None
    return bool(recorded == corpus.held_out_sha256())


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


def _require_same_unit(model: PublishedModel, against: PublishedModel) -> None:
    one, other = model.manifest, against.manifest
    if one["unit"] != other["unit"]:
        raise InputError(
            f"{one['name']} {one['version']} reads a text by {one['unit']} and {other['name']} {other['version']} by "
            f"{other['unit']}: their losses cannot be compared."
        )


def _score(part: str, model: PublishedModel, ids: NDArray[Any], against: PublishedModel | None) -> Score:
    loss = evaluate(model.read, model.initial_state, ids)
    cold = evaluate_cold(model.read, model.initial_state, ids)
    other = None
    if against:
        other = evaluate(against.read, against.initial_state, model.vocabulary.ids_in(against.vocabulary)[ids])
    return Score(part, loss, int((ids == RESERVED).sum()), cold, other)
