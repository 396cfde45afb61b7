"""The text that the models of --teachers write for a run, with their probabilities."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.commands.options import published
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.teacher_text import TeacherText
from training.errors import InputError
from training.files import require_space
from training.terminal import quietly

if TYPE_CHECKING:
    from training.network.network import Network
    from training.release.published import PublishedModel


def written_by(
    references: Sequence[str], config: TrainConfig, corpus: Corpus, models: Path, folder: Path
) -> tuple[tuple[str, ...], TeacherText]:
    """Let published models write a text into `folder`; returns their NAME/VERSION and the text.

    Args:
        references: NAME or NAME/VERSION of each.
        config: of the run that learns from the text.
        corpus: of that run.
        models: folder of published models.
        folder: is created.

    Raises:
        InputError: a model has other symbols than the corpus, the text is too short, or the disk too full.
    """
    if config.batch_size < 2:
        raise InputError(
            f"--batch-size must be at least 2 with --teachers, not {config.batch_size}: some streams read the corpus, "
            "the others the text of the teachers."
        )
    symbols, size = len(corpus.vocabulary), np.dtype(np.float16).itemsize
    require_space({folder: config.teacher_chars * symbols * size}, "The text of the teachers")
    teachers = [published(models, *reference.split("/")) for reference in references]
    for teacher in teachers:
        if teacher.vocabulary != corpus.vocabulary:
            raise InputError(
                f"The teacher {_reference(teacher)} knows other symbols ({len(teacher.vocabulary) - 1:,}) than the "
                f"corpus has ({symbols - 1:,}): train it on the same text with the same settings for symbols."
            )
    with quietly():
        from training.learning.progress import StageProgress
        from training.learning.stages import Stages
        from training.learning.teachers import Ensemble, write_text
    stages = Stages()
    with StageProgress(stages):
        write_text(
            Ensemble([_network(teacher, config.precision) for teacher in teachers]),
            folder,
            characters=config.teacher_chars,
            window=config.window,
            dtype=corpus.vocabulary.dtype,
            seed=config.seed,
            stages=stages,
        )
    return tuple(map(_reference, teachers)), TeacherText.open(folder)


def _network(teacher: "PublishedModel", precision: str) -> "Network":
    from training.network.network import Network
    from training.network.weights import set_weights

    config = replace(TrainConfig.from_json(teacher.manifest["config"]), precision=precision)
    network = Network(config, len(teacher.vocabulary))
    set_weights(network, teacher.weights())
    return network


def _reference(teacher: "PublishedModel") -> str:
    return f"{teacher.manifest['name']}/{teacher.manifest['version']}"
