"""A published version, loaded from its artifact."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from training.errors import InputError
from training.release.published import PublishedModel, is_valid, newest_valid
from training.release.store import MANIFEST


@pytest.fixture(scope="module")
def model(tiny: Path) -> PublishedModel:
    return PublishedModel(tiny / "models/tiny/1")


def uniforms(count: int) -> np.ndarray:
    return np.random.default_rng(3).random(count, dtype=np.float32)


def test_its_weights_are_all_parameters(model: PublishedModel) -> None:
    assert model.weights().parameters == model.manifest["parameters"]


def test_the_initial_state_is_zeros_for_each_row(model: PublishedModel) -> None:
    assert model.initial_state().shape == (2, 1, 8)
    assert model.initial_state(3).shape == (2, 3, 8)
    assert not model.initial_state(3).any()


def test_advance_follows_the_prompt_and_then_samples(model: PublishedModel) -> None:
    prompt = model.vocabulary.encode("the cat ")
    found = model.advance(0, prompt, uniforms(20), model.initial_state())
    symbols = found["symbols"].numpy()[0]
    assert symbols[:8].tolist() == prompt.tolist()
    first = model.advance(0, prompt, uniforms(20)[:5], model.initial_state())
    second = model.advance(int(first["previous"][0]), prompt[:0], uniforms(20)[5:], first["state"])
    np.testing.assert_array_equal(symbols[13:], second["symbols"].numpy()[0])


def test_read_gives_the_nats_of_advance_for_every_row(model: PublishedModel) -> None:
    ids = np.stack([model.vocabulary.encode(text) for text in ("the cat sat.", "a dog ran on")])
    previous = np.pad(ids, ((0, 0), (1, 0)))[:, :-1]
    nats, state = model.read(previous, ids, model.initial_state(2))
    for row, row_ids in enumerate(ids):
        alone = model.advance(0, row_ids, uniforms(0), model.initial_state())
        np.testing.assert_allclose(nats[row], -alone["logprobs"].numpy()[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(state[:, row], alone["state"][:, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [1, 16, 50])
def test_generate_continues_by_so_many_characters(model: PublishedModel, length: int) -> None:
    text = "".join(model.generate("the ", length=50, temperature=1.0, seed=7))
    assert len(text) == 50
    assert "".join(model.generate("the ", length=length, temperature=1.0, seed=7)) == text[:length]
    assert "".join(model.generate("the ", length=50, temperature=1.0, seed=8)) != text


def test_line_ends_of_a_prompt_are_normalized(model: PublishedModel) -> None:
    texts = {"".join(model.generate(f"mat.{end}", length=40, temperature=1.0, seed=1)) for end in ("\n", "\r\n", "\r")}
    assert len(texts) == 1


def test_unknown_symbols_are_counted(model: PublishedModel) -> None:
    assert model.unknown("the qat qed Z") == {"'q'": 2, "'Z'": 1}


def test_the_newest_valid_version_is_the_highest_that_repeats_its_probe(tiny: Path, tmp_path: Path) -> None:
    for number in ("1", "2", "3"):
        shutil.copytree(tiny / "models/tiny/1", tmp_path / "tiny" / number)
    changed = tmp_path / "tiny/2" / MANIFEST
    manifest = json.loads(changed.read_text())
    manifest["probe"]["symbols"][-1] += 1
    changed.write_text(json.dumps(manifest))
    (tmp_path / "tiny/3/saved_model.pb").write_bytes(b"damaged")
    assert [is_valid(tmp_path / "tiny" / number) for number in ("1", "2", "3")] == [True, False, False]
    assert newest_valid(tmp_path, "tiny") == 1
    assert newest_valid(tmp_path, "other") is None


def test_a_version_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        PublishedModel(tmp_path)
