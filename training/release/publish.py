"""Weights -> a new version in the store. The export is checked before it is visible; a failed one leaves nothing."""

import errno
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import training
from training import jsonl
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.vocabulary import REPLACEMENT, RESERVED
from training.errors import ReportedError
from training.learning.evaluate import Loss, evaluate
from training.learning.progress import StageProgress
from training.learning.run import Trained
from training.learning.stages import Stages
from training.network.weights import NetworkWeights
from training.object_storage import DamagedError
from training.release.devices import leave_gpu_to_jax
from training.release.export import write_saved_model
from training.release.published import PublishedModel
from training.release.store import MANIFEST, changing, folder_of, partial_version, place, versions, write_manifest

FORMAT = 1
HISTORY = MANIFEST.with_name("history.jsonl")
PROBE_SEED = 2015
PROBE_PROMPT_CHARS = 16
PROBE_SAMPLED_CHARS = 64
# The export sums in another order than Keras; a real error is far larger.
MAX_NATS_DIFFERENCE = 1e-4


class ExportDiffers(ReportedError):
    """The loaded export differs from the trained network; nothing was published."""


@dataclass(frozen=True)
class Release:
    """Everything that a version is made from."""

    name: str
    trained: Trained
    config: TrainConfig
    corpus: Corpus
    parent: int | None = None  # the version whose weights training started from
    teachers: tuple[str, ...] = ()  # NAME/VERSION of the models whose text and probabilities it has learned


def publish(
    release: Release,
    models: Path,
    judge: Callable[[PublishedModel], None] | None = None,
    *,
    stages: Stages | None = None,
) -> Path:
    """Write the next version of the model, and return its folder `models/<name>/<version>`.

    Args:
        release: the weights, and the facts for the manifest.
        models: the folder of all models.
        judge: called with the export before it is visible; raises to refuse it.
        stages: shows progress and asks for a stop.

    Raises:
        ReportedError, OSError: the store cannot be written to, for example because the disk is full.
        ExportDiffers: the loaded export has another loss than the network had, or does not repeat the probe.
        Stopped: `stages` was asked to stop; nothing was published.
    """
    leave_gpu_to_jax()
    stages = stages or Stages()
    store = models / release.name
    with changing(store), StageProgress(stages), partial_version(store) as aside:
        manifest, model = _write(release, aside, stages)
        if judge:
            stages.enter("comparison")
            judge(model)
        stages.enter("publishing")
        return place(aside, store, manifest)


def republish(folder: Path, name: str, models: Path) -> Path:
    """Export the weights of the version in `folder` again, as the next version of model `name`.

    The new version has the functions of this release of Charloom, and generates the same text for a seed.

    Returns:
        The folder of the new version.

    Raises:
        InputError: the version is damaged, or was published without its trained weights.
        ExportDiffers: the export does not repeat the version's probe.
        ReportedError, OSError: the store cannot be written to.
    """
    old, store = PublishedModel(folder), models / name
    parent = old.manifest["version"] if old.manifest["name"] == name else None
    manifest = old.manifest | {"name": name, "parent": parent} | _origin()
    with changing(store), partial_version(store) as aside:
        _export(old.weights(), aside, (folder / HISTORY).read_text(encoding="utf-8"))
        write_manifest(aside, manifest)
        if not PublishedModel(aside).repeats_probe():
            raise ExportDiffers(f"The export does not repeat the probe of {folder}.")
        return place(aside, store, manifest)


def placed_before(release: Release, models: Path) -> Path | None:
    """The newest version, if it has the history of this run, which no other run shares; None otherwise.

    A kill can come after a version is placed and before its number is recorded in the run's folder.
    """
    found = versions(models, release.name)
    try:
        folder = folder_of(models, release.name, found[-1]) if found else None
    except DamagedError:
        return None
    history = folder / HISTORY if folder else None
    is_same = history and history.is_file() and history.read_text(encoding="utf-8") == _history(release)
    return folder if is_same and release.trained.history else None


def _write(release: Release, aside: Path, stages: Stages) -> tuple[dict[str, Any], PublishedModel]:
    """Write the version without its number, and check it against the network; returns its manifest and the export."""
    stages.enter("export")
    _export(release.trained.weights, aside, _history(release))
    manifest = _facts(release)
    stages.enter("check of the export")
    write_manifest(aside, manifest)
    model = PublishedModel(aside)
    manifest["metrics"] = _metrics(model, release, stages)
    stages.enter("check of the export")
    manifest["probe"] = _probe(model, release)
    if _probe(PublishedModel(aside), release) != manifest["probe"]:
        raise ExportDiffers("The export, loaded twice, gave two different answers to the same probe.")
    return manifest, model


def _export(weights: NetworkWeights, aside: Path, history: str) -> None:
    """Write everything of a version but its manifest."""
    try:
        write_saved_model(weights, aside)
    except tf.errors.OpError as error:  # a full disk, among others
        raise ReportedError(f"The model cannot be written to {aside.parent}: {_reason(error)}.") from error
    (aside / MANIFEST.parent).mkdir()
    (aside / HISTORY).write_text(history, encoding="utf-8")


def _history(release: Release) -> str:
    return "".join(map(jsonl.line, release.trained.history))


def _reason(error: tf.errors.OpError) -> str:
    """The operating system's message for the error, if TensorFlow's message contains one."""
    known = map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS))
    return next((words for words in known if words in error.message), error.message.rstrip("."))


def _facts(release: Release) -> dict[str, Any]:
    config, weights, corpus = release.config, release.trained.weights, release.corpus
    return {
        "format": FORMAT,
        "name": release.name,
        "version": 0,  # known when it is placed
        "unit": config.unit,
        "normalization": config.normalization if config.unit == "char" else "none",
        "vocabulary": corpus.vocabulary.to_json(),
        "cell": config.cell,
        "layers": config.layers,
        "units": config.units,
        "parameters": weights.parameters,
        "dtype": "float32",
        "corpus": {
            "files": [asdict(file) for file in corpus.files],
            "characters": len(corpus),
            "split": {name: list(range_) for name, range_ in asdict(corpus.split).items()},
            "held_out_sha256": corpus.held_out_sha256() if config.split_by != "char" else None,
        },
        "config": config.to_json(),
        "seed": config.seed,
        "metrics": {},
        "parent": release.parent,
        "teachers": list(release.teachers),
        "probe": {},
    } | _origin()


def _origin() -> dict[str, Any]:
    """When and with which programs a version is made."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "tensorflow": tf.__version__,
        "charloom": training.__version__,
        "git_commit": _git_commit(),
    }


def _metrics(model: PublishedModel, release: Release, stages: Stages) -> dict[str, Any]:
    """The losses of the export on the validation and test text."""
    corpus, max_chars = release.corpus, release.config.eval_chars

    def loss_of(part: str, ids: NDArray[Any]) -> Loss:
        return evaluate(model.read, model.initial_state, ids[:max_chars], stages=stages, stage=f"{part} text")

    losses = {"validation": loss_of("validation", corpus.validation)}
    expected, found = release.trained.validation.nats_per_char, losses["validation"].nats_per_char
    if not abs(expected - found) <= MAX_NATS_DIFFERENCE:
        raise ExportDiffers(
            f"The export loses {found:.6f} nats/{release.config.unit} on the validation text, the trained network "
            f"{expected:.6f}."
        )
    if len(corpus.test):
        losses["test"] = loss_of("test", corpus.test)
    return {name: loss.to_json() for name, loss in losses.items()}


def _probe(model: PublishedModel, release: Release) -> dict[str, Any]:
    start = release.corpus.split.validation[0]
    # Without half characters: the range of a byte model may start or end inside one.
    prompt = release.corpus.text(start, start + PROBE_PROMPT_CHARS).replace(REPLACEMENT, "")
    generator = np.random.Generator(np.random.PCG64(PROBE_SEED))
    outputs = model.advance(
        RESERVED,
        model.vocabulary.encode(prompt),
        generator.random(PROBE_SAMPLED_CHARS, dtype=np.float32),
        model.initial_state(),
    )
    return {
        "prompt": prompt,
        "seed": PROBE_SEED,
        "symbols": outputs["symbols"].numpy()[0].tolist(),
        "logprobs": outputs["logprobs"].numpy()[0].tolist(),
    }


def _git_commit() -> str | None:
    """The commit of the training code, or None outside of a git checkout of Charloom."""
    root = Path(training.__file__).parents[1]
    if not (root / ".git").exists():  # installed: a repository around it is another project's
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no git on this machine
        return None
    return found.stdout.strip() if found.returncode == 0 else None
