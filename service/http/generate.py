"""POST /generate."""

import secrets
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from service.artifact.model import Model
from service.artifact.store import Store
from service.config import Config
from service.generation.scheduler import Scheduler
from service.generation.stream import Request, Result, Stream
from service.http.errors import as_api_error
from service.http.schemas import GenerateBody, read_body
from service.http.wire import Form, form_for, is_gone

SECONDS_BETWEEN_PINGS = 1.0


def blueprint(config: Config, store: Store, scheduler: Scheduler) -> Blueprint:
    """Generate with the models of `store` on the engines of `scheduler`."""
    routes = Blueprint("generate", __name__)

    @routes.post("/generate")
    def generate() -> ResponseReturnValue:
        body = read_body(GenerateBody, request, config)
        model = store.get(body.model, body.version)
        generation = Request(
            prompt=body.prompt,
            length=body.length,
            temperature=body.temperature,
            top_k=body.top_k,
            top_p=body.top_p,
            seed=secrets.randbits(53) if body.seed is None else body.seed,
            stop=tuple(body.stop),
        )
        stream = Stream(model, generation, scheduler)
        headers = {
            "X-Model": model.manifest.name,
            "X-Model-Version": str(model.manifest.version),
            "X-Seed": str(generation.seed),
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        }
        if body.stream:
            form = form_for(request.accept_mimetypes)
            events = _events(stream, form, model, generation.seed, request.environ)
            response = Response(events, content_type=f"{form.media_type}; charset=utf-8", headers=headers)
            # The server closes the response however it ends, even if it never asked for the first event.
            response.call_on_close(stream.close)
            return response
        return jsonify(_whole(stream, model, generation.seed, request.environ)), headers

    return routes


def _events(stream: Stream, form: Form, model: Model, seed: int, environ: dict[str, Any]) -> Iterator[bytes]:
    """The body of a streamed answer, one write for the characters of a chunk."""
    try:
        for characters in stream.chunks(SECONDS_BETWEEN_PINGS):
            if is_gone(environ):
                return
            if content := form.characters(characters) if characters else form.waiting:
                yield content.encode()
        yield form.last(_closing(stream.result(), model, seed)).encode()
    except Exception as error:  # noqa: BLE001
        # After the first byte an error can only be the last event.
        yield form.error(as_api_error(error).to_json()).encode()


def _whole(stream: Stream, model: Model, seed: int, environ: dict[str, Any]) -> dict[str, Any]:
    try:
        for _ in stream.chunks(SECONDS_BETWEEN_PINGS):
            if is_gone(environ):
                return {}  # nobody will read it
        result = stream.result()
        return _closing(result, model, seed) | {"logprobs": result.logprobs}
    finally:
        stream.close()


def _closing(result: Result, model: Model, seed: int) -> dict[str, Any]:
    return {
        "finish_reason": result.finish_reason,
        "text": result.text,
        "seed": seed,
        "model": model.manifest.name,
        "version": model.manifest.version,
        "usage": {
            "prompt_chars": result.prompt_chars,
            "cached_chars": 0,
            "unknown_chars": result.unknown_chars,
            "generated_chars": len(result.text),
        },
        "timings": {
            "queue_ms": round(result.queue_ms, 3),
            "first_char_ms": round(result.first_char_ms, 3),
            "total_ms": round(result.total_ms, 3),
            "chars_per_second": round(result.chars_per_second, 1),
        },
    }
