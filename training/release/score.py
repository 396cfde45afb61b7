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
from training.data.parts import NAME
from training.data.prepare import prepare
from training.data.selection import Selection
from training.data.sources import ALL
from training.data.vocabulary import RESERVED, Vocabulary
from training.errors import InputError
from training.learning.evaluate import Loss, Reader, difference, evaluate, evaluate_cold
from training.release.published import PublishedModel


@dataclass(frozen=True)
class Score:
    """The losses on one part of a text."""

    part: str  # "text" for another text than the model's own
    loss: Loss
    unknown: int  # symbols outside the vocabulary
    cold: Loss | None  # of cold windows; None for a text shorter than one
    against: Loss | None = None  # of the other model
    warning: str = ""  # a sentence for a text that includes training text, or may include it

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
        InputError: the text cannot be read, has no such part, or the other model has another unit or normalization.
    """
    _require_parts(model, parts)
    if against:
        _require_same_symbols(model, against)
    fields = model.manifest["config"]
    known = {name: fields[name] for name in ("unit", "normalization", "split_by", "seed") if name in fields}
    config = TrainConfig(**known, encoding=encoding, split=tuple(fields["split"]))
    in_order = replace(config, split=(0.5, 0.5, 0.0), split_by="char")
    encoded = partial(prepare, vocabulary=_vocabulary(model, against), selection=selection)
    with tempfile.TemporaryDirectory() as folder:
        corpus = encoded(paths, in_order, Path(folder) / "text")
        is_own_text = corpus.fingerprints == [file["sha256"] for file in model.manifest["corpus"]["files"]]
        is_arranged = is_own_text and config.split_by != "char"
        arranged = encoded(paths, config, Path(folder) / "parts") if is_arranged else corpus
        if is_own_text:
            _require_characters(model, arranged, encoding)
        if is_own_text and _holds_out(model, arranged):
            corpus, warning = arranged, ""
            split = model.manifest["corpus"]["split"]
            ranges = {part: tuple(split[part]) for part in parts or ("validation", "test")}
        else:
            _refuse_parts(model, parts, is_own_text=is_own_text)
            ranges = {"text": (0, len(corpus))}
            warning = _warning(model, corpus)
        for part, (start, stop) in ranges.items():
            if start < stop:
                ids = np.asarray(corpus.ids[start:stop])
                yield _score(part, ids, model=model, against=against, warning=warning)


def _refuse_parts(model: PublishedModel, parts: Sequence[str], *, is_own_text: bool) -> None:
    """Refuse --part for a text whose parts are not known."""
    if not parts:
        return
    version = _shown(model)
    if _read_encoded_parts(model):
        raise InputError(
            f"--part {parts[0]} cannot be made of a text: {version} was trained on encoded parts. Leave out --part to "
            "read all of the text."
        )
    if is_own_text:
        raise InputError(
            f"--part {parts[0]} cannot be made of the files again: {version} also holds out text that earlier versions "
            "held out. Leave out --part to read all of the text."
        )
    raise InputError(
        f"--part {parts[0]} needs the text that {version} was trained on, and this is another text: leave out --part "
        "to read all of it."
    )


def _require_characters(model: PublishedModel, corpus: Corpus, encoding: str) -> None:
    """Check that the encoding of the model's own files has as many characters as the run read."""
    expected = model.manifest["corpus"]["characters"]
    if len(corpus) != expected:
        raise InputError(
            f"With --encoding {encoding}, the text has {len(corpus):,} characters, and {_shown(model)} was trained on "
            f"{expected:,}: its run had --encoding {model.manifest['config']['encoding']}."
        )


def _warning(model: PublishedModel, corpus: Corpus) -> str:
    """A sentence if the text includes training text of the model, or may include it; else an empty text."""
    if _read_encoded_parts(model):
        return f"{_shown(model)} was trained on encoded parts: if they are of this text, most of it is training text."
    known = {file["sha256"] for file in model.manifest["corpus"]["files"]}
    if any(file.bytes and file.sha256 in known for file in corpus.files):
        return f"The text includes files that {_shown(model)} was trained on, with their training part."
    return ""


def _read_encoded_parts(model: PublishedModel) -> bool:
    return any(NAME.fullmatch(file["path"]) for file in model.manifest["corpus"]["files"])


def _holds_out(model: PublishedModel, corpus: Corpus) -> bool:
    """Whether the version has the validation and test part of this encoding of its files."""
    manifest = model.manifest
    split_by, recorded = manifest["config"].get("split_by", "char"), manifest["corpus"].get("held_out_sha256")
    if recorded is None:  # characters in order, or published by an older version of Charloom
        return split_by != "each-file" or manifest["parent"] is None
    return bool(recorded == corpus.held_out_sha256(model.vocabulary))


def _require_parts(model: PublishedModel, parts: Sequence[str]) -> None:
    split = model.manifest["corpus"]["split"]
    for part in parts:
        start, stop = split[part]
        if start == stop:
            present = " and ".join(name for name, (start, stop) in split.items() if start < stop)
            raise InputError(f"{_shown(model)} was trained without a {part} part: its text has only {present}.")


def _require_same_symbols(model: PublishedModel, against: PublishedModel) -> None:
    for field in ("unit", "normalization"):
        this, that = model.manifest[field], against.manifest[field]
        if this != that:
            raise InputError(
                f"The {field} of {_shown(model)} is {this} and that of {_shown(against)} is {that}: their losses "
                "cannot be compared."
            )


def _vocabulary(model: PublishedModel, against: PublishedModel | None) -> Vocabulary:
    """The symbols of both models, so that the text keeps those that only one of them knows."""
    return model.vocabulary.extended(against.vocabulary.points) if against else model.vocabulary


def _score(
    part: str, ids: NDArray[Any], *, model: PublishedModel, against: PublishedModel | None, warning: str
) -> Score:
    """The losses on `ids` of the vocabulary of both models."""
    vocabulary = _vocabulary(model, against)
    read, is_unknown = _reader(model, vocabulary), vocabulary.ids_in(model.vocabulary) == RESERVED
    return Score(
        part=part,
        loss=evaluate(read, model.initial_state, ids),
        unknown=int(is_unknown[ids].sum()),
        cold=evaluate_cold(read, model.initial_state, ids),
        against=evaluate(_reader(against, vocabulary), against.initial_state, ids) if against else None,
        warning=warning,
    )


def _reader(model: PublishedModel, vocabulary: Vocabulary) -> Reader:
    """`model.read` for ids of another vocabulary."""
    table = vocabulary.ids_in(model.vocabulary)
    return lambda previous, targets, state: model.read(table[previous], table[targets], state)


def _shown(model: PublishedModel) -> str:
    return f"{model.manifest['name']} {model.manifest['version']}"
