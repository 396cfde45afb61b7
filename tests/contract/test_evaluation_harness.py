"""The requests by which lm-evaluation-harness' `local-completions` scores texts give the loss of `charloom evaluate`.

Source: `lm_eval/models/openai_completions.py`, `LocalCompletionsAPI`.
"""

import json
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server
from tests.texts import random_words
from training.release.published import PublishedModel
from training.release.score import score

SAME_NATS = 1e-5  # per character
CONTEXT = 1  # tokens before the ones that count; the harness requires one at least
WINDOW = 900  # characters


def log_likelihoods(server: Server, prompts: Sequence[Any], *, max_tokens: int) -> list[float]:
    """The log-likelihood of each prompt after its context, from one request for all of them.

    The harness generates one token, or none in versions before 0.4.3, and drops it.
    """
    body = {"model": "tiny", "prompt": prompts, "temperature": 0, "max_tokens": max_tokens, "logprobs": 1}
    body |= {"seed": 1234, "echo": True}
    status, _, content = server.request("POST", "/v1/completions", body, {"Authorization": "Bearer "})
    assert status == 200, content
    choices = sorted(json.loads(content)["choices"], key=itemgetter("index"))
    for choice in choices:
        assert len(choice["logprobs"]["top_logprobs"]) == len(choice["logprobs"]["token_logprobs"])
        assert all(max(guesses.values()) <= 0 for guesses in choice["logprobs"]["top_logprobs"][CONTEXT:])
    return [sum(choice["logprobs"]["token_logprobs"][CONTEXT : -max_tokens or None]) for choice in choices]


def ids_of(server: Server, text: str) -> list[int]:
    ids: list[int] = server.ask("/tokenize", {"content": text})["tokens"]
    return ids


def first_logprob(server: Server, text: str) -> float:
    """The logprob of the first character of a text: null in OpenAI's form, so that a harness leaves it out."""
    logprobs: list[float] = server.ask("/score", {"text": text, "logprobs": True})["logprobs"]
    return logprobs[0]


def evaluated(version: Path, file: Path, text: str) -> float:
    """The nats of a text by training's own computation."""
    file.write_bytes(text.encode())
    (scored,) = score(PublishedModel(version), [str(file)], encoding="utf-8")
    assert scored.loss.characters == len(text)
    return scored.loss.nats_per_char * len(text)


@pytest.fixture(scope="module")
def text() -> str:
    """A text that is not the corpus, of which `evaluate` would measure the parts."""
    return random_words(9, 900)[: 3 * WINDOW]


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_a_text_has_the_nats_of_evaluate(
    tiny: Path, server: Server, tmp_path: Path, text: str, max_tokens: int
) -> None:
    expected = evaluated(tiny / "models/tiny/1", tmp_path / "text.txt", text)
    for prompt in (text, ids_of(server, text)):
        (found,) = log_likelihoods(server, [prompt], max_tokens=max_tokens)
        nats = -(found + first_logprob(server, text))
        assert nats / len(text) == pytest.approx(expected / len(text), abs=SAME_NATS)
        assert nats / len(text) == pytest.approx(server.ask("/score", {"text": text})["nats_per_char"], abs=SAME_NATS)


def test_windows_in_one_request_have_the_nats_of_evaluate_for_each(
    tiny: Path, server: Server, tmp_path: Path, text: str
) -> None:
    """Each window is a prompt of its own, and therefore starts without a state."""
    windows = [text[start : start + WINDOW] for start in range(0, len(text), WINDOW)]
    expected = [evaluated(tiny / "models/tiny/1", tmp_path / "window.txt", window) for window in windows]
    found = log_likelihoods(server, [ids_of(server, window) for window in windows], max_tokens=1)
    for window, nats, log_likelihood in zip(windows, expected, found, strict=True):
        assert -(log_likelihood + first_logprob(server, window)) / WINDOW == pytest.approx(nats / WINDOW, abs=SAME_NATS)


def test_a_continuation_is_scored_after_its_context(server: Server, text: str) -> None:
    """Multiple-choice tasks compare continuations of one context."""
    context, continuations = text[:50], ["cat ", "dog ", "zzz "]
    request = {"model": "tiny", "prompt": [context + continuation for continuation in continuations]}
    request |= {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    choices = server.ask("/v1/completions", request)["choices"]
    for choice, continuation in zip(choices, continuations, strict=True):
        found = sum(choice["logprobs"]["token_logprobs"][len(context) : -1])
        scored = server.ask("/score", {"text": context + continuation, "logprobs": True})["logprobs"]
        assert found == pytest.approx(sum(scored[len(context) :]), abs=SAME_NATS * len(continuation))


def test_texts_are_generated_until_a_stop_string(server: Server, text: str) -> None:
    """The request of `generate_until`."""
    prompts = [ids_of(server, text[:20]), ids_of(server, text[100:140])]
    request = {"model": "tiny", "prompt": prompts, "max_tokens": 100, "temperature": 0, "stop": ["\n"], "seed": 1234}
    choices = server.ask("/v1/completions", request)["choices"]
    expected = [
        server.generate(prompt=text[a:b], length=100, temperature=0, stop=["\n"]) for a, b in ((0, 20), (100, 140))
    ]
    assert [choice["text"] for choice in choices] == [generated["text"] for generated in expected]
