"""The class `OpenAI` of langchain-openai, unmodified, against a service that runs on gunicorn."""

import asyncio
from typing import Any

import pytest
import tiktoken
from langchain_openai import OpenAI
from openai import DefaultAsyncHttpxClient

from service.http.completions import seed_of
from tests.servers import Server

PROMPT, LENGTH, SEED = "the c", 40, 5


def model_of(server: Server, **fields: Any) -> OpenAI:
    """A model that counts a character as a token."""
    return OpenAI(
        base_url=f"http://127.0.0.1:{server.port}/v1",
        api_key="none",
        model="tiny",
        **{"max_tokens": LENGTH, "temperature": 1, "seed": SEED} | fields,
        custom_get_token_ids=lambda text: [ord(character) for character in text],
    )


@pytest.fixture(autouse=True)
def no_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where tiktoken would download the vocabulary of one of OpenAI's models."""
    for name in ("encoding_for_model", "get_encoding"):
        monkeypatch.setattr(tiktoken, name, lambda *_: pytest.fail("tiktoken needs the network"))


def generated(server: Server, prompt: str = PROMPT, seed: int = SEED, **fields: Any) -> str:
    text: str = server.generate(prompt=prompt, length=LENGTH, seed=seed, **fields)["text"]
    return text


def test_invoke_is_the_text_of_generate(server: Server) -> None:
    assert model_of(server).invoke(PROMPT) == generated(server)
    assert model_of(server, temperature=0.5, top_p=0.9).invoke(PROMPT) == generated(server, temperature=0.5, top_p=0.9)
    stopped = model_of(server, model_kwargs={"user": "someone"}).invoke(PROMPT, stop=["\n"])
    assert stopped == generated(server, stop=["\n"])
    assert model_of(server, extra_body={"top_k": 3}).invoke(PROMPT) == generated(server, top_k=3)


def test_a_stream_has_the_same_text(server: Server) -> None:
    assert "".join(model_of(server).stream(PROMPT)) == generated(server)
    assert model_of(server, streaming=True).invoke(PROMPT) == generated(server)


def test_a_batch_is_one_request_of_several_prompts(server: Server) -> None:
    prompts = ["the ", "dog", ""]
    expected = [generated(server, prompt, seed_of(SEED, index)) for index, prompt in enumerate(prompts)]
    assert model_of(server).batch(prompts) == expected


def test_the_asynchronous_calls(server: Server) -> None:
    async def ask() -> tuple[str, str, list[str]]:
        async with DefaultAsyncHttpxClient() as connections:  # the package closes its own with the process
            model = model_of(server, http_async_client=connections)
            parts = [part async for part in model.astream(PROMPT)]
            return await model.ainvoke(PROMPT), "".join(parts), await model.abatch([PROMPT])

    invoked, streamed, (batched,) = asyncio.run(ask())
    assert invoked == streamed == batched == generated(server)


def test_n_best_of_and_logprobs(server: Server) -> None:
    (choices,) = model_of(server, n=2).generate([PROMPT]).generations
    assert [choice.text for choice in choices] == [generated(server, seed=seed_of(SEED, index)) for index in range(2)]
    result = model_of(server, n=2, best_of=3, logprobs=0).generate([PROMPT])
    assert result.llm_output is not None
    assert result.llm_output["token_usage"]["completion_tokens"] == 3 * LENGTH
    (best, second) = result.generations[0]
    assert best.generation_info is not None
    assert best.generation_info["finish_reason"] == "length"
    assert len(best.generation_info["logprobs"]["token_logprobs"]) == LENGTH
    assert best.text != second.text


def test_a_stream_has_the_logprobs_of_one_object(server: Server) -> None:
    ((whole,),) = model_of(server, logprobs=1).generate([PROMPT]).generations
    ((joined,),) = model_of(server, logprobs=1, streaming=True).generate([PROMPT]).generations
    assert whole.generation_info == joined.generation_info


def test_logprobs_true_is_the_number_1(server: Server) -> None:
    """The package converts it, so that the service gets a number."""
    model = model_of(server, logprobs=True)
    ((choice,),) = model.generate([PROMPT]).generations
    assert choice.generation_info is not None
    assert len(choice.generation_info["logprobs"]["top_logprobs"]) == LENGTH


def test_tokens_are_counted_without_the_network(server: Server) -> None:
    assert model_of(server).get_num_tokens("the café ☃") == 10
