"""POST /score and /inspect: reading a text instead of generating one."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept

from service.analysis.inspect import InspectedCharacters, Unit, inspect
from service.analysis.score import Scoring
from service.config import Config
from service.engine.generation import Status
from service.engine.scheduler import Scheduler
from service.http.delivery import CLIENT_CLOSED_REQUEST, ClientGone, OpenStreams, abandoned, headers_of, is_gone
from service.http.errors import InvalidField
from service.http.formats import NDJSON
from service.http.schemas import MAX_INSPECTED_CHARS, InspectBody, ScoreBody, body_bytes, read_body
from service.http.scoring import ScoreDelivery, TextLimit, decimals
from service.model.manifest import Manifest
from service.model.model import Model
from service.store.store import Store

TEXTS_AT_ONCE = 4  # texts of the greatest length that may be scored at once, or more that are shorter
MAX_LOGPROBS = 100_000  # in one object
MAX_ACTIVATIONS = 1_000_000  # in one response
ACTIVATION_DECIMALS = 6


def blueprint(config: Config, store: Store, streams: OpenStreams, scheduler: Scheduler) -> Blueprint:
    """Read texts with the models of `store`; each text that is being read counts as one of `streams`."""
    routes = Blueprint("analysis", __name__)
    limit = TextLimit(TEXTS_AT_ONCE * config.max_text)

    @routes.post("/score")
    def score() -> ResponseReturnValue:
        body = read_body(ScoreBody, request, config, max_bytes=body_bytes(config.max_text))
        model = store.get(body.model, body.version)
        is_streamed = _wants_lines(request.accept_mimetypes)
        if body.logprobs and not is_streamed and len(body.text) > MAX_LOGPROBS:
            problem = f"for a text of more than {MAX_LOGPROBS:,} characters; this one has {len(body.text):,}"
            raise InvalidField(f"logprobs needs 'Accept: {NDJSON.media_type}' {problem}.", "logprobs")
        # A character may take as long as one of the longest text that may be generated.
        timeout_s = config.request_timeout * max(1, len(body.text) / config.max_length)
        with ExitStack() as held:
            held.callback(limit.reserve(len(body.text)))
            held.callback(streams.reserve())
            scoring = Scoring(model, body.text, scheduler, timeout_s=timeout_s)
            held.callback(scoring.close)
            delivery = ScoreDelivery(scoring, with_logprobs=body.logprobs, release=held.pop_all().close)
        return delivery.as_lines() if is_streamed else delivery.as_object()

    @routes.post("/inspect")
    def inspect_text() -> ResponseReturnValue:
        body = read_body(InspectBody, request, config, max_bytes=body_bytes(MAX_INSPECTED_CHARS))
        model = store.get(body.model, body.version)
        units = _units(body, model.manifest)
        release = streams.reserve()
        try:
            return _inspected(model, body.text, units, config.request_timeout)
        except ClientGone:
            return Response(abandoned(), CLIENT_CLOSED_REQUEST)
        finally:
            release()

    return routes


def _wants_lines(accept: MIMEAccept) -> bool:
    """Whether an Accept header prefers NDJSON to JSON."""
    return accept.best_match(["application/json", NDJSON.media_type]) == NDJSON.media_type


def _units(body: InspectBody, manifest: Manifest) -> list[Unit]:
    """The units whose activations a request asks for: those it names, or all of a layer.

    Raises:
        InvalidField: one does not exist, or the response would have too many activations.
    """
    if body.layer is not None and body.units:
        raise InvalidField("layer and units were both given: give one of them.", "layer")
    if body.layer is not None and body.layer >= manifest.layers:
        raise _beyond("layer", manifest.layers, body.layer)
    for index, (layer, unit) in enumerate(body.units):
        if layer >= manifest.layers:
            raise _beyond(f"units.{index}.0", manifest.layers, layer)
        if unit >= manifest.units:
            raise _beyond(f"units.{index}.1", manifest.units, unit)
    units = body.units if body.layer is None else [(body.layer, unit) for unit in range(manifest.units)]
    if (activations := len(body.text) * len(units)) > MAX_ACTIVATIONS:
        size = f"{len(body.text):,} characters and {len(units):,} units have {activations:,}"
        raise InvalidField(f"A response has at most {MAX_ACTIVATIONS:,} activations: {size}.", "text")
    return units


def _beyond(field: str, count: int, value: int) -> InvalidField:
    return InvalidField(f"{field} should be less than {count}, which this model has, not {value}.", field)


def _inspected(model: Model, text: str, units: list[Unit], timeout_s: float) -> Response:
    """A response of one JSON object.

    Raises:
        ClientGone: the client has disconnected.
    """
    version, deadline_s = model.manifest.model_version, time.monotonic() + timeout_s
    characters: list[dict[str, Any]] = []
    status = Status.LENGTH
    for found in inspect(model, text, units):
        if is_gone(request.environ):
            raise ClientGone
        characters += _characters(found)
        if time.monotonic() > deadline_s:
            status = Status.TIMEOUT
            break
    g.setdefault("logged", {}).update(
        {"model": version.name, "version": version.number, "text_chars": len(text), "finish_reason": status}
    )
    fields = {
        "characters": characters,
        "units": units,
        "finish_reason": status,
        "model": version.name,
        "version": version.number,
    }
    response = jsonify(fields)
    response.headers.update(headers_of(version))
    return response


def _characters(found: InspectedCharacters) -> Iterator[dict[str, Any]]:
    activations = found.activations.astype(np.float64).round(ACTIVATION_DECIMALS).tolist()
    guess_logprobs = decimals(found.guess_logprobs)
    for index, (text, logprob) in enumerate(zip(found.text, decimals(found.logprobs), strict=True)):
        guesses = list(zip(found.guesses[index], guess_logprobs[index], strict=True))
        yield {"text": text, "logprob": logprob, "top": guesses, "activations": activations[index]}
