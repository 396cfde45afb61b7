"""The quality gate: compares the losses of the served and the new version on text that neither was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.kinds import kind_of
from training.data.selection import Selection
from training.data.sources import sources
from training.data.survey import survey
from training.errors import InputError, ReportedError
from training.learning.evaluate import evaluate
from training.release.published import PublishedModel
from training.retraining.noise import is_noise

MAX_CHARS, PIECE_CHARS = 100_000, 2_000
MIN_CHARS = 500  # on a shorter text, a difference of the losses says little

Losses = dict[str, dict[str, float]]
"""Name of a text -> nats/char of the `old` and the `new` version on it, and the number of `characters`."""


class Refused(ReportedError):
    """The new version must not be served; the message says why."""

    exit_code = 3


def refuse_noise(paths: Sequence[str], config: TrainConfig, selection: Selection) -> None:
    """Refuse files of noise, by the start of each file.

    The losses cannot reveal noise, because the new version predicts it better than the old one. Files that `selection`
    skips are left out, and so are files of a known binary kind, which encoding reports.

    Raises:
        Refused: a file looks like noise.
        InputError: a text can be read only once, and its start would be lost here.
    """
    skips = selection.skip_unreadable
    for source in survey(paths, config, selection).sources if skips else sources(paths, selection):
        if not source.repeatable:
            raise InputError(
                f"The corpus has {source.display_path}, which can be read only once: retraining needs files, folders "
                "or archives."
            )
        head = next(source.blocks(), b"")
        if is_noise(head) and not (source.kind or kind_of(head)):
            raise Refused(f"{source.display_path} looks like noise: remove it, or accept it with noise = true.")


def validation_of_new_files(old: PublishedModel, corpus: Corpus, config: TrainConfig) -> NDArray[Any]:
    """The held-out ids of the files that `old` was not trained on, or of all files if they are too few."""
    if config.split_by == "each-file":
        ids = corpus.validation_of({*corpus.fingerprints} - {*fingerprints(old.manifest)}, config)
        if len(ids) >= MIN_CHARS:
            return ids
    return corpus.validation


def losses(old: PublishedModel, new: PublishedModel, texts: Mapping[str, NDArray[Any]]) -> Losses:
    """The losses of both versions on each of `texts`, which are ids of the new version; short texts are left out."""
    found = {}
    for name, ids in texts.items():
        if len(ids) >= MIN_CHARS:
            ids = _spread(ids)
            known = new.vocabulary.ids_in(old.vocabulary)[ids]
            found[name] = {
                "old": evaluate(old.read, old.initial_state, known).nats_per_char,
                "new": evaluate(new.read, new.initial_state, ids).nats_per_char,
                "characters": float(len(ids)),
            }
    return found


def verdict(losses: Losses, served: Mapping[str, Any], *, allowed: float) -> str:
    """Compare the losses.

    Args:
        losses: Of the new version and of the served one.
        served: Manifest of the served version.
        allowed: Share by which the new loss may exceed the old one.

    Returns:
        The losses in one sentence for each text, or a sentence that says that no text was long enough.

    Raises:
        Refused: on one text the new loss is too high.
    """
    sentences = []
    for name, loss in losses.items():
        worse = loss["new"] / loss["old"] - 1
        sentences.append(
            f"On the {name} text it loses {loss['new']:.4f} nats/{served['unit']} and version {served['version']} "
            f"{loss['old']:.4f} ({worse:+.1%})"
        )
        if not worse <= allowed:
            raise Refused(f"{sentences[-1]}, and the gate allows {allowed:+.1%}.")
    return (
        ". ".join(sentences or [f"The held-out text is too short for a comparison: under {MIN_CHARS} characters"]) + "."
    )


def fingerprints(manifest: Mapping[str, Any]) -> list[str]:
    """The checksums of the files that a version was trained on."""
    return [file["sha256"] for file in manifest["corpus"]["files"]]


def _spread(ids: NDArray[Any]) -> NDArray[Any]:
    """At most `MAX_CHARS` of a text, in evenly spaced pieces."""
    if len(ids) <= MAX_CHARS:
        return np.asarray(ids)
    starts = np.linspace(0, len(ids) - PIECE_CHARS, MAX_CHARS // PIECE_CHARS).astype(int)
    return np.concatenate([ids[start : start + PIECE_CHARS] for start in starts])
