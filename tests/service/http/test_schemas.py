import json
from typing import Annotated, Any

import pytest
from flask.testing import FlaskClient
from pydantic import TypeAdapter, ValidationError

from service.config import Config
from service.http.completion_body import Prompt
from service.http.schemas import DetokenizeBody, InspectBody, Limit, ModelBody, ScoreBody, body_bytes, max_body_bytes


def test_the_longest_body_fits_the_longest_prompt_with_every_character_escaped() -> None:
    config = Config(max_prompt=1000)
    longest = json.dumps({"prompt": "\U0001f600" * 1000})
    assert len(longest) <= max_body_bytes(config) < len(longest) + 100_000


def test_the_longest_text_to_score_fits_its_own_limit() -> None:
    longest = json.dumps({"text": "\U0001f600" * 1000, "logprobs": True})
    assert len(longest) <= body_bytes(1000) < len(longest) + 100_000


def test_a_list_of_wrong_items_has_the_errors_of_its_first_item_only() -> None:
    for validate, field in ((DetokenizeBody.model_validate, "tokens"), (TypeAdapter(Prompt).validate_python, None)):
        counts = []
        for count in (1, 1000):
            wrong: Any = [{}] * count
            with pytest.raises(ValidationError) as caught:
                validate({field: wrong} if field else wrong)
            counts.append(caught.value.error_count())
        assert counts[0] == counts[1]


@pytest.mark.parametrize("path", ["/score", "/inspect"])
def test_null_is_the_default_of_optional_fields_only(client: FlaskClient, path: str) -> None:
    kind = {"/score": ScoreBody, "/inspect": InspectBody}[path]
    nulls = dict.fromkeys(kind.model_fields)
    answer = client.post(path, json=nulls)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "text")
    assert "None" in answer.json["error"]["message"]


class LimitedBody(ModelBody):
    """Fields with limits of both kinds."""

    text: Annotated[str, Limit("max_prompt", at_least=1)]
    count: Annotated[int, Limit("max_length")] = 1
    word: Annotated[str, Limit(3)] = ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": ""}, "at least 1 character, not 0"),
        ({"text": "\U0001f600" * 6}, "at most 5 characters, not 6"),
        ({"text": "a", "count": 8}, "at most 7, not 8"),
        ({"text": "a", "word": "abcd"}, "at most 3 characters, not 4"),
    ],
)
def test_a_limit_is_a_number_or_a_setting_and_counts_characters(fields: dict[str, object], words: str) -> None:
    config = Config(max_prompt=5, max_length=7)
    LimitedBody.model_validate({"text": "\U0001f600" * 5, "count": 7, "word": "abc"}, context=config)
    with pytest.raises(ValidationError, match=words):
        LimitedBody.model_validate(fields, context=config)


def test_the_schema_of_a_body_has_its_limits_and_allows_null_for_a_default() -> None:
    schema = LimitedBody.model_json_schema()
    text, count, word, version = (schema["properties"][name] for name in ("text", "count", "word", "version"))
    assert (text["type"], text["minLength"], text["x-setting"]) == ("string", 1, "max_prompt")
    assert (count["type"], count["x-setting"]) == (["integer", "null"], "max_length")
    assert (word["type"], word["maxLength"]) == (["string", "null"], 3)
    assert version["anyOf"][1] == {"type": "null"}
    assert len(version["anyOf"]) == 2
