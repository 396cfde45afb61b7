"""Responses of the application are as their schemas say, and each schema refuses a response with one field more."""

import json

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel, ValidationError

from service.http import responses


@pytest.mark.parametrize(
    ("path", "body", "schema"),
    [
        ("/generate", {"length": 3, "stream": False}, responses.Generation),
        ("/v1/completions", {"max_tokens": 3, "logprobs": 1, "echo": True, "prompt": "ab"}, responses.Completion),
        ("/tokenize", {"content": "abc"}, responses.Tokens),
        ("/detokenize", {"tokens": [1, 2]}, responses.Content),
        ("/score", {"text": "abc"}, responses.ScoreResult),
        ("/score", {"text": "abc", "logprobs": True}, responses.ScoreResult),
        ("/generate", {"length": 0}, responses.ErrorBody),
    ],
)
def test_a_response_has_the_fields_of_its_schema(
    client: FlaskClient, path: str, body: dict[str, object], schema: type[BaseModel]
) -> None:
    answer = client.post(path, json=body)
    schema.model_validate_json(answer.data)
    with pytest.raises(ValidationError):
        schema.model_validate_json(json.dumps(answer.json | {"unknown": 1}))


def test_the_events_of_a_stream_have_the_fields_of_their_schemas(client: FlaskClient) -> None:
    answer = client.post("/generate", json={"length": 3}, headers={"Accept": "application/x-ndjson"})
    *events, last = answer.text.splitlines()
    assert [responses.CharacterEvent.model_validate_json(event).index for event in events] == [0, 1, 2]
    assert responses.LastEvent.model_validate_json(last).usage.generated_chars == 3
