"""The table of the API's operations, from which the OpenAPI document is made: one entry for each route."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from service.http import responses
from service.http.completion_body import CompletionBody
from service.http.schemas import DetokenizeBody, GenerateBody, InspectBody, NeuronsBody, ScoreBody, TokenizeBody

JSON, SSE, NDJSON = "application/json", "text/event-stream", "application/x-ndjson"
TEXT, HTML = "text/plain", "text/html"
STREAMS = (SSE, NDJSON)
Models = tuple[type[BaseModel], ...]
"""The model of a response; those of the events or lines of a stream; empty: no schema."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path: POST if there is a body, otherwise GET."""

    path: str
    tag: str
    summary: str
    content: Mapping[str, Models]
    """By media type; the first is the default."""
    description: str = ""
    body: type[BaseModel] | None = None
    examples: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Example bodies, by their titles."""
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    """An example of each parameter in the path."""
    errors: tuple[int, ...] = ()
    """Besides those of every operation, and of every body."""
    headers: tuple[str, ...] = ()
    """Of a successful response, besides those of every response."""
    is_cached: bool = False
    """Whether the response has an ETag, and may be 304."""


_GENERATE = {
    "One JSON object": {"prompt": "ROMEO:", "length": 80, "seed": 7, "stream": False},
    "A stream of events": {"prompt": "ROMEO:", "length": 80, "temperature": 0.8, "stop": ["\n\n"]},
    "The guesses before each character": {"prompt": "the ", "length": 10, "top_guesses": 3, "stream": False},
}
_COMPLETIONS = {
    "Two texts": {"model": "shakespeare", "prompt": "ROMEO:", "max_tokens": 80, "n": 2, "seed": 7},
    "The log-probabilities of a prompt": {"prompt": "the cat", "max_tokens": 0, "echo": True, "logprobs": 5},
    "A stream": {"prompt": "ROMEO:", "max_tokens": 80, "stream": True, "stream_options": {"include_usage": True}},
}
_OF_A_VERSION = ("X-Model", "X-Model-Version")
_PROBE = "Needs no key, and does not count towards the rate limit."

OPERATIONS = (
    Operation(
        path="/generate",
        tag="Generating",
        summary="Generate text, character by character",
        description="The Accept header selects the format of a stream: server-sent events (the default), NDJSON or "
        "plain text. The same request, seed and version of the model give the same text.",
        body=GenerateBody,
        examples=_GENERATE,
        content={
            SSE: (responses.CharacterEvent, responses.LastEvent),
            NDJSON: (responses.CharacterEvent, responses.LastEvent),
            TEXT: (),
            JSON: (responses.Generation,),
        },
        errors=(404, 501, 503),
        headers=(*_OF_A_VERSION, "X-Seed"),
    ),
    Operation(
        path="/v1/completions",
        tag="Generating",
        summary="Complete prompts, with the fields of OpenAI's API",
        description="A token is one character. Over all choices, the prompts and the texts have at most the length of "
        "those of one request to /generate.",
        body=CompletionBody,
        examples=_COMPLETIONS,
        content={JSON: (responses.Completion,), SSE: (responses.CompletionEvent,)},
        errors=(404, 501, 503),
        headers=(*_OF_A_VERSION, "X-Seed"),
    ),
    Operation(
        path="/score",
        tag="Reading",
        summary="The log-probability of each character of a text",
        description="By the model alone: no temperature, no filter. `Accept: application/x-ndjson` streams the "
        "progress, then the result.",
        body=ScoreBody,
        examples={"With logprobs": {"text": "First Citizen:", "logprobs": True}},
        content={JSON: (responses.ScoreResult,), NDJSON: (responses.ScoreProgress, responses.ScoreResult)},
        errors=(404, 503),
        headers=_OF_A_VERSION,
    ),
    Operation(
        path="/inspect",
        tag="Reading",
        summary="The predictions and activations of the network while it reads a text",
        body=InspectBody,
        examples={"One unit": {"text": "the cat", "units": [[0, 1]]}, "A layer": {"text": "the cat", "layer": 0}},
        content={JSON: (responses.Inspection,)},
        errors=(404, 501, 503),
        headers=_OF_A_VERSION,
    ),
    Operation(
        path="/neurons",
        tag="Reading",
        summary="The units of the network that track each feature of a text best",
        body=NeuronsBody,
        examples={"The two best units": {"text": 'The cat\nsat on "a mat".\n', "limit": 2}},
        content={JSON: (responses.Neurons,)},
        errors=(404, 501, 503),
        headers=_OF_A_VERSION,
    ),
    Operation(
        path="/tokenize",
        tag="Reading",
        summary="The ids of the symbols of a text",
        body=TokenizeBody,
        examples={"A word": {"content": "cat"}},
        content={JSON: (responses.Tokens,)},
        errors=(404, 503),
    ),
    Operation(
        path="/detokenize",
        tag="Reading",
        summary="The text of ids of symbols",
        body=DetokenizeBody,
        examples={"Three ids": {"tokens": [1, 2, 3]}},
        content={JSON: (responses.Content,)},
        errors=(404, 503),
    ),
    Operation(
        path="/models",
        tag="Models",
        summary="All models and their versions",
        content={JSON: (responses.StoredModels,)},
        errors=(503,),
    ),
    Operation(
        path="/models/{name}",
        tag="Models",
        summary="The versions of a model",
        parameters={"name": "shakespeare"},
        content={JSON: (responses.StoredModel,)},
        errors=(404, 503),
    ),
    Operation(
        path="/models/{name}/{version}",
        tag="Models",
        summary="The manifest and the training history of a version",
        parameters={"name": "shakespeare", "version": 1},
        content={JSON: (responses.VersionDetails,)},
        errors=(404, 503),
    ),
    Operation(
        path="/v1/models",
        tag="Models",
        summary="All models, as OpenAI's API lists them",
        content={JSON: (responses.OpenAIModels,)},
        errors=(503,),
    ),
    Operation(
        path="/v1/models/{model_id}",
        tag="Models",
        summary="A model, or a version as name@version",
        parameters={"model_id": "shakespeare"},
        content={JSON: (responses.OpenAIModel,)},
        errors=(404, 503),
    ),
    Operation(
        path="/livez",
        tag="Operations",
        summary="Whether the process is up",
        description=_PROBE,
        content={JSON: (responses.Alive,)},
    ),
    Operation(
        path="/readyz",
        tag="Operations",
        summary="Whether the default model is loaded and the service is not stopping",
        description=_PROBE,
        content={JSON: (responses.Ready,)},
        errors=(503,),
    ),
    Operation(
        path="/metrics",
        tag="Operations",
        summary="Metrics for Prometheus",
        description=_PROBE,
        content={TEXT: ()},
    ),
    Operation(
        path="/openapi.json",
        tag="Documentation",
        summary="This document",
        content={JSON: ()},
        is_cached=True,
    ),
    Operation(
        path="/docs",
        tag="Documentation",
        summary="This document as a page",
        content={HTML: ()},
        is_cached=True,
    ),
)
