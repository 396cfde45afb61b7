"""OpenAI's routes on a service that runs on gunicorn, by raw HTTP in the shapes that OpenAI's clients send."""

import json
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.http.completions import seed_of
from tests.servers import Server
from tests.system.clients import metric, raw_request, sse_data
from tests.waiting import wait_until

FIELDS = {"model": "tiny", "prompt": "the c", "max_tokens": 60, "seed": 5}


def complete(server: Server, **fields: Any) -> dict[str, Any]:
    status, _, body = server.request("POST", "/v1/completions", FIELDS | fields)
    assert status == 200, body
    return json.loads(body)


def events_of(server: Server, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream before its [DONE]."""
    status, headers, body = server.request("POST", "/v1/completions", FIELDS | fields | {"stream": True})
    assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    *events, done = sse_data(body)
    assert done == "[DONE]"
    return [json.loads(event) for event in events]


def test_a_completion_is_the_text_of_generate(server: Server) -> None:
    choice = complete(server, logprobs=0)["choices"][0]
    generated = server.generate(prompt="the c", length=60, seed=5)
    assert (choice["text"], choice["finish_reason"]) == (generated["text"], "length")
    assert choice["logprobs"]["token_logprobs"] == generated["logprobs"]


def test_every_choice_can_be_repeated_by_its_own_seed(server: Server) -> None:
    texts = [choice["text"] for choice in complete(server, prompt=["the ", "dog"], n=4)["choices"]]
    expected = [
        server.generate(prompt="the " if index < 4 else "dog", length=60, seed=seed_of(5, index))["text"]
        for index in range(8)
    ]
    assert texts == expected
    assert len(set(texts)) == 8


def test_a_stream_says_the_same_as_one_object(server: Server) -> None:
    response = complete(server, n=3)
    *events, last = events_of(server, n=3, stream_options={"include_usage": True})
    for choice in response["choices"]:
        parts = [event["choices"][0] for event in events if event["choices"][0]["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["length"]
    assert (last["choices"], last["usage"]) == ([], response["usage"])


def test_echo_scores_a_text_as_it_was_generated(server: Server) -> None:
    """A harness scores a continuation by one request with `echo`, `logprobs` and at most one token."""
    generated = server.generate(prompt="the c", length=60, seed=5)
    text = "the c" + generated["text"]
    for max_tokens in (0, 1):
        logprobs = complete(server, prompt=text, max_tokens=max_tokens, echo=True, logprobs=1)["choices"][0]["logprobs"]
        assert (logprobs["tokens"][:65], logprobs["token_logprobs"][0]) == (list(text), None)
        for found, expected in zip(logprobs["token_logprobs"][5:65], generated["logprobs"], strict=True):
            assert math.isclose(found, expected, abs_tol=1e-5)


def test_prompts_as_ids_are_the_text_that_they_stand_for(server: Server) -> None:
    tokens = json.loads(server.request("POST", "/tokenize", {"content": "the c"})[2])["tokens"]
    assert len(tokens) == 5
    assert json.loads(server.request("POST", "/detokenize", {"tokens": tokens})[2]) == {"content": "the c"}
    texts = [complete(server, prompt=prompt)["choices"][0]["text"] for prompt in ("the c", tokens, [tokens], ["the c"])]
    assert len(set(texts)) == 1


def test_a_logit_bias_forbids_and_forces_characters(server: Server) -> None:
    (e, t) = json.loads(server.request("POST", "/tokenize", {"content": "et"})[2])["tokens"]
    text = complete(server)["choices"][0]["text"]
    assert "e" in text
    assert "e" not in complete(server, logit_bias={str(e): -100})["choices"][0]["text"]
    assert complete(server, logit_bias={str(t): 100})["choices"][0]["text"] == "t" * 60
    assert complete(server)["choices"][0]["text"] == text, "the bias ends with its request"


def test_best_of_is_the_most_likely_of_its_candidates(server: Server) -> None:
    def nats(choice: dict[str, Any]) -> float:
        return -sum(choice["logprobs"]["token_logprobs"])

    every = complete(server, n=6, logprobs=0)
    best = complete(server, n=2, best_of=6, logprobs=0)
    assert [choice["text"] for choice in best["choices"]] == [
        choice["text"] for choice in sorted(every["choices"], key=nats)[:2]
    ]
    assert best["usage"] == every["usage"]


def test_models_are_listed_and_found(server: Server) -> None:
    listed = json.loads(server.request("GET", "/v1/models")[2])
    assert [model["id"] for model in listed["data"]] == ["tiny"]
    assert json.loads(server.request("GET", "/v1/models/tiny@1")[2])["created"] > 1.6e9
    for path in (
        "/v1/models/tiny@2",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/%00",
        "/v1/models/" + "x" * 3000,
    ):
        status, _, body = server.request("GET", path)
        assert status == 404
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


@pytest.fixture(scope="module")
def small(tiny: Path) -> Iterator[Server]:
    """A server with four slots and no queue."""
    started = Server(tiny / "models", engines=1, slots=4, queue=0)
    yield started
    started.stop()


def test_a_client_that_disconnects_frees_the_rows_of_all_choices(small: Server) -> None:
    fields = {"max_tokens": 25_000, "n": 4, "stream": True}
    with socket.create_connection(("127.0.0.1", small.port)) as client:
        client.sendall(raw_request(fields).replace(b"/generate", b"/v1/completions", 1))
        assert client.recv(2000)
        assert metric(small, "charloom_streams_running") == 4
        assert small.request("POST", "/v1/completions", {"n": 1})[0] == 429
    wait_until(lambda: metric(small, "charloom_cancelled_total") == 4)
    wait_until(lambda: metric(small, "charloom_streams_running") == 0)
