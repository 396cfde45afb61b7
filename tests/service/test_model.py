"""Byte models and other cells, loaded for real. tests/contract/ has what training publishes."""

from pathlib import Path

import pytest

from service.artifact.model import Model, ModelError
from tests.service.scripted import PROBE_PROMPT, write_version


@pytest.mark.parametrize(("cell", "layers", "state_tensors"), [("gru", 1, 1), ("rnn", 2, 2), ("lstm", 2, 4)])
def test_a_byte_model_of_any_cell_repeats_its_probe(tmp_path: Path, cell: str, layers: int, state_tensors: int) -> None:
    model = Model(write_version(tmp_path, cell=cell, layers=layers))
    assert model.cold_state(3).shape == (state_tensors, 3, 1)
    assert model.text.encode(PROBE_PROMPT).tolist()[:2] != [0, 0]


def test_a_cell_with_other_states_than_the_graph_is_refused(tmp_path: Path) -> None:
    write_version(tmp_path, cell="gru", layers=2)
    manifest = tmp_path / "scripted/1/assets.extra/manifest.json"
    manifest.write_text(manifest.read_text().replace('"gru"', '"lstm"'))
    with pytest.raises(ModelError, match="probe fails"):
        Model(manifest.parents[1])


@pytest.mark.parametrize("prompt", ["e?", "é", "\ud800"])
def test_a_byte_model_that_does_not_repeat_its_probe_is_refused(tmp_path: Path, prompt: str) -> None:
    probe = {"prompt": prompt, "seed": 4, "symbols": [1, 2, 3, 4, 5], "logprobs": [0.0] * 5}
    with pytest.raises(ModelError, match="does not repeat its probe"):
        Model(write_version(tmp_path, probe=probe))
