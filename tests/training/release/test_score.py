"""The loss of a published model on its own text and on others."""

from pathlib import Path

import pytest

from training.errors import InputError
from training.release.published import PublishedModel
from training.release.score import score


@pytest.fixture(scope="module")
def model(tiny: Path) -> PublishedModel:
    return PublishedModel(tiny / "models/tiny/1")


def test_its_own_text_is_scored_by_parts(tiny: Path, model: PublishedModel) -> None:
    found = {part: loss for part, loss, _ in score(model, [str(tiny / "corpus.txt")], encoding="utf-8")}
    assert list(found) == ["validation", "test"]
    for part, loss in found.items():
        assert loss.to_json() == pytest.approx(model.manifest["metrics"][part], abs=1e-6)
    (train,) = score(model, [str(tiny / "corpus.txt")], encoding="utf-8", parts=["train"])
    start, stop = model.manifest["corpus"]["split"]["train"]
    assert train[1].characters == stop - start


def test_another_text_is_scored_in_one_part(tmp_path: Path, model: PublishedModel) -> None:
    (tmp_path / "other.txt").write_text("the cat sat on a quilt.\n" * 20)
    (found,) = score(model, [str(tmp_path / "other.txt")], encoding="utf-8")
    part, loss, unknown = found
    assert (part, loss.characters, unknown) == ("text", 480, 20 * len("quil"))


def test_parts_of_another_text_are_refused(tmp_path: Path, model: PublishedModel) -> None:
    (tmp_path / "other.txt").write_text("the cat sat on a mat.\n" * 20)
    with pytest.raises(InputError, match="--part test needs the text that tiny 1 was trained on"):
        list(score(model, [str(tmp_path / "other.txt")], encoding="utf-8", parts=["test"]))


def test_a_part_that_the_model_lacks_is_refused(tiny: Path) -> None:
    model = PublishedModel(tiny / "models/tiny/1")
    split = model.manifest["corpus"]["split"]
    split["test"] = [split["test"][1]] * 2
    with pytest.raises(InputError, match="tiny 1 was trained without a test part: its text has only train and valid"):
        list(score(model, [str(tiny / "corpus.txt")], encoding="utf-8", parts=["test"]))
