"""The gate: may a new version take the place of the one that serves? By what both lose on text that neither learned."""

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
from training.data.vocabulary import RESERVED, Vocabulary
from training.errors import ReportedError
from training.learning.evaluate import evaluate
from training.release.published import PublishedModel
from training.retraining.noise import is_noise

JUDGED_CHARS, PIECE_CHARS = 100_000, 2_000
MIN_JUDGED_CHARS = 500

Losses = dict[str, dict[str, float]]
"""Text -> nats/char of the `old` and the `new` version, and how many `characters` were read."""


class Refused(ReportedError):
    """The new version may not serve; the message says why."""

    exit_code = 3


def refuse_noise(paths: Sequence[str], config: TrainConfig, selection: Selection) -> None:
    """Look at the beginning of every file of `paths`, before anything is read as a text.

    A file that the selection skips is not looked at, and one that is known to be no text is left to be named so.

    A loss cannot tell: of noise a new version knows more than the old one, and both know nothing worth writing.

    Raises:
        Refused: one of them has nothing to learn.
    """
    skips = selection.skip_unreadable
    for source in survey(paths, config, selection).sources if skips else sources(paths, selection):
        head = next(source.blocks(), b"")
        if is_noise(head) and not (source.kind or kind_of(head)):
            raise Refused(f"{source.display_path} looks like noise: take it away, or let it in with noise = true.")


def fresh(old: PublishedModel, corpus: Corpus, config: TrainConfig) -> NDArray[Any]:
    """What is held out of the files that came since; of all where that is too short to tell anything."""
    if config.split_by == "each-file":
        ids = corpus.validation_of({*corpus.fingerprints} - {*fingerprints(old.manifest)}, config)
        if len(ids) >= MIN_JUDGED_CHARS:
            return ids
    return corpus.validation


def losses(old: PublishedModel, new: PublishedModel, texts: Mapping[str, NDArray[Any]]) -> Losses:
    """What both lose on each of `texts` (ids of the new version), but for those too short to tell anything."""
    found = {}
    for name, ids in texts.items():
        if len(ids) >= MIN_JUDGED_CHARS:
            ids = _spread(ids)
            known = _ids_in(old.vocabulary, new.vocabulary)[ids]
            found[name] = {
                "old": evaluate(old.read, old.initial_state, known).nats_per_char,
                "new": evaluate(new.read, new.initial_state, ids).nats_per_char,
                "characters": float(len(ids)),
            }
    return found


def verdict(losses: Losses, version: int, *, allowed: float) -> str:
    """Why the new version may serve in the place of `version`: on no text it loses more by more than `allowed`.

    Raises:
        Refused: on one it does.
    """
    said = []
    for name, loss in losses.items():
        worse = loss["new"] / loss["old"] - 1
        said.append(
            f"On the {name} text it loses {loss['new']:.4f} nats/char and version {version} "
            f"{loss['old']:.4f} ({worse:+.1%})"
        )
        if not worse <= allowed:
            raise Refused(f"{said[-1]}, and the gate allows {allowed:+.1%}.")
    return ". ".join(said) + "."


def fingerprints(manifest: Mapping[str, Any]) -> list[str]:
    """Checksums of the files that a version learned from."""
    return [file["sha256"] for file in manifest["corpus"]["files"]]


def _ids_in(old: Vocabulary, new: Vocabulary) -> NDArray[np.int32]:
    """[V of `new`] For each id of `new`, the id of the same symbol in `old`; `RESERVED` where it has none."""
    return np.concatenate([[RESERVED], old.encode_points(np.array(new.points, np.uint32))], dtype=np.int32)


def _spread(ids: NDArray[Any]) -> NDArray[Any]:
    """At most `JUDGED_CHARS` of a text, in pieces from all over it."""
    if len(ids) <= JUDGED_CHARS:
        return np.asarray(ids)
    starts = np.linspace(0, len(ids) - PIECE_CHARS, JUDGED_CHARS // PIECE_CHARS).astype(int)
    return np.concatenate([ids[start : start + PIECE_CHARS] for start in starts])
