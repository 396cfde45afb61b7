import math
import time
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.analysis.inspect import CHARS_PER_CALL
from service.engine.scheduler import Scheduler
from service.model.model import Inspected
from tests.service.analysis.fakes import InspectingModel
from tests.service.http.apps import app_of

TEXT = "abcdefghijabcdefghij"


@pytest.fixture
def model() -> InspectingModel:
    return InspectingModel()


def test_an_inspection_has_guesses_and_activations_of_each_character(client: FlaskClient) -> None:
    answer = client.post("/inspect", json={"text": "abc", "units": [[0, 1], [0, 0]]})
    assert answer.json["units"] == [[0, 1], [0, 0]]
    assert (answer.json["finish_reason"], answer.json["model"], answer.json["version"]) == ("length", "fake", 1)
    assert answer.json["characters"][2] == {
        "text": "c",
        "logprob": -2,
        "top": [["\ufffd", -2.0], ["a", -2.1], ["b", -2.2], ["c", -2.3], ["d", -2.4]],
        "activations": [0.0025, 0.00225],
    }
    assert answer.headers["X-Model"] == "fake"


def test_an_inspection_may_ask_for_all_units_of_a_layer_or_none(client: FlaskClient) -> None:
    answer = client.post("/inspect", json={"text": "a", "layer": 0}).json
    assert (answer["units"], len(answer["characters"][0]["activations"])) == ([[0, 0], [0, 1]], 2)
    answer = client.post("/inspect", json={"text": "a"}).json
    assert (answer["units"], answer["characters"][0]["activations"]) == ([], [])


def test_neurons_are_ranked_by_feature(client: FlaskClient, model: InspectingModel) -> None:
    answer = client.post("/neurons", json={"text": "ab(cA)" * 10, "limit": 1})
    found = answer.json
    *ranked, position = sorted(found.pop("features"), key=lambda ranking: ranking["feature"])
    assert position == {
        "feature": "line_position",
        "measure": "absolute_correlation",
        "max_score": 1.0,
        "units": [{"layer": 0, "unit": 0, "score": 1.0, "sign": 1, "examples": [59]}],
    }
    assert [ranking["feature"] for ranking in ranked] == ["bracket_depth", "capitals"]
    assert ranked[1]["measure"] == "mutual_information_bits"
    assert ranked[1]["max_score"] == pytest.approx(math.log2(6) - 5 / 6 * math.log2(5), abs=1e-6)
    assert all(len(ranking["units"]) == 1 for ranking in ranked)
    assert found == {
        "constant": ["inside_quotes", "inside_comment", "capital_run", "indentation", "inside_url"],
        "chars": 60,
        "finish_reason": "length",
        "model": "fake",
        "version": 1,
    }
    assert answer.headers["X-Model"] == "fake"
    assert model.inspected == [CHARS_PER_CALL, 60 - CHARS_PER_CALL]


def test_a_limit_above_the_number_of_units_gives_all_of_them(client: FlaskClient) -> None:
    (ranking,) = client.post("/neurons", json={"text": "abc", "limit": 1000}).json["features"]
    assert [unit["unit"] for unit in ranking["units"]] == [0, 1]


def test_one_character_or_a_text_without_features_has_no_ranking(client: FlaskClient) -> None:
    for text in ("a", "\n\n\n"):
        answer = client.post("/neurons", json={"text": text})
        assert (answer.status_code, answer.json["features"], len(answer.json["constant"])) == (200, [], 8)


@pytest.mark.parametrize("path", ["/inspect", "/neurons"])
def test_past_its_deadline_a_response_is_that_of_the_characters_so_far(
    scheduler: Scheduler, tmp_path: Path, path: str
) -> None:
    class Slow(InspectingModel):
        def inspect(self, symbols: np.ndarray, state: np.ndarray) -> Inspected:
            time.sleep(0.01)
            return super().inspect(symbols, state)

    client = app_of(Slow(), scheduler, tmp_path, request_timeout=0.005).test_client()
    found = client.post(path, json={"text": TEXT * 5}).json
    chars = len(found["characters"]) if path == "/inspect" else found["chars"]
    assert (found["finish_reason"], chars) == ("timeout", CHARS_PER_CALL)
