"""The loss of a published model on its own text and on others, beside a second computation in NumPy."""

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
from training.errors import InputError
from training.release.export import write_saved_model
from training.release.published import PublishedModel
from training.release.score import score


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
    changed = replace(
        weights,
        embedding=weights.embedding[ids],
        output_kernel=0.8 * weights.output_kernel[:, ids],
        output_bias=0.8 * weights.output_bias[ids],
    )
    write_saved_model(changed, folder)
    shutil.copytree(tiny / "models/tiny/1/assets.extra", folder / "assets.extra", dirs_exist_ok=True)
    path = folder / "assets.extra/manifest.json"
    symbols = model.vocabulary.to_json()
    fields = model.manifest | {"version": 2, "vocabulary": [symbols[id_] for id_ in ids]}
    path.write_text(json.dumps(fields))
    return PublishedModel(folder)


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
    assert found.against is None


def test_a_model_of_another_unit_is_refused(tmp_path: Path, model: PublishedModel, other: PublishedModel) -> None:
    (tmp_path / "other.txt").write_text("the cat sat on a mat.\n" * 20)
    bytewise: Any = SimpleNamespace(manifest=other.manifest | {"unit": "byte"})
    with pytest.raises(InputError, match="tiny 1 reads a text by char and tiny 2 by byte"):
        list(score(model, [str(tmp_path / "other.txt")], encoding="utf-8", against=bytewise))


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

    def scored_of(corpus: Corpus, parts: list[str]) -> list[str]:
        model.manifest["corpus"] = {
            "files": [{"sha256": sha256} for sha256 in corpus.fingerprints],
            "split": dataclasses.asdict(corpus.split),
            "held_out_sha256": corpus.held_out_sha256(),
        }
        return [scored.part for scored in score(model, [str(path)], encoding="utf-8", parts=parts)]

    model.manifest["config"] |= {"split_by": "each-file", "split": [0.8, 0.1, 0.1]}
    path.write_text(text[: len(text) // 2])
    first = encoded("first")
    assert scored_of(first, []) == ["validation", "test"]
    path.write_text(text)
    grown = encoded("grown", first)
    assert grown.fingerprints == encoded("again").fingerprints
    with pytest.raises(InputError, match=r"^--part test cannot be made of the files again: tiny 1 also holds out text"):
        scored_of(grown, ["test"])
    assert scored_of(grown, []) == ["text"]
    model.manifest["corpus"].pop("held_out_sha256")  # an older version of Charloom
    model.manifest["parent"] = 3
    assert [scored.part for scored in score(model, [str(path)], encoding="utf-8")] == ["text"]


def test_a_part_that_the_model_lacks_is_refused(tiny: Path) -> None:
    model = PublishedModel(tiny / "models/tiny/1")
    split = model.manifest["corpus"]["split"]
    split["test"] = [split["test"][1]] * 2
    with pytest.raises(InputError, match="tiny 1 was trained without a test part: its text has only train and valid"):
        list(score(model, [str(tiny / "corpus.txt")], encoding="utf-8", parts=["test"]))
