import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.engine.prefix_cache import PrefixCache
from service.engine.scheduler import Scheduler
from service.http.completions import seed_of
from service.model.model import Stepped, Steps
from tests.service.fakes import FakeByteModel, FakeModel, Gate, expected_text, expected_top
from tests.service.http.apps import app_of
from tests.waiting import wait_until

SLOTS, QUEUE = 4, 6


class Impossible(FakeModel):
    """Gives every symbol the logprob minus infinity."""

    def advance(self, steps: Steps) -> Stepped:
        stepped = super().advance(steps)
        stepped.logprobs[:] = -np.inf
        return stepped


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    started = Scheduler(engines=1, slots=SLOTS, queue=QUEUE, chunk=4, cache=PrefixCache(0))
    yield started
    started.close()


def client_of(model: FakeModel, scheduler: Scheduler, folder: Path, **settings: Any) -> FlaskClient:
    return app_of(model, scheduler, folder, slots=SLOTS, queue=QUEUE, **settings).test_client()


@pytest.fixture
def client(model: FakeModel, scheduler: Scheduler, tmp_path: Path) -> FlaskClient:
    return client_of(model, scheduler, tmp_path)


def complete(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/completions", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json


def stream(client: FlaskClient, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream, which ends with [DONE]."""
    answer = client.post("/v1/completions", json=fields | {"stream": True})
    assert answer.content_type == "text/event-stream; charset=utf-8"
    *events, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def texts_of(response: dict[str, Any]) -> list[str]:
    assert [choice["index"] for choice in response["choices"]] == list(range(len(response["choices"])))
    return [choice["text"] for choice in response["choices"]]


def joined(events: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The choices of a stream by index, each as a response in one object has it."""
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        for part in event["choices"]:
            choice = choices.setdefault(part["index"], part | {"text": "", "finish_reason": None, "logprobs": None})
            assert choice["finish_reason"] is None, "nothing follows the end of a choice"
            choice["text"] += part["text"]
            choice["finish_reason"] = part["finish_reason"]
            if logprobs := part["logprobs"]:
                choice["logprobs"] = choice["logprobs"] or {name: [] for name in logprobs}
                for name, values in logprobs.items():
                    choice["logprobs"][name] += values
    return choices


def top_of(prompt: str, text: str, count: int) -> list[dict[str, float]]:
    """The `top_logprobs` of a text: the best guesses, and the token itself with its logprob, minus its step."""
    best = expected_top(prompt, text, count)
    return [dict(best[i]) | {token: -float(len(prompt) + i)} for i, token in enumerate(text)]


def test_a_response_has_the_fields_of_openai(client: FlaskClient) -> None:
    answer = client.post("/v1/completions", json={"model": "fake", "prompt": "cab", "max_tokens": 20, "seed": 4})
    response = answer.json
    assert response.pop("id").startswith("cmpl-")
    assert response.pop("created") > 1.6e9
    assert response == {
        "object": "text_completion",
        "model": "fake",
        "system_fingerprint": "fake@1",
        "choices": [{"text": expected_text("cab", 20, 4), "index": 0, "logprobs": None, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 20, "total_tokens": 23},
    }
    assert (answer.headers["X-Model-Version"], answer.headers["X-Seed"]) == ("1", "4")


def test_one_choice_is_the_text_of_generate(client: FlaskClient) -> None:
    sampling = {"prompt": "cab", "seed": 7, "temperature": 0.7, "top_p": 0.9}
    generated = client.post("/generate", json=sampling | {"length": 30, "stream": False}).json
    response = complete(client, **sampling, max_tokens=30, logprobs=0)
    assert texts_of(response) == [generated["text"]]
    assert response["choices"][0]["logprobs"]["token_logprobs"] == generated["logprobs"]


def test_the_defaults_are_those_of_openai(client: FlaskClient) -> None:
    response = complete(client)
    assert len(texts_of(response)[0]) == 16
    nulls = dict.fromkeys(("model", "prompt", "max_tokens", "n", "best_of", "logprobs", "stop", "suffix", "logit_bias"))
    assert complete(client, **nulls, user="me")["usage"] == response["usage"]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("cab", ["cab"]),
        (["cab", "", "j"], ["cab", "", "j"]),
        ([3, 1, 2], ["cab"]),
        ([[3, 1, 2], [], [10]], ["cab", "", "j"]),
    ],
)
def test_every_form_of_a_prompt(client: FlaskClient, prompt: Any, texts: list[str]) -> None:
    response = complete(client, prompt=prompt, max_tokens=9, seed=4)
    assert texts_of(response) == [expected_text(text, 9, seed_of(4, choice)) for choice, text in enumerate(texts)]
    assert response["usage"]["prompt_tokens"] == sum(map(len, texts))


def test_each_choice_has_its_own_seed(client: FlaskClient) -> None:
    seeds = [9, *(int(np.random.SeedSequence((9, i)).generate_state(1, np.uint64)[0]) >> 1 for i in range(1, 6))]
    response = complete(client, prompt=["cab", "j"], n=3, max_tokens=20, seed=9)
    expected = [expected_text("cab" if i < 3 else "j", 20, seed) for i, seed in enumerate(seeds)]
    assert texts_of(response) == expected
    assert response["usage"] == {"prompt_tokens": 4, "completion_tokens": 120, "total_tokens": 124}
    assert all(0 <= seed_of(2**63 - 1, i) < 2**63 for i in range(100))


def test_a_stream_says_the_same_as_one_object(client: FlaskClient) -> None:
    fields = {"prompt": ["cab", ""], "n": 2, "max_tokens": 30, "seed": 9, "echo": True, "logprobs": 1, "stop": "ab"}
    in_one_object = complete(client, **fields)
    events = stream(client, **fields)
    choices = joined(events)
    assert [choices[index] for index in range(4)] == in_one_object["choices"]
    assert {(event["object"], event["model"], event["system_fingerprint"]) for event in events} == {
        ("text_completion", "fake", "fake@1")
    }
    assert len({event["id"] for event in events}) == 1
    assert all("usage" not in event for event in events)


def test_the_events_of_the_choices_are_interleaved(client: FlaskClient) -> None:
    order = [event["choices"][0]["index"] for event in stream(client, n=3, max_tokens=100)]
    assert order != sorted(order)


def test_the_usage_of_a_stream_is_the_last_event(client: FlaskClient) -> None:
    *events, last = stream(client, prompt="cab", n=2, max_tokens=5, stream_options={"include_usage": True})
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 10, "total_tokens": 13}
    assert all(event["usage"] is None for event in events)


def test_logprobs_are_parallel_lists(client: FlaskClient) -> None:
    (choice,) = complete(client, prompt="cab", max_tokens=4, seed=4, logprobs=1)["choices"]
    text = expected_text("cab", 4, 4)
    assert choice["logprobs"] == {
        "tokens": list(text),
        "token_logprobs": [-3, -4, -5, -6],
        "top_logprobs": top_of("cab", text, 1),
        "text_offset": [0, 1, 2, 3],
    }
    (choice,) = complete(client, prompt="cab", max_tokens=4, seed=4, logprobs=0)["choices"]
    assert (choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"]) == ([-3, -4, -5, -6], None)


@pytest.mark.parametrize("echo", [False, True])
def test_five_logprobs_are_the_best_guesses_streamed_or_not(client: FlaskClient, model: FakeModel, echo: bool) -> None:
    fields = {"prompt": ["ca?bed", "j"], "max_tokens": 20, "seed": 4, "logprobs": 5, "echo": echo}
    response = complete(client, **fields)
    assert [joined(stream(client, **fields))[index] for index in range(2)] == response["choices"]
    for choice, prompt in zip(response["choices"], fields["prompt"], strict=True):
        text = expected_text(prompt, 20, seed_of(4, choice["index"]))
        top = top_of("", prompt + text, 5) if echo else top_of(prompt, text, 5)
        assert choice["logprobs"]["top_logprobs"] == ([None, *top[1:]] if echo else top)
    assert model.calls_with_guesses


def test_a_version_without_guesses_answers_501_and_completes_without_them(
    client: FlaskClient, model: FakeModel
) -> None:
    model.functions.remove("advance_top")
    answer = client.post("/v1/completions", json={"logprobs": 1, "stream": True})
    assert answer.status_code == 501
    assert answer.json["error"]["message"] == "Version fake/1 was published without the function 'advance_top'."
    assert not model.calls
    assert complete(client, logprobs=0)["choices"]


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_echo_with_logprobs_scores_the_prompt(client: FlaskClient, max_tokens: int) -> None:
    """As evaluation harnesses do. A character outside the vocabulary is echoed and scored."""
    response = complete(client, prompt="ca?bed", max_tokens=max_tokens, seed=4, logprobs=1, echo=True)
    (choice,) = response["choices"]
    text = "ca?bed" + expected_text("ca?bed", max_tokens, 4)
    logprobs = [None, *(-float(i) for i in range(1, len(text)))]
    assert choice == {
        "text": text,
        "index": 0,
        "logprobs": {
            "tokens": list(text),
            "token_logprobs": logprobs,
            "top_logprobs": [None, *top_of("", text, 1)[1:]],
            "text_offset": list(range(len(text))),
        },
        "finish_reason": "length",
    }
    usage = {"prompt_tokens": 6, "completion_tokens": max_tokens, "total_tokens": 6 + max_tokens}
    assert response["usage"] == usage


def test_echo_of_an_empty_prompt_scores_the_first_character(client: FlaskClient) -> None:
    (choice,) = complete(client, max_tokens=2, logprobs=1, echo=True)["choices"]
    assert choice["logprobs"]["token_logprobs"] == [0, -1]


def test_no_tokens_give_an_empty_text(client: FlaskClient, model: FakeModel) -> None:
    assert texts_of(complete(client, prompt="cab", max_tokens=0)) == [""]
    assert joined(stream(client, prompt="cab", max_tokens=0))[0]["finish_reason"] == "length"
    assert not model.calls


def test_minus_infinity_is_written_as_openai_writes_it(scheduler: Scheduler, tmp_path: Path) -> None:
    client = client_of(Impossible(), scheduler, tmp_path)
    answer = client.post("/v1/completions", json={"max_tokens": 2, "logprobs": 1})
    assert "Infinity" not in answer.text
    assert answer.json["choices"][0]["logprobs"]["token_logprobs"] == [-9999, -9999]


@pytest.mark.parametrize("as_list", [True, False])
def test_a_stop_string_is_not_in_the_text(client: FlaskClient, as_list: bool) -> None:
    text = expected_text("cab", 40, 4)
    stop = text[10:13]
    (choice,) = complete(client, prompt="cab", max_tokens=40, seed=4, stop=[stop] if as_list else stop)["choices"]
    assert (choice["text"], choice["finish_reason"]) == (text[: text.index(stop)], "stop")


def test_a_text_that_is_cut_by_the_time_limit_has_the_finish_reason_length(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    model = Gate()
    client = client_of(model, scheduler, tmp_path, request_timeout=0.05)
    (choice,) = complete(client)["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("", "length")
    model.permits.release(100)


def test_best_of_returns_the_most_likely_candidates(client: FlaskClient, scheduler: Scheduler) -> None:
    """Every step of the fake model is less likely than the one before: the best candidate is the shortest."""
    fields = {"max_tokens": 40, "seed": 3, "stop": "a", "prompt": ["b", "c"], "logprobs": 0}
    every = complete(client, **fields, n=5)
    wait_until(lambda: scheduler.is_idle, 10)  # a request of ten choices needs every slot
    best = complete(client, **fields, n=2, best_of=5)
    expected = [
        text for i in (0, 5) for text in sorted(texts_of(every)[i : i + 5], key=lambda text: len(text) or 99)[:2]
    ]
    assert list(map(len, texts_of(best))) == list(map(len, expected))
    assert best["usage"] == every["usage"]
    assert best["usage"]["prompt_tokens"] == 2


def test_an_empty_candidate_is_the_last_choice(client: FlaskClient, scheduler: Scheduler) -> None:
    fields = {"max_tokens": 5, "seed": 3, "prompt": "b"}
    first = texts_of(complete(client, **fields, n=5))
    wait_until(lambda: scheduler.is_idle, 10)
    (best,) = texts_of(complete(client, **fields, best_of=5, stop=first[0][0]))
    assert len({text[0] for text in first}) > 1
    assert best


def test_a_logit_bias_reaches_the_rows_that_sample(client: FlaskClient, model: FakeModel) -> None:
    complete(client, prompt="cab", max_tokens=1, n=2, logit_bias={"3": -100, "10": 0.5})
    prefill, decode = model.calls[0].bias, model.calls[-1].bias
    assert not prefill.any()
    assert np.flatnonzero(decode[0]).tolist() == [3, 10]
    np.testing.assert_array_equal(decode[:2, [3, 10]], [[-100, 0.5]] * 2)


def test_the_tokens_of_a_byte_model_are_characters(
    byte_model: FakeByteModel, scheduler: Scheduler, tmp_path: Path
) -> None:
    client = client_of(byte_model, scheduler, tmp_path)
    response = complete(client, prompt="é😀a", max_tokens=3, echo=True, logprobs=0)
    logprobs = response["choices"][0]["logprobs"]
    assert logprobs["tokens"][:3] == ["é", "😀", "a"]
    assert logprobs["token_logprobs"][:3] == [None, -2 - 3 - 4 - 5, -6]
    assert response["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    ids = byte_model.text.encode("é😀a").tolist()
    assert complete(client, prompt=ids, max_tokens=3)["usage"] == response["usage"]


UNSUPPORTED = [
    ({"suffix": "x"}, "suffix", "cannot fill a gap"),
    ({"presence_penalty": 0.5}, "presence_penalty", "should be 0, not 0.5"),
    ({"frequency_penalty": -2}, "frequency_penalty", "should be 0, not -2"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed when stream is true"),
    (
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        "stream_options.include_obfuscation",
        "should be false",
    ),
    ({"n": 1, "best_of": 2, "stream": True}, "best_of", "should be n, 1, when stream is true, not 2"),
]
INVALID = [
    ({"logprobs": 6}, "logprobs", "less than or equal to 5, not 6"),
    ({"best_of": 1, "n": 2}, "best_of", "at least n, 2, not 1"),
    ({"n": 11}, "n", "at most 10, not 11"),
    ({"prompt": ["a"] * 6, "n": 2}, "prompt", "at most 10, not 12"),
    ({"prompt": [1, 11]}, "prompt", "ids from 0 to 10 only, not 11"),
    ({"prompt": [[1], [-1]]}, "prompt", "ids from 0 to 10 only, not -1"),
    ({"prompt": "a" * 101}, "prompt", "at most 100 characters, not 101"),
    ({"prompt": "a" * 51, "n": 2}, "prompt", "at most 100 characters over all choices, not 102"),
    ({"max_tokens": 201}, "max_tokens", "at most 200, not 201"),
    ({"max_tokens": 101, "n": 2}, "max_tokens", "at most 100 for 2 choices, not 101"),
    ({"logit_bias": {"0": 1}}, "logit_bias", "ids from 1 to 10 as keys, not '0'"),
    ({"logit_bias": {"a": 1}}, "logit_bias", "ids from 1 to 10 as keys, not 'a'"),
]


@pytest.mark.parametrize(
    ("fields", "param", "words", "status"), [(*case, 400) for case in UNSUPPORTED] + [(*case, 422) for case in INVALID]
)
def test_a_refusal_names_the_field_and_computes_nothing(
    model: FakeModel,
    scheduler: Scheduler,
    tmp_path: Path,
    fields: dict[str, Any],
    param: str,
    words: str,
    status: int,
) -> None:
    client = client_of(model, scheduler, tmp_path, max_prompt=100, max_length=200)
    answer = client.post("/v1/completions", json=fields)
    assert (answer.status_code, answer.json["error"]["param"]) == (status, param)
    assert words in answer.json["error"]["message"]
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert not model.calls


@pytest.mark.parametrize("model_id", ["other", "fake@2", "fake@0", "fake@", "@1", "", "fake/1", "fake@" + "9" * 19])
def test_an_unknown_model_is_404(client: FlaskClient, model_id: str) -> None:
    answer = client.post("/v1/completions", json={"model": model_id})
    error = answer.json["error"]
    assert (answer.status_code, error["param"], error["code"]) == (404, "model", "model_not_found")


def test_a_version_can_be_named(client: FlaskClient) -> None:
    assert complete(client, model="fake@1")["model"] == "fake@1"


def test_choices_that_do_not_all_fit_are_refused_together(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.delivery.SECONDS_BETWEEN_PINGS", 0.01)  # a response begins with a ping
    model = Gate()
    client = client_of(model, scheduler, tmp_path)
    unread = client.post("/v1/completions", json={"n": 8, "max_tokens": 100, "stream": True})
    assert unread.status_code == 200
    answer = client.post("/v1/completions", json={"n": 3})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert answer.json["error"]["code"] == "queue_full"
    assert scheduler.running + scheduler.waiting == 8
    model.permits.release(1000)
    unread.close()
    wait_until(lambda: scheduler.is_idle, 10)


def test_a_client_that_leaves_cancels_every_choice(scheduler: Scheduler, tmp_path: Path) -> None:
    model = Gate()
    client = client_of(model, scheduler, tmp_path)
    model.permits.release()
    response = client.post("/v1/completions", json={"n": 10, "max_tokens": 10_000, "stream": True})
    next(iter(response.response))
    response.close()
    model.permits.release(20)
    wait_until(lambda: scheduler.is_idle, 10)
    assert len(model.calls) < 20


def test_a_failure_in_a_stream_is_an_error_and_then_done(client: FlaskClient, model: FakeModel) -> None:
    model.fails = True
    (error,) = stream(client, n=2)
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert client.post("/v1/completions", json={}).status_code == 500


def test_the_log_line_counts_all_choices(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.post("/v1/completions", json={"prompt": "cab", "n": 3, "max_tokens": 20, "seed": 4}).close()
    (line,) = [vars(record) for record in caplog.records if record.name == "service.http.access"]
    assert (line["choices"], line["seed"], line["prompt_chars"], line["generated_chars"]) == (3, 4, 9, 60)
    assert line["finish_reason"] == "length"
    assert math.isfinite(line["first_char_ms"])
