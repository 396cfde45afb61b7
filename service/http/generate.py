"""POST /generate."""

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from service import metrics
from service.config import Config
from service.engine.generation import GenerationRequest, Result
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.http.errors import Overloaded, as_api_error
from service.http.formats import ClientGone, Form, form_for, is_gone, probe_silence
from service.http.schemas import GenerateBody, read_body
from service.model.model import Model
from service.store.store import Store

SECONDS_BETWEEN_PINGS = 1.0
CLIENT_CLOSED_REQUEST = 499  # nginx's; only the log shows it
# Streams that are computed and not yet read, beyond those that may run or wait. Each holds a thread of the server,
# and clients that read slowly must not take the last ones (see gunicorn.conf.py).
UNREAD_STREAMS = 16


def blueprint(config: Config, store: Store, scheduler: Scheduler) -> Blueprint:
    """Generate with the models of `store` on the engines of `scheduler`."""
    routes = Blueprint("generate", __name__)
    max_open = config.engines * config.slots + config.queue + UNREAD_STREAMS
    places = threading.BoundedSemaphore(max_open)

    @routes.post("/generate")
    def generate() -> ResponseReturnValue:
        body = read_body(GenerateBody, request, config)
        model = store.get(body.model, body.version)
        generation = _generation(body, config)
        if not places.acquire(blocking=False):
            metrics.REJECTED.labels("slow_clients").inc()
            raise Overloaded(f"{max_open} streams are open, which is all that may.")
        try:
            stream = Stream(model, generation, scheduler)
        except BaseException:
            places.release()
            raise
        delivery = _Delivery(
            model, generation.sampling.seed, stream, request.environ, g.setdefault("logged", {}), places
        )
        headers = _headers(model, generation.sampling.seed)
        probe_silence(request.environ)
        if body.stream:
            form = form_for(request.accept_mimetypes)
            content_type = f"{form.media_type}; charset=utf-8"
            response = Response(delivery.events(form), content_type=content_type, headers=headers)
            # The server closes the response however it ends, even if it never asked for the first event.
            response.call_on_close(delivery.close)
            return response
        try:
            return jsonify(delivery.whole()), headers
        except ClientGone:
            return Response(_abandoned(), CLIENT_CLOSED_REQUEST)
        finally:
            delivery.close()

    return routes


@dataclass
class _Delivery:
    """A stream on its way to its client."""

    model: Model
    seed: int
    stream: Stream
    environ: dict[str, Any]
    logged: dict[str, Any]  # the fields of the request's line in the log
    place: threading.Semaphore
    result: Result | None = None  # once the stream has come to its end

    def events(self, form: Form) -> Iterator[bytes]:
        """The body of a streamed answer, one write for the characters of a chunk."""
        try:
            for characters in self.stream.chunks(SECONDS_BETWEEN_PINGS):
                if is_gone(self.environ):
                    raise ClientGone
                if content := form.characters(characters) if characters else form.waiting:
                    yield content.encode(errors="replace")
            self.result = self.stream.result()
            yield form.last(_closing(self.result, self.model, self.seed)).encode()
        except ClientGone:
            raise  # an end without an error would be that of a complete answer
        except Exception as error:  # noqa: BLE001
            # After the first byte an error can only be the last event.
            yield form.error(as_api_error(error).to_json()).encode()

    def whole(self) -> dict[str, Any]:
        """The body of an answer in one piece."""
        for _ in self.stream.chunks(SECONDS_BETWEEN_PINGS):
            if is_gone(self.environ):
                raise ClientGone
        self.result = self.stream.result()
        return _closing(self.result, self.model, self.seed) | {"logprobs": self.result.logprobs}

    def close(self) -> None:
        """Give back what the stream holds, wherever it stands. Once."""
        self.stream.close()
        self.place.release()
        result = self.result or self.stream.result()
        self.logged |= {
            "model": self.model.manifest.name,
            "version": self.model.manifest.version,
            "seed": self.seed,
            "prompt_chars": result.prompt_chars,
            "cached_chars": result.cached_chars,
            "generated_chars": len(result.text),
            "finish_reason": result.status,
            **_milliseconds(result),
        }


def _abandoned() -> Iterator[bytes]:
    """The body of an answer that was given up: the server closes the connection without an answer."""
    yield from ()
    raise ClientGone


def _generation(body: GenerateBody, config: Config) -> GenerationRequest:
    return GenerationRequest(
        prompt=body.prompt,
        length=body.length,
        sampling=SamplingParams(
            seed=secrets.randbits(53) if body.seed is None else body.seed,
            temperature=body.temperature,
            top_k=body.top_k,
            top_p=body.top_p,
        ),
        stop=tuple(body.stop),
        timeout_s=config.request_timeout,
    )


def _headers(model: Model, seed: int) -> dict[str, str]:
    return {
        "X-Model": model.manifest.name,
        "X-Model-Version": str(model.manifest.version),
        "X-Seed": str(seed),
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
    }


def _closing(result: Result, model: Model, seed: int) -> dict[str, Any]:
    return {
        "finish_reason": result.status,
        "text": result.text,
        "seed": seed,
        "model": model.manifest.name,
        "version": model.manifest.version,
        "usage": {
            "prompt_chars": result.prompt_chars,
            "cached_chars": result.cached_chars,
            "unknown_chars": result.unknown_chars,
            "generated_chars": len(result.text),
        },
        "timings": {
            **_milliseconds(result),
            "chars_per_second": round(result.chars_per_second, 1),
        },
    }


def _milliseconds(result: Result) -> dict[str, float | None]:
    first_char_ms = None if result.first_char_ms is None else round(result.first_char_ms, 3)
    return {
        "queue_ms": round(result.queue_ms, 3),
        "first_char_ms": first_char_ms,
        "total_ms": round(result.total_ms, 3),
    }
