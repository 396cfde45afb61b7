"""The model of a run before it is published."""

from pathlib import Path

import pytest

from tests.training.learning.runs import files_of, run_in
from training.errors import InputError
from training.learning.folder import Plan
from training.release.published import PublishedModel
from training.release.unpublished import model_of_run


def test_it_writes_the_text_of_the_version_that_was_published_from_the_run(tiny: Path) -> None:
    before = files_of(tiny / "runs/tiny")
    models = model_of_run(tiny / "runs/tiny"), PublishedModel(tiny / "models/tiny/1")
    texts = ["".join(model.generate("the ", length=100, temperature=1.0, seed=3)) for model in models]
    assert texts[0] == texts[1]
    assert (models[0].manifest["name"], models[0].manifest["version"]) == ("tiny", 0)
    assert files_of(tiny / "runs/tiny") == before


def test_a_folder_without_a_run_a_checkpoint_or_an_evaluation_is_refused(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    with pytest.raises(InputError, match=r"it has no run\.json"):
        model_of_run(tmp_path)
    Plan(run.config, ("text.txt",), run.corpus.key).save(tmp_path)
    with pytest.raises(InputError, match=r"it has no checkpoint\.npz"):
        model_of_run(tmp_path)
    run.save()
    with pytest.raises(InputError, match="was not evaluated yet"):
        model_of_run(tmp_path)
