"""The best weights of a run so far, as a model that can be used before it is published."""

import tempfile
from pathlib import Path

from training.errors import InputError
from training.learning.folder import CHECKPOINT, PLAN, Plan
from training.learning.run import TrainingRun
from training.release.export import write_saved_model
from training.release.published import PublishedModel
from training.release.store import MANIFEST, write_manifest


def model_of_run(folder: Path) -> PublishedModel:
    """The model that publishing the run now would make. Reads its checkpoint, and changes nothing in `folder`.

    The run may still be training: a checkpoint is replaced atomically.

    Raises:
        InputError: there is no run in `folder`, or it was not evaluated yet.
    """
    if not (folder / PLAN).exists():
        raise InputError(f"{folder} is not the folder of a run: it has no {PLAN}.")
    if not (folder / CHECKPOINT).exists():
        raise InputError(f"The run in {folder} has learned nothing yet: it has no {CHECKPOINT}.")
    plan = Plan.load(folder)
    corpus = plan.open_corpus(folder)
    run = TrainingRun(plan.config, corpus, folder, teachers=plan.open_teachers(folder))
    run.restore()
    if run.best is None:
        raise InputError(f"The run in {folder} was not evaluated yet: it can be sampled after its first evaluation.")
    manifest = {
        "name": folder.resolve().name,
        "version": 0,  # not published
        "unit": plan.config.unit,
        "normalization": plan.config.normalization if plan.config.unit == "char" else "none",
        "vocabulary": corpus.vocabulary.to_json(),
        "cell": plan.config.cell,
        "layers": plan.config.layers,
        "units": plan.config.units,
    }
    with tempfile.TemporaryDirectory() as aside:
        write_saved_model(run.result().weights, Path(aside))
        (aside / MANIFEST).parent.mkdir()
        write_manifest(Path(aside), manifest)
        return PublishedModel(Path(aside))  # loads everything: the files are not needed afterwards
