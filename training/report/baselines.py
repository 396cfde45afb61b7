"""N-gram losses of a run's text, kept in its folder: baselines.json is computed again only if the text changes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.files import write_atomically
from training.learning.folder import BASELINES
from training.report import ngrams

_FORMAT = 1  # raise it when ngrams.py gives other losses


@dataclass(frozen=True)
class Baselines:
    """Losses of n-gram models on the run's own split."""

    nats_per_char: dict[int, float]  # order -> nats per symbol
    counted: int  # symbols of the training part that were counted
    predicted: int  # symbols of the validation part that were predicted
    fingerprint: str  # of the text


def kept_baselines(
    folder: Path, training: NDArray[np.integer], validation: NDArray[np.integer], symbols: int
) -> Baselines:
    """The n-gram losses of a text, from `folder` or computed and kept there.

    Args:
        folder: Of the run.
        training: Ids of the training part.
        validation: Ids of the validation part.
        symbols: V.
    """
    training, validation = ngrams.counted(training), ngrams.predicted(validation)
    fingerprint = _fingerprint(training, validation, symbols)
    path = folder / BASELINES
    kept = _read(path)
    if kept.get("fingerprint") != fingerprint:
        losses = ngrams.baselines(training, validation, symbols)
        kept = {"fingerprint": fingerprint, "nats_per_char": {str(order): nats for order, nats in losses.items()}}
        write_atomically(path, (json.dumps(kept, indent=1) + "\n").encode())
    losses = {int(order): nats for order, nats in kept["nats_per_char"].items()}
    return Baselines(losses, len(training), len(validation), fingerprint)


def _read(path: Path) -> dict[str, Any]:
    """The content of `path`, empty if it is damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _fingerprint(training: NDArray[np.integer], validation: NDArray[np.integer], symbols: int) -> str:
    key = hashlib.sha256(f"{_FORMAT} {symbols} {len(training)} {training.dtype} ".encode())
    key.update(np.ascontiguousarray(training).data)
    key.update(np.ascontiguousarray(validation).data)
    return key.hexdigest()
