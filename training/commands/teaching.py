"""The models of --teachers: which text each has not seen, and the targets that they compute for a run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.commands.options import published
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.teacher_targets import OF_CORPUS, OF_WRITTEN, WRITTEN, TeacherTargets
from training.errors import InputError
from training.files import require_space
from training.terminal import quietly

if TYPE_CHECKING:
    from training.network.network import Network
    from training.release.published import PublishedModel

MAX_PASSAGES = 512
PASSAGE = 2000  # symbols at least, where the teachers write that many


@dataclass(frozen=True)
class Teachers:
    """Published models that leave out parts of a training part, together all of it."""

    models: "Sequence[PublishedModel]"
    blocks: Sequence[list[tuple[int, int]]]  # [start, stop) of the training part that each leaves out
    config: TrainConfig  # of the run that they teach
    corpus: Corpus

    @property
    def references(self) -> tuple[str, ...]:
        """NAME/VERSION of each."""
        return tuple(map(_reference, self.models))

    def targets(self, folder: Path) -> TeacherTargets:
        """Compute the targets into `folder`, which is created.

        Raises:
            InputError: the disk has not enough free space.
        """
        symbols, length = len(self.corpus.vocabulary), len(self.corpus.training)
        labelled = length - self.config.held_out(length)
        passages = max(1, min(MAX_PASSAGES, self.config.teacher_chars // max(PASSAGE, self.config.window)))
        shape = (passages, self.config.teacher_chars // passages)
        size = (labelled + shape[0] * shape[1]) * symbols * np.dtype(np.float16).itemsize
        require_space({folder: size}, "The targets of the teachers")
        with quietly():
            from training.learning.progress import StageProgress
            from training.learning.stages import Stages
            from training.learning.teachers import Ensemble, Teacher, predict
        folder.mkdir()
        of_corpus = _array(folder / OF_CORPUS, np.float16, (labelled, symbols))
        written = _array(folder / WRITTEN, self.corpus.vocabulary.dtype, shape)
        of_written = _array(folder / OF_WRITTEN, np.float16, (*shape, symbols))
        stages, ids = Stages(), np.asarray(self.corpus.training)
        networks = [_network(model, self.config.precision) for model in self.models]
        with StageProgress(stages):
            for network, blocks in zip(networks, self.blocks, strict=True):
                predict(Teacher(network, blocks), ids, of_corpus, stages)
            generator = np.random.Generator(np.random.PCG64([self.config.seed, passages]))
            Ensemble(networks).write(written, of_written, generator, stages)
        for array in (of_corpus, written, of_written):
            array.flush()
        return TeacherTargets.open(folder)


def teachers_of(references: Sequence[str], config: TrainConfig, corpus: Corpus, models: Path) -> Teachers:
    """The teachers of a run.

    Args:
        references: NAME or NAME/VERSION of each.
        config: of the run.
        corpus: of the run.
        models: folder of published models.

    Raises:
        InputError: a setting of the run does not allow teachers, a model was trained on another text, or a part of the
            training part is left out by none or by two of them.
    """
    if config.batch_size < 2:
        raise InputError(
            f"--batch-size must be at least 2 with --teachers, not {config.batch_size}: some streams read the corpus, "
            "the others a text of the teachers."
        )
    if config.teacher_chars < config.window:
        raise InputError(f"--teacher-chars must be at least --window, {config.window}, not {config.teacher_chars}.")
    if config.leave_out != "none":
        raise InputError("--leave-out is for teachers: a run with --teachers learns the whole training text.")
    length = len(corpus.training)
    found = [published(models, *reference.split("/")) for reference in references]
    configs = [TrainConfig.from_json(model.manifest["config"]) for model in found]
    blocks = [each.left_out(length) for each in configs]
    for model, each in zip(found, configs, strict=True):
        if model.vocabulary != corpus.vocabulary:
            raise InputError(f"The teacher {_reference(model)} has other symbols than the text of this run.")
        if not _is_of(model, corpus) or _order(each) != _order(config):
            raise InputError(f"The teacher {_reference(model)} was trained on another text, or split it differently.")
        if each.held_out(length) != config.held_out(length):
            raise InputError(
                f"The teacher {_reference(model)} has {'' if each.has_dropout else 'no '}dropout, and this run has "
                f"{'some' if config.has_dropout else 'none'}: give all of them dropout or none, because a network with "
                "dropout holds out the start of the text for temperature scaling."
            )
    order = sorted(range(len(found)), key=lambda number: blocks[number])
    every = sorted(chain.from_iterable(blocks))
    ends = [config.held_out(length), *(last for _, last in every)]
    starts = [*(first for first, _ in every), length]
    if ends != starts:
        parts = ", ".join(model.manifest["config"].get("leave_out", "none") for model in found)
        raise InputError(
            "The --teachers must leave out each part of the training text once (--leave-out 0/N, 1/N, ...), so that "
            f"each part is labelled by a model that has not seen it; they leave out: {parts}."
        )
    return Teachers([found[number] for number in order], [blocks[number] for number in order], config, corpus)


def _is_of(model: "PublishedModel", corpus: Corpus) -> bool:
    """Whether a model was trained on the files of this training part, and on as many symbols of them."""
    recorded = model.manifest["corpus"]
    files = [file["sha256"] for file in recorded["files"]]
    return (
        files == corpus.fingerprints
        and tuple(recorded["split"]["train"]) == tuple(corpus.split.train)
        and recorded.get("held_out_sha256") in (None, corpus.held_out_sha256())
    )


def _order(config: TrainConfig) -> tuple[Any, ...]:
    """What decides the order of a text: the seed too, where lines or files are shuffled."""
    return config.split_by, config.split, config.seed if config.split_by in ("line", "file") else None


def _network(model: "PublishedModel", precision: str) -> "Network":
    from training.network.network import Network
    from training.network.weights import set_weights

    config = replace(TrainConfig.from_json(model.manifest["config"]), precision=precision)
    network = Network(config, len(model.vocabulary))
    set_weights(network, model.weights())
    return network


def _reference(model: "PublishedModel") -> str:
    return f"{model.manifest['name']}/{model.manifest['version']}"


def _array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # Linux; if the disk is full, writing into a sparse file would kill the process
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
