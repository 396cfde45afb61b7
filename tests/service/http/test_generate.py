import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.http.errors import InvalidField
from service.http.generate import bias_by_id
from service.http.schemas import GenerateBody
from service.model.codec import TextCodec
from tests.service.fakes import FakeModel, expected_text, expected_top, manifest


def events_of(body: str) -> list[dict[str, Any]]:
    """The data of server-sent events."""
    return [json.loads(event.removeprefix("data: ")) for event in body.split("\n\n") if event]


def test_a_stream_has_an_event_for_each_character_and_the_closing_object(client: FlaskClient) -> None:
    *characters, last = events_of(client.post("/generate", json={"prompt": "cab", "length": 20, "seed": 4}).text)
    text = expected_text("cab", 20, 4)
    assert characters == [
        {"index": index, "text": character, "logprob": -(3 + index)} for index, character in enumerate(text)
    ]
    timings = last.pop("timings")
    usage = {"prompt_chars": 3, "cached_chars": 0, "unknown_chars": 0, "generated_chars": 20}
    closing = {"finish_reason": "length", "text": text, "seed": 4, "model": "fake", "version": 1, "usage": usage}
    assert last == closing
    assert list(timings) == ["queue_ms", "first_char_ms", "total_ms", "chars_per_second"]


def test_without_a_stream_the_closing_object_has_the_logprobs(client: FlaskClient) -> None:
    fields = {"prompt": "cab", "length": 20, "seed": 4}
    streamed = events_of(client.post("/generate", json=fields).text)[-1]
    in_one_object = client.post("/generate", json=fields | {"stream": False}).json
    assert in_one_object.pop("logprobs") == [-(3 + index) for index in range(20)]
    for answer in (streamed, in_one_object):
        del answer["timings"]
    assert in_one_object == streamed


def test_all_sampling_parameters_reach_the_model(client: FlaskClient, model: FakeModel) -> None:
    parameters = {"temperature": 0.5, "top_k": 7, "top_p": 0.25}
    client.post("/generate", json=parameters | {"length": 1, "stream": False})
    call = model.calls[0]
    assert (call.temperature[0], call.top_k[0], call.top_p[0]) == (0.5, 7, 0.25)


def test_a_drawn_seed_is_returned_and_gives_the_same_text_again(client: FlaskClient) -> None:
    first = client.post("/generate", json={"length": 30, "stream": False})
    assert int(first.headers["X-Seed"]) == first.json["seed"] < 2**53
    again = client.post("/generate", json={"length": 30, "stream": False, "seed": first.json["seed"]})
    assert again.json["text"] == first.json["text"]


def test_a_failure_before_the_first_byte_is_a_status(client: FlaskClient, model: FakeModel) -> None:
    model.fails = True
    answer = client.post("/generate", json={"stream": False})
    assert answer.status_code == 500
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}


def test_null_is_the_default_of_every_field(client: FlaskClient) -> None:
    given = {"length": 5, "seed": 4, "stream": False}
    usual = client.post("/generate", json=given).json
    nulls = {name: None for name in GenerateBody.model_fields if name not in given}
    assert client.post("/generate", json=nulls | given).json["text"] == usual["text"]
    for name in given:
        answer = client.post("/generate", json=given | {name: None})
        assert answer.status_code == 200
        answer.close()
    assert client.post("/generate", json={"stop": [None]}).status_code == 422  # an item has no default


@pytest.mark.parametrize(("field", "value"), [("top_p", 1.2e-38), ("temperature", 1e-320), ("temperature", -0.0)])
def test_the_smallest_values_are_accepted(client: FlaskClient, field: str, value: float) -> None:
    assert client.post("/generate", json={field: value, "length": 1, "stream": False}).status_code == 200


def test_an_unknown_model_is_404_and_its_name_is_shortened(client: FlaskClient) -> None:
    answer = client.post("/generate", json={"model": "x" * 100_000})
    assert (answer.status_code, answer.json["error"]["param"]) == (404, "model")
    assert "x" * 20 in answer.text
    assert len(answer.data) < 600


def test_a_bias_is_added_to_the_logit_of_its_character(client: FlaskClient, model: FakeModel) -> None:
    client.post("/generate", json={"logit_bias": {"a": -100, "j": 1.5}, "length": 1, "stream": False})
    bias = model.calls[0].bias[0]
    assert {int(id_): float(bias[id_]) for id_ in np.flatnonzero(bias)} == {1: -100.0, 10: 1.5}


@pytest.mark.parametrize(
    ("biases", "message"),
    [
        ({"ab": 1}, "logit_bias should have single characters of the model as keys, not 'ab'."),
        ({"": 1}, "logit_bias should have single characters of the model as keys, not ''."),
        ({"é": 1}, "logit_bias should have single characters of the model as keys, not 'é'."),
    ],
)
def test_a_bias_for_anything_but_a_character_of_the_model_is_refused(
    client: FlaskClient, biases: dict[str, float], message: str
) -> None:
    answer = client.post("/generate", data=json.dumps({"logit_bias": biases}), content_type="application/json")
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "logit_bias")
    assert answer.json["error"]["message"] == message


def test_two_forms_of_one_symbol_cannot_both_have_a_bias() -> None:
    codec = TextCodec(manifest("char", (None, *"a\n")))
    with pytest.raises(InvalidField, match="in two forms"):
        bias_by_id({"\n": 1, "\r\n": 2}, codec)


def test_a_bias_of_a_byte_model_is_for_characters_of_one_byte() -> None:
    codec = TextCodec(manifest("byte", (None, 0x61, *"é".encode())))
    assert bias_by_id({"a": 2.5}, codec) == ((1, 2.5),)
    with pytest.raises(InvalidField, match="single characters"):
        bias_by_id({"é": 1}, codec)


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_each_character_has_its_guesses_if_they_are_asked_for(
    client: FlaskClient, model: FakeModel, accept: str
) -> None:
    fields, headers = {"prompt": "cab", "length": 20, "seed": 4}, {"Accept": accept}
    plain = client.post("/generate", json=fields, headers=headers).text
    assert not model.calls_with_guesses
    text, answer = (
        expected_text("cab", 20, 4),
        client.post("/generate", json=fields | {"top_guesses": 3}, headers=headers),
    )
    without, found = (
        [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line] for body in (plain, answer.text)
    )
    tops = [[list(guess) for guess in best] for best in expected_top("cab", text, 3)]
    assert [event.pop("top") for event in found[:-1]] == tops
    assert found[:-1] == without[:-1]
    assert found[-1].keys() == without[-1].keys()
    in_one_object = client.post("/generate", json=fields | {"top_guesses": 3, "stream": False}).json
    assert (in_one_object["text"], in_one_object["top"]) == (text, tops)
    assert "top" not in client.post("/generate", json=fields | {"stream": False}).json


def test_text_after_a_stop_string_has_no_guesses(client: FlaskClient) -> None:
    text = expected_text("cab", 40, 4)
    fields = {"prompt": "cab", "length": 40, "seed": 4, "stop": [text[10:13]], "top_guesses": 1, "stream": False}
    answer = client.post("/generate", json=fields).json
    assert len(answer["top"]) == len(answer["text"]) == len(answer["logprobs"]) == text.index(text[10:13])


def test_guesses_of_a_version_without_them_are_501_before_the_first_byte(client: FlaskClient, model: FakeModel) -> None:
    model.functions.remove("advance_top")
    answer = client.post("/generate", json={"top_guesses": 1})
    assert (answer.status_code, answer.content_type) == (501, "application/json")
    assert answer.json["error"]["message"] == "Version fake/1 was published without the function 'advance_top'."
    assert not model.calls
    assert client.post("/generate", json={"top_guesses": 0, "stream": False}).status_code == 200


@pytest.mark.parametrize("count", [-1, 6, 1.5, "1", True])
def test_only_0_to_5_guesses_can_be_asked_for(client: FlaskClient, count: object) -> None:
    answer = client.post("/generate", json={"top_guesses": count})
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "top_guesses")
