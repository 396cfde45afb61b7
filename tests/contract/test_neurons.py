"""The activations that the service reads are those of a NumPy LSTM with the published weights, and so are rankings."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.analysis.features import line_position
from service.analysis.inspect import read
from service.model.model import Model
from tests.oracle import Network as Oracle
from tests.servers import Server
from training.release.published import PublishedModel


def activations_of(version: Path, symbols: np.ndarray) -> np.ndarray:
    """tanh(c) [T, L, H] of each layer after each of the symbols [T], by NumPy."""
    oracle = Oracle.of(PublishedModel(version).weights())
    state, shown = np.zeros((2 * len(oracle.layers), 1, 8)), []
    for symbol in [0, *symbols]:  # 0: the start of a text
        _, state, _ = oracle.forward(np.array([[symbol]]), state)
        shown.append(np.tanh(state[1::2, 0]))
    return np.array(shown[1:])


def test_activations_and_rankings_are_those_of_numpy(tiny: Path, server: Server) -> None:
    version, text = tiny / "models/tiny/1", (tiny / "corpus.txt").read_text()[:900]
    model = Model(version)
    expected = activations_of(version, model.text.encode(text))
    found = np.concatenate([call.activations for call in read(model, text)])
    np.testing.assert_allclose(found, expected, atol=1e-4)

    correlations = np.corrcoef(expected[:, 0].T, line_position(text))[-1, :-1]
    status, _, body = server.request("POST", "/neurons", {"text": text, "limit": 8})
    assert status == 200, body
    (ranking,) = [ranking for ranking in json.loads(body)["features"] if ranking["feature"] == "line_position"]
    assert {unit["unit"] for unit in ranking["units"]} == set(range(8))
    for unit in ranking["units"]:
        assert unit["layer"] == 0
        assert unit["score"] * unit["sign"] == pytest.approx(correlations[unit["unit"]], abs=1e-3)
