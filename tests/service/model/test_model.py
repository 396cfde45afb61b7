"""Models that TensorFlow loads, written without training. tests/contract/ loads what training publishes."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.model.model import MissingFunction, Model, ModelError, Steps
from service.model.saved_model import Arrays, SavedModel, SavedModelError
from tests.processes import ROOT
from tests.service.scripted import PROBE_PROMPT, Scripted, id_of, write_version


@pytest.mark.parametrize(("cell", "layers", "state_tensors"), [("gru", 1, 1), ("rnn", 2, 2), ("lstm", 2, 4)])
def test_a_byte_model_of_any_cell_repeats_its_probe(tmp_path: Path, cell: str, layers: int, state_tensors: int) -> None:
    model = Model(write_version(tmp_path, cell=cell, layers=layers))
    assert model.initial_state(3).shape == (state_tensors, 3, 1)
    assert model.text.encode(PROBE_PROMPT).tolist()[:2] != [0, 0]


def test_a_cell_whose_states_do_not_fit_the_graph_is_refused(tmp_path: Path) -> None:
    write_version(tmp_path, cell="gru", layers=2)
    manifest = tmp_path / "scripted/1/assets.extra/manifest.json"
    manifest.write_text(manifest.read_text().replace('"gru"', '"lstm"'))
    with pytest.raises(ModelError, match="probe fails"):
        Model(manifest.parents[1])


@pytest.mark.parametrize("prompt", ["e?", "é"])
def test_a_byte_model_that_does_not_repeat_its_probe_is_refused(tmp_path: Path, prompt: str) -> None:
    probe = {"prompt": prompt, "seed": 4, "symbols": [1, 2, 3, 4, 5], "logprobs": [0.0] * 5}
    with pytest.raises(ModelError, match="does not repeat its probe"):
        Model(write_version(tmp_path, probe=probe))


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused_even_if_the_probe_does_not_use_them(
    tmp_path: Path, weight: float
) -> None:
    known = Scripted(1).logprobs.numpy()
    known[id_of(ord("~"))] = weight  # a byte that the probe does not have
    with pytest.raises(ModelError, match=r"its weights 'logprobs' are not all finite numbers"):
        Model(write_version(tmp_path, logprobs=known))


def test_a_state_that_is_not_finite_after_the_probe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = write_version(tmp_path)
    Model(version)
    spoil(monkeypatch, "advance", "state", lambda state: state * np.float32(math.nan))
    with pytest.raises(ModelError, match="its state after its probe is not finite"):
        Model(version)


def spoil(monkeypatch: pytest.MonkeyPatch, function: str, output: str, change: Callable[[Any], Any]) -> None:
    """Change an output of the first call of a function of every SavedModel."""

    def spoiled(self: SavedModel, called: str, inputs: Arrays) -> Arrays:
        outputs = call(self, called, inputs)
        return outputs | {output: change(outputs[output])} if called == function else outputs

    call = SavedModel.first_call
    monkeypatch.setattr(SavedModel, "first_call", spoiled)


@pytest.mark.parametrize("name", ["saved_model.pb", "fingerprint.pb", "variables/variables.index", "assets/names.txt"])
def test_a_version_with_files_that_must_not_be_read_is_refused(tmp_path: Path, name: str) -> None:
    version = write_version(tmp_path)
    file, outside = version / name, tmp_path / "outside"
    outside.touch()
    for make, words in (
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to(outside), "is a link out of the version's folder"),
        (lambda path: path.symlink_to("gone"), "cannot be read: No such file"),
    ):
        file.unlink(missing_ok=True)
        make(file)
        with pytest.raises(ModelError, match=f"its {name} {words}"):
            Model(version)


def test_a_graph_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    version = write_version(tmp_path)
    os.truncate(version / "saved_model.pb", 2**30)
    with pytest.raises(ModelError, match=r"its saved_model.pb has 1073741824 bytes, and at most 268435456 are read"):
        Model(version)


def test_a_version_may_be_a_link_and_hold_links_to_its_own_files(tmp_path: Path) -> None:
    version = write_version(tmp_path / "elsewhere")
    (version / "variables").rename(version / "..data")
    (version / "variables").symlink_to("..data")
    (tmp_path / "scripted").mkdir()
    (tmp_path / "scripted/1").symlink_to(version)
    assert Model(tmp_path / "scripted/1").manifest.version == 1


def test_a_version_in_the_folder_of_another_one_is_refused(tmp_path: Path) -> None:
    version = write_version(tmp_path)
    version.rename(version.with_name("2"))
    with pytest.raises(ModelError, match="its manifest says that it is scripted/1"):
        Model(version.with_name("2"))


def test_a_row_gets_the_same_bits_in_every_padded_batch(tmp_path: Path) -> None:
    model = Model(write_version(tmp_path))
    one, many = (model.advance(steps_of(model, count * model.row_multiple)) for count in (1, 3))
    for name, expected in vars(one).items():
        axis = 1 if name == "state" else 0
        np.testing.assert_array_equal(vars(many)[name].take([-1], axis), expected.take([0], axis))


def test_a_version_with_advance_top_gives_guesses_and_the_same_bits(tmp_path: Path) -> None:
    model = Model(write_version(tmp_path, has_guesses=True))
    model.require("advance_top")
    steps = steps_of(model, 4)
    plain, found = model.advance(steps), model.advance_top(steps)
    for name, expected in vars(plain).items():
        np.testing.assert_array_equal(vars(found)[name], expected)
    assert found.guesses(3, 2, 3).tolist() == [[(1, -1), (2, -2), (3, -3)]] * 2
    assert not plain.guesses(3, 2, 3).size


def test_an_advance_top_that_does_not_repeat_the_probe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = write_version(tmp_path, has_guesses=True)
    spoil(monkeypatch, "advance_top", "symbols", lambda symbols: symbols + 1)
    with pytest.raises(ModelError, match="does not repeat its probe"):
        Model(version)


def steps_of(model: Model, rows: int) -> Steps:
    """Inputs of rows that sample with the same uniforms."""
    zeros, ones = np.zeros(rows, np.int32), np.ones(rows, np.float32)
    return Steps(
        previous=zeros,
        given=np.zeros((rows, 5), np.int32),
        given_length=zeros,
        length=np.full(rows, 5, np.int32),
        uniforms=np.tile(np.linspace(0, 0.9, 5, dtype=np.float32), (rows, 1)),
        temperature=ones,
        top_k=zeros,
        top_p=ones,
        bias=np.zeros((rows, model.manifest.symbols), np.float32),
        state=model.initial_state(rows),
    )


def test_a_version_without_inspect_is_served_and_an_inspection_names_the_function(tmp_path: Path) -> None:
    model = Model(write_version(tmp_path))
    with pytest.raises(MissingFunction, match="Version scripted/1 was published without the function 'inspect'"):
        model.inspect(np.ones((1, 3), np.int32), model.initial_state(1))


def test_a_version_without_guesses_is_served_and_a_request_for_them_names_the_function(tmp_path: Path) -> None:
    model = Model(write_version(tmp_path))
    for call in (lambda: model.require("advance_top"), lambda: model.advance_top(steps_of(model, 4))):
        with pytest.raises(
            MissingFunction, match="Version scripted/1 was published without the function 'advance_top'"
        ):
            call()


@pytest.fixture
def included() -> Path:
    """The version that the repository includes, which has every function."""
    return next((ROOT / "models/shakespeare").glob("[0-9]*"))


def test_every_function_that_requests_use_has_its_first_call_during_the_load(
    included: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(self: SavedModel, function: str, inputs: Arrays) -> Arrays:
        called.append(function)
        return first_call(self, function, inputs)

    called: list[str] = []
    first_call = SavedModel.first_call
    monkeypatch.setattr(SavedModel, "first_call", record)
    Model(included)
    assert sorted(called) == ["advance", "advance_top", "inspect"]


def test_a_version_whose_inspect_does_not_compile_is_refused(included: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: SavedModel, function: str, inputs: Arrays) -> Arrays:
        if function == "inspect":
            raise SavedModelError("it cannot be compiled")
        return first_call(self, function, inputs)

    first_call = SavedModel.first_call
    monkeypatch.setattr(SavedModel, "first_call", refuse)
    with pytest.raises(ModelError, match="its function 'inspect' fails: it cannot be compiled"):
        Model(included)
