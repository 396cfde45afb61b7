"""POST /v1/completions, as OpenAI's clients use it: a body -> a generation for each choice. A token is a character."""

import math
import secrets
from typing import Any

import numpy as np
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from service.config import Config
from service.engine.generation import GenerationRequest, Result
from service.engine.sampling import SamplingParams
from service.http import model_ids
from service.http.body import read_body
from service.http.completion_body import MAX_CHOICES, CompletionBody
from service.http.completion_format import CompletionFormat
from service.http.delivery import OpenStreams
from service.http.errors import InvalidField, UnsupportedField, shorten
from service.http.generate import SEED_BITS
from service.http.schemas import length_of
from service.http.tokens import text_of
from service.model.model import Model
from service.store.store import Store


def blueprint(config: Config, store: Store, streams: OpenStreams) -> Blueprint:
    """Complete prompts with the models of `store`, as some of `streams`."""
    routes = Blueprint("completions", __name__)

    @routes.post("/v1/completions")
    def completions() -> ResponseReturnValue:
        body = read_body(CompletionBody, request, config)
        _refuse_unsupported(body)
        _check_limits(body, config)
        model = model_ids.load(store, body.model)
        if body.logprobs:
            model.require("advance_top")
        prompts = _texts(body, model, config)
        completion = CompletionFormat(body, prompts, model.manifest.model_version)
        delivery = streams.begin(model, *_generations(body, prompts, model, config))
        if body.stream:
            return delivery.as_stream(completion.stream_format(), completion.usage_event)
        return delivery.as_object(lambda *results: _completion(completion, body, results))

    return routes


def seed_of(seed: int, choice: int) -> int:
    """The seed of a choice: that of the request for choice 0, else 63 bits of NumPy's `SeedSequence`."""
    if choice == 0:
        return seed
    return int(np.random.SeedSequence((seed, choice)).generate_state(1, np.uint64)[0]) >> 1


def _refuse_unsupported(body: CompletionBody) -> None:
    """Refuse the fields of OpenAI's API that have no effect here.

    Raises:
        UnsupportedField: the message names the field.
    """
    if body.suffix:
        raise UnsupportedField(
            "suffix is not supported: a model continues a text and cannot fill a gap in it.", "suffix"
        )
    for name in ("presence_penalty", "frequency_penalty"):
        if value := getattr(body, name):
            raise UnsupportedField(f"{name} is not supported and should be 0, not {value}.", name)
    if body.stream_options and not body.stream:
        raise UnsupportedField("stream_options is only allowed when stream is true.", "stream_options")
    if body.stream_options and body.stream_options.include_obfuscation:
        raise UnsupportedField(
            "stream_options.include_obfuscation is not supported and should be false.",
            "stream_options.include_obfuscation",
        )
    if body.stream and body.candidates > body.n:
        raise UnsupportedField(f"best_of should be n, {body.n}, when stream is true, not {body.best_of}.", "best_of")


def _check_limits(body: CompletionBody, config: Config) -> None:
    """Refuse a request that can never be accepted, or whose choices are together longer than one text may be.

    Raises:
        InvalidField: the message names the field and the limit.
    """
    if body.candidates < body.n:
        raise InvalidField(f"best_of should be at least n, {body.n}, not {body.best_of}.", "best_of")
    limit = min(MAX_CHOICES, config.engines * config.slots + config.queue)
    if (choices := len(body.prompts) * body.candidates) > limit:
        param = "prompt" if len(body.prompts) > 1 else "best_of" if body.best_of else "n"
        raise InvalidField(f"The prompts times n or best_of should be at most {limit}, not {choices}.", param)
    if body.max_tokens > (longest := config.max_length // choices):
        of_choices = f" for {choices} choices" if choices > 1 else ""
        message = f"max_tokens should be at most {longest}{of_choices}, not {shorten(str(body.max_tokens))}."
        raise InvalidField(message, "max_tokens")


def _texts(body: CompletionBody, model: Model, config: Config) -> list[str]:
    """The prompts as texts; ids are decoded.

    Raises:
        InvalidField: the model has no such id, or the prompts of all choices together are too long.
    """
    texts = [prompt if isinstance(prompt, str) else text_of(prompt, model, "prompt") for prompt in body.prompts]
    if (chars := sum(map(length_of, texts)) * body.candidates) > config.max_prompt:
        of_choices = " over all choices" if len(texts) * body.candidates > 1 else ""
        message = f"prompt should have at most {config.max_prompt} characters{of_choices}, not {chars}."
        raise InvalidField(message, "prompt")
    return texts


def _generations(body: CompletionBody, prompts: list[str], model: Model, config: Config) -> list[GenerationRequest]:
    """A generation for each candidate of each prompt, in the order of the choices."""
    seed = secrets.randbits(SEED_BITS) if body.seed is None else body.seed
    bias = _bias(body.logit_bias or {}, model.manifest.symbols)
    texts = [prompt for prompt in prompts for _ in range(body.candidates)]
    return [
        GenerationRequest(
            prompt=text,
            length=body.max_tokens,
            sampling=SamplingParams(
                seed=seed_of(seed, choice),
                temperature=body.temperature,
                top_k=max(body.top_k, 0),
                top_p=body.top_p,
                bias=bias,
            ),
            stop=body.stop_strings,
            echo=body.echo,
            guesses=body.logprobs or 0,
            timeout_s=config.request_timeout,
        )
        for choice, text in enumerate(texts)
    ]


def _bias(biases: dict[str, float], symbols: int) -> tuple[tuple[int, float], ...]:
    """The biases by id.

    Raises:
        InvalidField: a key is not an id that the model samples.
    """
    ids = {str(id_): id_ for id_ in range(1, symbols)} if biases else {}
    for key in biases:
        if key not in ids:
            message = f"logit_bias should have ids from 1 to {symbols - 1} as keys, not {shorten(repr(key))}."
            raise InvalidField(message, "logit_bias")
    return tuple((ids[key], bias) for key, bias in biases.items())


def _completion(completion: CompletionFormat, body: CompletionBody, results: tuple[Result, ...]) -> dict[str, Any]:
    """The response in one object, with the best `n` candidates of each prompt."""
    chosen: list[Result] = []
    for first in range(0, len(results), body.candidates):
        candidates = list(results[first : first + body.candidates])
        if body.candidates > body.n:
            candidates = sorted(candidates, key=_nats_per_char)[: body.n]
        chosen += candidates
    choices = [completion.choice_of(result, index) for index, result in enumerate(chosen)]
    return completion.object(choices) | {"usage": completion.usage(results)}


def _nats_per_char(result: Result) -> float:
    """The mean loss, by which candidates are compared. A text without characters is the last choice."""
    return -sum(result.logprobs) / len(result.logprobs) if result.logprobs else math.inf
