"""The loss of a published model on its own text and on others, beside a second computation in NumPy."""

import copy
import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import oracle
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.vocabulary import Vocabulary
from training.errors import InputError
from training.release.export import write_saved_model
from training.release.published import PublishedModel
from training.release.score import Score, score


@pytest.fixture(scope="module")
def model(tiny: Path) -> PublishedModel:
    return PublishedModel(tiny / "models/tiny/1")


@pytest.fixture(scope="module")
def other(tiny: Path, model: PublishedModel, tmp_path_factory: pytest.TempPathFactory) -> PublishedModel:
    """A less confident version, in whose vocabulary the symbols have another order."""
    weights, folder = model.weights(), tmp_path_factory.mktemp("other") / "2"
    order = np.random.default_rng(3).permutation(len(model.vocabulary) - 1) + 1
    ids = np.concatenate([[0], order])
    assert weights.embedding is not None
    weaker = replace(
        weights,
        embedding=weights.embedding[ids],
        output_kernel=0.8 * weights.output_kernel[:, ids],
        output_bias=0.8 * weights.output_bias[ids],
    )
    write_saved_model(weaker, folder)
    shutil.copytree(tiny / "models/tiny/1/assets.extra", folder / "assets.extra", dirs_exist_ok=True)
    path = folder / "assets.extra/manifest.json"
    symbols = model.vocabulary.to_json()
    fields = model.manifest | {"version": 2, "vocabulary": [symbols[id_] for id_ in ids]}
    path.write_text(json.dumps(fields))
    return PublishedModel(folder)


def recorded(corpus: Corpus) -> dict[str, Any]:
    """The corpus in a manifest."""
    return {
        "files": [dataclasses.asdict(file) for file in corpus.files],
        "characters": len(corpus),
        "split": dataclasses.asdict(corpus.split),
        "held_out_sha256": corpus.held_out_sha256(),
    }


def changed(model: PublishedModel, symbols: str = "", **fields: Any) -> PublishedModel:
    """The model with other symbols first in its vocabulary, and other fields in its manifest."""
    found = copy.copy(model)
    points = tuple(map(ord, symbols))
    found.vocabulary = Vocabulary("char", points + model.vocabulary.points[len(points) :])
    found.manifest = model.manifest | fields
    return found


def nats_of(model: PublishedModel, windows: Any) -> Any:
    """Nats [N, T] of the ids `windows` [N, T] in float64; each row starts without a state."""
    network = oracle.Network.of(model.weights())
    previous = np.pad(windows[:, :-1], ((0, 0), (1, 0)))
    logits, *_ = network.forward(previous, model.initial_state(len(windows)).astype(np.float64))
    return -np.take_along_axis(oracle.log_softmax(logits), windows[..., None], axis=-1)[..., 0]


def test_its_own_text_is_scored_by_parts(tiny: Path, model: PublishedModel) -> None:
    found = {scored.part: scored.loss for scored in score(model, [str(tiny / "corpus.txt")], encoding="utf-8")}
    assert list(found) == ["validation", "test"]
    for part, loss in found.items():
        assert loss.to_json() == pytest.approx(model.manifest["metrics"][part], abs=1e-6)
    (train,) = score(model, [str(tiny / "corpus.txt")], encoding="utf-8", parts=["train"])
    start, stop = model.manifest["corpus"]["split"]["train"]
    assert train.loss.characters == stop - start


def test_the_protocol_is_that_of_a_second_computation(tiny: Path, model: PublishedModel, other: PublishedModel) -> None:
    path = tiny / "corpus.txt"
    (scored,) = score(model, [str(path)], encoding="utf-8", parts=["train"], against=other)
    start, stop = model.manifest["corpus"]["split"]["train"]
    text = path.read_text()[start:stop]
    ids = model.vocabulary.encode(text)
    carried, others = (nats_of(each, each.vocabulary.encode(text)[None])[0] for each in (model, other))
    assert scored.loss.nats_per_char == pytest.approx(carried.mean(), abs=1e-4)
    assert scored.against is not None
    assert scored.against.nats_per_char == pytest.approx(others.mean(), abs=1e-4)

    count = len(ids) // 1000
    blocks, other_blocks = (nats[: count * 1000].reshape(count, 1000).mean(axis=1) for nats in (carried, others))
    assert scored.loss.standard_error == pytest.approx(blocks.std(ddof=1) / np.sqrt(count), rel=1e-3)
    mean, error = scored.difference
    assert mean == pytest.approx((carried - others).mean(), abs=1e-5)
    assert error == pytest.approx((blocks - other_blocks).std(ddof=1) / np.sqrt(count), rel=1e-3)

    windows = np.stack([ids[at : at + 257] for at in range(0, len(ids) - 256, 256)])
    cold = nats_of(model, windows)[:, 1:]
    assert scored.cold is not None
    assert scored.cold.nats_per_char == pytest.approx(cold.mean(), abs=1e-5)
    assert scored.cold.characters == cold.size


def test_another_text_is_scored_in_one_part(tmp_path: Path, model: PublishedModel) -> None:
    (tmp_path / "other.txt").write_text("the cat sat on a quilt.\n" * 20)
    (found,) = score(model, [str(tmp_path / "other.txt")], encoding="utf-8")
    assert (found.part, found.loss.characters, found.unknown) == ("text", 480, 20 * len("quil"))
    assert (found.against, found.warning) == (None, "")


def test_a_model_of_another_unit_is_refused(tmp_path: Path, model: PublishedModel, other: PublishedModel) -> None:
    (tmp_path / "other.txt").write_text("the cat sat on a mat.\n" * 20)
    bytewise: Any = SimpleNamespace(manifest=other.manifest | {"unit": "byte"})
    with pytest.raises(InputError, match="The unit of tiny 1 is char and that of tiny 2 is byte: their losses cannot"):
        list(score(model, [str(tmp_path / "other.txt")], encoding="utf-8", against=bytewise))


def test_a_model_of_another_normalization_is_refused(model: PublishedModel, other: PublishedModel) -> None:
    with pytest.raises(InputError, match="The normalization of tiny 1 is NFC and that of tiny 2 is none: their losses"):
        list(score(model, ["unread.txt"], encoding="utf-8", against=changed(other, normalization="none")))


def test_each_of_two_models_reads_the_symbols_that_only_it_knows(
    tmp_path: Path, model: PublishedModel, other: PublishedModel
) -> None:
    (tmp_path / "other.txt").write_text("the cat sat on a quilt.\n" * 100)

    def scored(one: PublishedModel, against: PublishedModel | None = None) -> Score:
        (found,) = score(one, [str(tmp_path / "other.txt")], encoding="utf-8", against=against)
        return found

    pair = [changed(model, "qu"), changed(other, "i")]
    alone = [scored(each) for each in pair]
    assert alone[0].unknown != alone[1].unknown
    for one, two in ((0, 1), (1, 0)):
        found = scored(pair[one], pair[two])
        assert (found.loss, found.against) == (alone[one].loss, alone[two].loss)
        assert (found.unknown, found.cold) == (alone[one].unknown, alone[one].cold)


def test_shuffled_parts_are_recognised_beside_a_model_of_more_symbols(
    tmp_path: Path, tiny: Path, model: PublishedModel, other: PublishedModel
) -> None:
    path, config = str(tiny / "corpus.txt"), TrainConfig(split_by="line", split=(0.8, 0.1, 0.1))
    rare = changed(model, "q", config=config.to_json())
    rare.manifest["corpus"] = recorded(prepare([path], config, tmp_path / "encoded", vocabulary=rare.vocabulary))
    assert [scored.part for scored in score(rare, [path], encoding="utf-8", against=other)] == ["validation", "test"]


def test_the_own_text_in_another_encoding_is_refused(tmp_path: Path, model: PublishedModel) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the café sat on a mat.\n" * 20, encoding="utf-8")
    corpus = prepare([str(path)], TrainConfig(), tmp_path / "encoded", vocabulary=model.vocabulary)
    own = changed(model, corpus=recorded(corpus) | {"held_out_sha256": None})  # as for a text split in its order
    assert [scored.part for scored in score(own, [str(path)], encoding="utf-8")] == ["validation", "test"]
    sentence = (
        "With --encoding latin-1, the text has 480 characters, and tiny 1 was trained on 460: its run had --encoding"
    )
    with pytest.raises(InputError, match=sentence):
        list(score(own, [str(path)], encoding="latin-1"))


def test_a_text_may_be_that_of_encoded_parts(tiny: Path, model: PublishedModel) -> None:
    part = {"path": "part-00000-of-00002-0123456789abcdef.ids", "sha256": "0"}
    own = changed(model, corpus=model.manifest["corpus"] | {"files": [part]})
    (found,) = score(own, [str(tiny / "corpus.txt")], encoding="utf-8")
    assert (found.part, found.warning) == (
        "text", "tiny 1 was trained on encoded parts: if they are of this text, most of it is training text.",
    )  # fmt: skip
    with pytest.raises(InputError, match="--part test cannot be made of a text: tiny 1 was trained on encoded parts"):
        list(score(own, [str(tiny / "corpus.txt")], encoding="utf-8", parts=["test"]))


def test_parts_of_another_text_are_refused(tmp_path: Path, model: PublishedModel) -> None:
    (tmp_path / "other.txt").write_text("the cat sat on a mat.\n" * 20)
    with pytest.raises(InputError, match="--part test needs the text that tiny 1 was trained on"):
        list(score(model, [str(tmp_path / "other.txt")], encoding="utf-8", parts=["test"]))


def test_parts_of_a_text_that_earlier_versions_arranged_are_refused(tmp_path: Path, tiny: Path) -> None:
    """A file grows. Its earlier held-out text stays held out, so the parts are others than those of the files alone."""
    config = TrainConfig(split_by="each-file", split=(0.8, 0.1, 0.1), batch_size=2, window=10)
    model, text = PublishedModel(tiny / "models/tiny/1"), (tiny / "corpus.txt").read_text()
    path = tmp_path / "text.txt"

    def encoded(folder: str, earlier: Corpus | None = None) -> Corpus:
        return prepare([str(path)], config, tmp_path / folder, vocabulary=model.vocabulary, earlier=earlier)

    def scored_of(corpus: Corpus, parts: list[str]) -> list[tuple[str, str]]:
        model.manifest["corpus"] = recorded(corpus)
        found = score(model, [str(path)], encoding="utf-8", parts=parts)
        return [(scored.part, scored.warning) for scored in found]

    model.manifest["config"] |= {"split_by": "each-file", "split": [0.8, 0.1, 0.1]}
    path.write_text(text[: len(text) // 2])
    first = encoded("first")
    assert scored_of(first, []) == [("validation", ""), ("test", "")]
    path.write_text(text)
    grown = encoded("grown", first)
    assert grown.fingerprints == encoded("again").fingerprints
    with pytest.raises(InputError, match=r"^--part test cannot be made of the files again: tiny 1 also holds out text"):
        scored_of(grown, ["test"])
    warning = "The text includes files that tiny 1 was trained on, with their training part."
    assert scored_of(grown, []) == [("text", warning)]
    model.manifest["corpus"].pop("held_out_sha256")  # an older version of Charloom
    model.manifest["parent"] = 3
    assert [scored.part for scored in score(model, [str(path)], encoding="utf-8")] == ["text"]


def test_a_part_that_the_model_lacks_is_refused(tiny: Path) -> None:
    model = PublishedModel(tiny / "models/tiny/1")
    split = model.manifest["corpus"]["split"]
    split["test"] = [split["test"][1]] * 2
    with pytest.raises(InputError, match="tiny 1 was trained without a test part: its text has only train and valid"):
        list(score(model, [str(tiny / "corpus.txt")], encoding="utf-8", parts=["test"]))
