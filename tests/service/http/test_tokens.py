from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.engine.scheduler import Scheduler
from service.http.errors import InvalidField
from service.http.tokens import text_of
from tests.service.fakes import FakeByteModel, FakeModel
from tests.service.http.apps import app_of


@pytest.mark.parametrize(
    ("content", "tokens", "decoded"), [("cab", [3, 1, 2], "cab"), ("", [], ""), ("c?b", [3, 0, 2], "c\ufffdb")]
)
def test_text_becomes_ids_and_ids_become_text(
    client: FlaskClient, content: str, tokens: list[int], decoded: str
) -> None:
    """A character outside the vocabulary has the id 0, which is decoded to U+FFFD."""
    assert client.post("/tokenize", json={"content": content}).json == {"tokens": tokens}
    assert client.post("/detokenize", json={"tokens": tokens}).json == {"content": decoded}


def test_a_text_is_normalised_like_a_prompt(client: FlaskClient) -> None:
    assert len(client.post("/tokenize", json={"content": "e\u0301\r\n"}).json["tokens"]) == 2


def test_the_ids_of_a_byte_model_are_bytes(byte_model: FakeByteModel, scheduler: Scheduler, tmp_path: Path) -> None:
    client = app_of(byte_model, scheduler, tmp_path).test_client()
    tokens = client.post("/tokenize", json={"content": "é😀"}).json["tokens"]
    assert len(tokens) == 6
    assert client.post("/detokenize", json={"tokens": tokens}).json == {"content": "é😀"}
    assert client.post("/detokenize", json={"tokens": tokens[:1]}).json == {"content": "\ufffd"}


@pytest.mark.parametrize(
    ("route", "fields", "status", "param", "words"),
    [
        ("/detokenize", {"tokens": [1, 11]}, 422, "tokens", "ids from 0 to 10 only, not 11"),
        ("/detokenize", {"tokens": [-1]}, 422, "tokens", "not -1"),
        ("/detokenize", {"tokens": ["a"]}, 422, "tokens.0", "integer"),
        ("/detokenize", {"tokens": "a"}, 422, "tokens", "array"),
        ("/tokenize", {"content": 5}, 422, "content", "string"),
        ("/tokenize", {"content": "a" * 100_001}, 422, "content", "at most 100000 characters, not 100001"),
        ("/tokenize", {"text": "a"}, 422, "text", "not a field"),
        ("/tokenize", {"model": "other"}, 404, "model", "no model 'other'"),
        ("/detokenize", {"model": "fake", "version": 2}, 404, "version", "no version 2"),
    ],
)
def test_an_invalid_request_is_refused(
    client: FlaskClient, route: str, fields: dict[str, Any], status: int, param: str, words: str
) -> None:
    answer = client.post(route, json=fields)
    assert (answer.status_code, answer.json["error"]["param"]) == (status, param)
    assert words in answer.json["error"]["message"]


def test_an_id_that_is_too_large_is_shortened_in_the_message(model: FakeModel) -> None:
    with pytest.raises(InvalidField) as refused:
        text_of([10**4000], model, "tokens")  # type: ignore[arg-type]
    assert len(str(refused.value)) < 200
