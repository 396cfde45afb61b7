from typing import Any

import pytest
from flask import Flask, request

from service.config import Config
from service.http.body import read_body
from service.http.completion_body import CompletionBody
from service.http.errors import InvalidField


def body_of(**fields: Any) -> CompletionBody:
    with Flask(__name__).test_request_context(json=fields):
        return read_body(CompletionBody, request, Config())


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        (None, [""]),
        ("", [""]),
        ("ab", ["ab"]),
        (["ab", ""], ["ab", ""]),
        ([1, 2], [[1, 2]]),
        ([[1], []], [[1], []]),
    ],
)
def test_a_prompt_of_every_form_is_a_list_of_texts_or_ids(prompt: Any, prompts: Any) -> None:
    assert body_of(prompt=prompt).prompts == prompts


@pytest.mark.parametrize(("stop", "strings"), [(None, ()), ("ab", ("ab",)), (["a", "b"], ("a", "b")), ([], ())])
def test_stop_is_a_string_or_a_list(stop: Any, strings: tuple[str, ...]) -> None:
    assert body_of(stop=stop).stop_strings == strings


def test_the_candidates_are_best_of_or_n() -> None:
    assert [body_of().candidates, body_of(n=3).candidates, body_of(n=3, best_of=5).candidates] == [1, 3, 5]


FORMS = "should be a string, a list of strings, a list of ids or a list of lists of ids"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        *(({"prompt": prompt}, "prompt", FORMS) for prompt in (5, ["a", 1], [1, [1]], [True], [1.5], {"a": 1}, [None])),
        ({"prompt": []}, "prompt", "at least one item"),
        *(({"stop": stop}, "stop", "at most 4 strings") for stop in ("", ["a"] * 5, [""], "a" * 257, 5)),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"max_tokens": 1.0}, "max_tokens", "integer"),
        ({"temperature": 2.1}, "temperature", "less than or equal to 2"),
        ({"top_k": -2}, "top_k", "greater than or equal to -1"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 129}, "n", "less than or equal to 128"),
        ({"best_of": 0}, "best_of", "greater than or equal to 1"),
        ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
        ({"logprobs": True}, "logprobs", "integer"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "less than or equal to 100"),
        ({"presence_penalty": 3}, "presence_penalty", "less than or equal to 2"),
        ({"stream_options": {"usage": True}}, "stream_options.usage", "is not a field"),
        ({"messages": []}, "messages", "is not a field"),
    ],
)
def test_an_invalid_value_is_refused_with_its_field(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(InvalidField, match=words) as refused:
        body_of(**fields)
    assert refused.value.param == param
    assert str(refused.value).startswith(param)
