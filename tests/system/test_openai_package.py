"""The `openai` package, unmodified, against a service that runs on gunicorn."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Completion, CompletionChoice

from service.http.completions import seed_of
from tests.ports import free_port
from tests.servers import Server
from tests.system.clients import log_record, metric
from tests.waiting import wait_until

PROMPT, LENGTH, SEED = "the c", 40, 5
FIELDS: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": LENGTH, "seed": SEED}


def base_url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/v1"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url(server), api_key="none", max_retries=0) as client:
        yield client


def complete(client: OpenAI, **fields: Any) -> Completion:
    return client.completions.create(**FIELDS | fields)


def texts_of(completion: Completion) -> list[str]:
    assert [choice.index for choice in completion.choices] == list(range(len(completion.choices)))
    return [choice.text for choice in completion.choices]


def joined(chunks: list[Completion]) -> dict[int, str]:
    """The texts of a stream by the index of their choice; each choice ends once."""
    texts: dict[int, str] = {}
    ends: list[int] = []
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            ends += [choice.index] if choice.finish_reason else []
    assert sorted(ends) == sorted(texts)
    return texts


def ids_of(server: Server, text: str) -> list[int]:
    return server.ask("/tokenize", {"content": text})["tokens"]


def test_every_field_of_a_completion(server: Server, client: OpenAI) -> None:
    completion = complete(client, user="someone")
    (choice,) = completion.choices
    assert completion.id.startswith("cmpl-")
    assert (completion.object, completion.model) == ("text_completion", "tiny")
    assert completion.system_fingerprint == "tiny@1"
    assert completion.created > 1.6e9
    assert (choice.index, choice.finish_reason, choice.logprobs, len(choice.text)) == (0, "length", None, LENGTH)
    assert completion.usage is not None
    assert completion.usage.to_dict() == {
        "prompt_tokens": len(PROMPT),
        "completion_tokens": LENGTH,
        "total_tokens": len(PROMPT) + LENGTH,
    }
    assert completion._request_id is not None
    assert log_record(server, completion._request_id)["path"] == "/v1/completions"


def test_a_seed_repeats_its_text_which_is_that_of_generate(server: Server, client: OpenAI) -> None:
    generated = server.generate(prompt=PROMPT, length=LENGTH, seed=SEED)["text"]
    assert texts_of(complete(client)) == texts_of(complete(client)) == [generated]
    assert texts_of(complete(client, seed=SEED + 1)) != [generated]
    other = {"temperature": 0.5, "top_p": 0.8}
    generated = server.generate(prompt=PROMPT, length=LENGTH, seed=SEED, **other)["text"]
    assert texts_of(complete(client, **other)) == [generated]


def test_several_prompts_and_n(server: Server, client: OpenAI) -> None:
    completion = complete(client, prompt=["the ", "dog"], n=2)
    assert texts_of(completion) == [
        server.generate(prompt=prompt, length=LENGTH, seed=seed_of(SEED, index))["text"]
        for index, prompt in enumerate(["the ", "the ", "dog", "dog"])
    ]
    ids = [ids_of(server, "the "), ids_of(server, "dog")]
    assert texts_of(complete(client, prompt=ids, n=2)) == texts_of(completion)
    assert texts_of(complete(client, prompt=ids[0])) == texts_of(complete(client, prompt="the "))


def test_best_of_returns_the_most_likely_candidates(client: OpenAI) -> None:
    def nats(choice: CompletionChoice) -> float:
        assert choice.logprobs is not None
        assert choice.logprobs.token_logprobs is not None
        return -sum(choice.logprobs.token_logprobs)

    every = complete(client, n=4, logprobs=0)
    best = complete(client, n=2, best_of=4, logprobs=0)
    assert texts_of(best) == [choice.text for choice in sorted(every.choices, key=nats)[:2]]
    assert best.usage == every.usage


@pytest.mark.parametrize("fields", [{}, {"n": 3}, {"prompt": ["the ", "dog"]}, {"echo": True}, {"stop": "cat"}])
def test_a_stream_has_the_texts_of_one_object(client: OpenAI, fields: dict[str, Any]) -> None:
    texts = texts_of(complete(client, **fields))
    chunks = list(complete(client, **fields, stream=True))
    assert joined(chunks) == dict(enumerate(texts))
    assert all(chunk.usage is None for chunk in chunks)


def test_the_usage_of_a_stream_is_in_its_last_chunk(client: OpenAI) -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    *chunks, last = list(complete(client, n=2, stream=True, stream_options=options))
    assert last.choices == []
    assert last.usage == complete(client, n=2).usage
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in chunks)


def test_echo_with_logprobs_is_the_score_of_the_text(server: Server, client: OpenAI) -> None:
    completion = complete(client, echo=True, logprobs=1)
    (choice,) = completion.choices
    score = server.ask("/score", {"text": choice.text, "logprobs": True})
    assert choice.text.startswith(PROMPT)
    assert len(choice.text) == len(PROMPT) + LENGTH
    found = choice.logprobs
    assert found is not None
    assert found.tokens == list(choice.text)
    assert found.text_offset is not None
    assert [choice.text[offset] for offset in found.text_offset] == found.tokens
    assert found.token_logprobs is not None
    assert found.top_logprobs is not None
    assert found.token_logprobs[0] is found.top_logprobs[0] is None  # type: ignore[comparison-overlap]
    assert found.token_logprobs[1:] == pytest.approx(score["logprobs"][1:], abs=1e-5)
    assert all(max(guess.values()) <= 0 for guess in found.top_logprobs[1:])
    assert len(found.top_logprobs) == len(choice.text)


def test_a_text_is_scored_without_generating(server: Server, client: OpenAI) -> None:
    (choice,) = complete(client, prompt="the cat sat", max_tokens=0, echo=True, logprobs=0).choices
    score = server.ask("/score", {"text": "the cat sat", "logprobs": True})
    assert choice.text == "the cat sat"
    assert choice.logprobs is not None
    assert choice.logprobs.token_logprobs is not None
    assert choice.logprobs.token_logprobs[1:] == pytest.approx(score["logprobs"][1:], abs=1e-5)


def test_a_stop_string_ends_the_text_and_is_not_in_it(client: OpenAI) -> None:
    (text,) = texts_of(complete(client))
    stop = text[10:13]
    for stops in (stop, [stop], ["☃", stop]):
        (choice,) = complete(client, stop=stops).choices
        assert (choice.text, choice.finish_reason) == (text[: text.index(stop)], "stop")
    assert texts_of(complete(client, stop=[])) == texts_of(complete(client, stop=None)) == [text]


def test_a_logit_bias_forbids_and_forces_characters(server: Server, client: OpenAI) -> None:
    most_frequent, _ = Counter(complete(client).choices[0].text).most_common(1)[0]
    forbidden, t = ids_of(server, most_frequent + "t")
    assert most_frequent not in complete(client, logit_bias={str(forbidden): -100}).choices[0].text
    assert complete(client, logit_bias={str(t): 100}).choices[0].text == "t" * LENGTH


def test_fields_that_clients_send_with_their_default_change_nothing(client: OpenAI) -> None:
    text = texts_of(complete(client))
    defaults: dict[str, Any] = {"suffix": None, "presence_penalty": 0.0, "frequency_penalty": 0, "n": None}
    defaults |= {"best_of": 1, "echo": False, "logit_bias": {}, "top_p": 1, "temperature": 1, "stream": False}
    assert texts_of(complete(client, **defaults, user="someone", stop=None, logprobs=None)) == text
    assert len(texts_of(complete(client, max_tokens=None))[0]) == 16


def test_top_k_is_a_field_of_the_extra_body_as_with_other_servers(server: Server, client: OpenAI) -> None:
    generated = server.generate(prompt=PROMPT, length=LENGTH, seed=SEED, top_k=3)["text"]
    assert texts_of(complete(client, extra_body={"top_k": 3})) == [generated] != texts_of(complete(client))
    for off in (0, -1):
        assert texts_of(complete(client, extra_body={"top_k": off})) == texts_of(complete(client))


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"suffix": "end"}, openai.BadRequestError, "suffix"),
        ({"presence_penalty": 0.5}, openai.BadRequestError, "presence_penalty"),
        ({"best_of": 2, "stream": True}, openai.BadRequestError, "best_of"),
        ({"stream_options": {"include_usage": True}}, openai.BadRequestError, "stream_options"),
        ({"model": "gpt-4"}, openai.NotFoundError, "model"),
        ({"model": "tiny@2"}, openai.NotFoundError, "model"),
        ({"temperature": 3}, openai.UnprocessableEntityError, "temperature"),
        ({"max_tokens": 10**6}, openai.UnprocessableEntityError, "max_tokens"),
        ({"prompt": [10**6]}, openai.UnprocessableEntityError, "prompt"),
        ({"logprobs": True}, openai.UnprocessableEntityError, "logprobs"),
        ({"logit_bias": {"☃": 1}}, openai.UnprocessableEntityError, "logit_bias"),
        ({"extra_body": {"min_p": 0.1}}, openai.UnprocessableEntityError, "min_p"),
        ({"stream": True, "n": 0}, openai.UnprocessableEntityError, "n"),
    ],
)
def test_an_error_has_the_class_of_its_status_and_names_the_field(
    client: OpenAI, fields: dict[str, Any], kind: type[openai.APIStatusError], param: str
) -> None:
    with pytest.raises(kind, match=f"(?i){param}") as refused:
        complete(client, **fields)
    assert refused.value.param == param
    assert refused.value.code
    assert refused.value.type
    assert refused.value.request_id


def test_a_body_over_the_limit_is_an_error_of_its_status(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        complete(client, prompt="a" * 1_400_000)
    assert (refused.value.status_code, refused.value.code) == (413, "body_too_large")


def test_a_route_that_does_not_exist_is_named_with_those_that_do(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "the"}])
    assert "There is no route /v1/chat/completions. " in refused.value.message
    assert "POST /v1/completions" in refused.value.message
    without_prefix = client.with_options(base_url=str(client.base_url).removesuffix("v1/"))
    with pytest.raises(openai.NotFoundError, match=r"no route /completions\. .* POST /v1/completions"):
        complete(without_prefix)


def test_a_slash_at_the_end_of_the_address(client: OpenAI) -> None:
    assert str(client.base_url).endswith("/v1/")
    slashes = client.with_options(base_url=str(client.base_url) + "/")
    with pytest.raises(openai.NotFoundError, match=r"no route /v1//completions\. .* POST /v1/completions"):
        complete(slashes)


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    (model,) = client.models.list()
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "charloom")
    assert client.models.retrieve("tiny") == model
    assert client.models.retrieve("tiny@1").created == model.created
    for model_id in ("other", "tiny@2", "../../etc/passwd"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(model_id)


def test_the_asynchronous_client(server: Server, client: OpenAI) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(base_url=base_url(server), api_key="none") as asynchronous:
            stream = await asynchronous.completions.create(**FIELDS, n=2, stream=True)
            chunks = [chunk async for chunk in stream]
            together = [asynchronous.completions.create(**FIELDS | {"seed": seed}) for seed in range(8)]
            texts = [texts_of(completion) for completion in await asyncio.gather(*together)]
            assert [model.id async for model in asynchronous.models.list()] == ["tiny"]
            with pytest.raises(openai.NotFoundError):
                await asynchronous.completions.create(**FIELDS | {"model": "other"})
        assert joined(chunks) == dict(enumerate(texts_of(complete(client, n=2))))
        assert texts == [texts_of(complete(client, seed=seed)) for seed in range(8)]

    asyncio.run(ask())


def test_closing_a_stream_cancels_it(server: Server, client: OpenAI) -> None:
    async def leave() -> None:
        async with AsyncOpenAI(base_url=base_url(server), api_key="none") as asynchronous:
            stream = await asynchronous.completions.create(**FIELDS | {"max_tokens": 100_000}, stream=True)
            async for _ in stream:
                break
            await stream.close()

    def cancelled() -> bool:
        running = metric(server, "charloom_streams_running")
        return running == 0 and metric(server, "charloom_cancelled_total") == expected

    expected = metric(server, "charloom_cancelled_total") + 1
    asyncio.run(leave())
    wait_until(cancelled)
    expected += 1
    with complete(client, max_tokens=100_000, stream=True) as stream:
        next(stream)
    wait_until(cancelled)


@pytest.mark.parametrize("authorization", ["Bearer none", "Bearer ", "Basic eDp5", ""])
def test_without_keys_every_authorization_is_ignored(server: Server, authorization: str) -> None:
    for method in ("HEAD", "OPTIONS", "GET"):
        headers = {"Authorization": authorization}
        assert server.request(method, "/v1/models", headers=headers)[0] == 200


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with keys, each of which may send two requests in six seconds."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("first\nsecond\n")
    started = Server(tiny / "models", engines=1, slots=4, api_keys_file=keys, rate_limit="2/6 seconds")
    yield started
    started.stop()


def test_a_wrong_key_is_an_authentication_error(guarded: Server) -> None:
    with OpenAI(base_url=base_url(guarded), api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            complete(client)
        assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")


def exhaust(client: OpenAI) -> openai.RateLimitError:
    """Send requests until one is refused, and return the error."""
    with pytest.raises(openai.RateLimitError) as refused:
        [client.with_options(max_retries=0).models.list() for _ in range(20)]
    return refused.value


def test_a_rate_limit_is_a_rate_limit_error(guarded: Server) -> None:
    with OpenAI(base_url=base_url(guarded), api_key="first") as client:
        error = exhaust(client)
    assert (error.code, error.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert 1 <= int(error.response.headers["Retry-After"]) <= 6


def test_the_package_repeats_a_refused_request_after_the_time_in_retry_after(guarded: Server) -> None:
    with OpenAI(base_url=base_url(guarded), api_key="second", max_retries=1) as client:
        exhaust(client)
        response = client.completions.with_raw_response.create(**FIELDS)
    assert response.retries_taken == 1, "the time in Retry-After is long enough"
    assert len(response.parse().choices[0].text) == LENGTH


def test_a_service_that_is_not_there_is_a_connection_error() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client, pytest.raises(openai.APIConnectionError):
        complete(client)
