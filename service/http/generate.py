"""POST /generate: its body -> a generation, and the object at the end of its response."""

import secrets
from functools import partial
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from service.config import Config
from service.engine.generation import GenerationRequest, Result, top_of
from service.engine.sampling import SamplingParams
from service.http.body import read_body
from service.http.delivery import OpenStreams
from service.http.errors import InvalidField, shorten
from service.http.formats import format_for
from service.http.schemas import GenerateBody
from service.model.codec import RESERVED, TextCodec
from service.store.store import Store

SEED_BITS = 53  # of a drawn seed: JavaScript reads larger integers of JSON inexactly


def blueprint(config: Config, store: Store, streams: OpenStreams) -> Blueprint:
    """Generate with the models of `store`, as one of `streams`."""
    routes = Blueprint("generate", __name__)

    @routes.post("/generate")
    def generate() -> ResponseReturnValue:
        body = read_body(GenerateBody, request, config)
        model = store.get(body.model, body.version)
        if body.top_guesses:
            model.require("advance_top")
        delivery = streams.begin(model, _generation(body, model.text, config))
        if body.stream:
            return delivery.as_stream(format_for(request.accept_mimetypes), _closing)
        return delivery.as_object(partial(_complete, body))

    return routes


def _generation(body: GenerateBody, codec: TextCodec, config: Config) -> GenerationRequest:
    sampling = SamplingParams(
        seed=secrets.randbits(SEED_BITS) if body.seed is None else body.seed,
        temperature=body.temperature,
        top_k=body.top_k,
        top_p=body.top_p,
        bias=bias_by_id(body.logit_bias, codec),
    )
    return GenerationRequest(
        prompt=body.prompt,
        length=body.length,
        sampling=sampling,
        stop=tuple(body.stop),
        guesses=body.top_guesses,
        timeout_s=config.request_timeout,
    )


def bias_by_id(biases: dict[str, float], codec: TextCodec) -> tuple[tuple[int, float], ...]:
    """The biases by id.

    Raises:
        InvalidField: a key is not one symbol of the model, or two keys are the same symbol.
    """
    by_id: dict[int, float] = {}
    for character, bias in biases.items():
        ids = codec.encode(codec.normalize(character))
        if len(ids) != 1 or ids[0] == RESERVED:
            problem = f"should have single characters of the model as keys, not {shorten(repr(character))}"
            raise InvalidField(f"logit_bias {problem}.", "logit_bias")
        if int(ids[0]) in by_id:
            raise InvalidField(f"logit_bias has {character!r} twice, in two forms.", "logit_bias")
        by_id[int(ids[0])] = bias
    return tuple(by_id.items())


def _closing(result: Result) -> dict[str, Any]:
    """The last event of a stream, and all but the logprobs of a response in one object."""
    return {
        "finish_reason": result.status,
        "text": result.text,
        "seed": result.seed,
        "model": result.version.name,
        "version": result.version.number,
        "usage": {
            "prompt_chars": result.prompt_chars,
            "cached_chars": result.cached_chars,
            "unknown_chars": result.unknown_chars,
            "generated_chars": len(result.text),
        },
        "timings": result.timings | {"chars_per_second": round(result.chars_per_second, 1)},
    }


def _complete(body: GenerateBody, result: Result) -> dict[str, Any]:
    """The response in one object."""
    top = {"top": top_of(result.chunks)} if body.top_guesses else {}
    return _closing(result) | {"logprobs": result.logprobs} | top
