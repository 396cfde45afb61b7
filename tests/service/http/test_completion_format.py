import json
from typing import Any

import numpy as np

from service.engine.generation import Characters, Result, Status
from service.http.completion_body import CompletionBody
from service.http.completion_format import DONE, CompletionFormat
from service.model.guesses import GUESS
from service.model.version import ModelVersion

VERSION = ModelVersion("tale", 7)


def format_of(prompts: list[str], **fields: Any) -> CompletionFormat:
    return CompletionFormat(CompletionBody(**fields), prompts, VERSION)


def result(text: str, echo: str = "", status: Status = Status.LENGTH) -> Result:
    return Result(
        version=VERSION,
        seed=1,
        status=status,
        text=text,
        logprobs=[-1.0] * len(text),
        prompt_chars=5,
        cached_chars=0,
        unknown_chars=0,
        queue_ms=0,
        first_char_ms=None,
        total_ms=1,
        echo=echo,
        echo_logprobs=[-2.0] * len(echo),
        chunks=(characters(text),),
        echo_chunks=(characters(echo),),
    )


def characters(text: str, index: int = 0, choice: int = 0) -> Characters:
    """Characters of logprob -1; before each of them comes the guess x and then a."""
    guesses = np.array([[(1, -0.5), (2, -1)]] * len(text), GUESS).reshape(-1, 2)
    return Characters(index, text, -np.ones(len(text), np.float32), choice, guesses=guesses, symbol_texts="?xa")


def event(text: str) -> dict[str, Any]:
    """The data of one event."""
    assert text.startswith("data: ")
    assert text.endswith("\n\n")
    return json.loads(text.removeprefix("data: "))


def test_the_model_is_the_one_that_was_named_and_the_fingerprint_the_version() -> None:
    found = [format_of([""], model=named).object([]) for named in (None, "tale", "tale@7")]
    assert [(o["model"], o["system_fingerprint"]) for o in found] == [
        ("tale", "tale@7"),
        ("tale", "tale@7"),
        ("tale@7", "tale@7"),
    ]


def test_a_choice_has_its_echo_and_its_finish_reason() -> None:
    form = format_of(["ab"], echo=True, logprobs=2)
    choice = form.choice_of(result("cd", "ab", Status.STOP), 3)
    assert (choice["text"], choice["index"], choice["finish_reason"]) == ("abcd", 3, "stop")
    assert choice["logprobs"]["token_logprobs"] == [None, -2, -1, -1]
    best = {"x": -0.5, "a": -1}
    assert choice["logprobs"]["top_logprobs"] == [None, best | {"b": -2}, best | {"c": -1}, best | {"d": -1}]
    assert format_of(["ab"]).choice_of(result("", status=Status.TIMEOUT), 0)["finish_reason"] == "length"


def test_the_usage_counts_each_prompt_once_and_every_candidate() -> None:
    results = [result("abc"), result("ab"), result(""), result("a")]
    assert format_of(["x", "y"], n=1, best_of=2).usage(results) == {
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "total_tokens": 16,
    }


def test_events_name_their_choice_and_only_the_first_of_an_echo_has_no_logprob() -> None:
    characters = format_of(["ab", ""], echo=True, logprobs=0, stream=True).stream_format().characters
    logprobs = np.array([-1, -2], np.float32)
    first = event(characters(Characters(0, "ab", logprobs, 0)))["choices"][0]
    second = event(characters(Characters(2, "cd", logprobs, 0, Status.STOP)))["choices"][0]
    without_prompt = event(characters(Characters(0, "cd", logprobs, 1)))["choices"][0]
    assert (first["index"], first["logprobs"]["token_logprobs"], first["finish_reason"]) == (0, [None, -2], None)
    assert (second["logprobs"]["token_logprobs"], second["logprobs"]["text_offset"]) == ([-1, -2], [2, 3])
    assert second["finish_reason"] == "stop"
    assert (without_prompt["index"], without_prompt["logprobs"]["token_logprobs"]) == (1, [-1, -2])


def test_an_event_has_the_best_guesses_and_the_token_itself() -> None:
    stream_format = format_of(["ab"], echo=True, logprobs=2, stream=True).stream_format()
    first, second = (
        event(stream_format.characters(characters(text, index)))["choices"][0]["logprobs"]["top_logprobs"]
        for text, index in (("ab", 0), ("xa", 2))
    )
    assert first == [None, {"x": -0.5, "a": -1, "b": -1}]
    assert second == [{"x": -1, "a": -1}, {"x": -0.5, "a": -1}]


def test_a_stream_ends_with_done_after_the_usage_or_an_error() -> None:
    without = format_of([""], stream=True)
    assert without.stream_format().last(without.usage_event(result("abc"))) == DONE == "data: [DONE]\n\n"
    with_usage = format_of([""], stream=True, stream_options={"include_usage": True})
    last = with_usage.stream_format().last(with_usage.usage_event(result("abc")))
    assert event(last.removesuffix(DONE))["usage"]["completion_tokens"] == 3
    error = without.stream_format().error({"error": {"message": "x"}})
    assert error == 'data: {"error": {"message": "x"}}\n\n' + DONE
