"""POST /score, /inspect and /neurons: reading a text instead of generating one."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept

from service.analysis.inspect import InspectedCharacters, Unit, inspect
from service.analysis.neurons import FeatureTracking, Ranking
from service.analysis.score import Scoring
from service.config import Config
from service.engine.generation import Status
from service.engine.scheduler import Scheduler
from service.http.delivery import CLIENT_CLOSED_REQUEST, ClientGone, OpenStreams, abandoned, headers_of, is_gone
from service.http.errors import InvalidField
from service.http.formats import NDJSON
from service.http.schemas import (
    MAX_INSPECTED_CHARS,
    MAX_RANKING_CHARS,
    InspectBody,
    NeuronsBody,
    ScoreBody,
    body_bytes,
    read_body,
)
from service.http.scoring import ScoreDelivery, TextLimit, decimals
from service.model.manifest import Manifest
from service.model.model import Model
from service.store.store import Store

TEXTS_AT_ONCE = 4  # texts of the greatest length that may be scored at once, or more that are shorter
MAX_LOGPROBS = 100_000  # in one object
MAX_ACTIVATIONS = 1_000_000  # in one response
ACTIVATION_DECIMALS = 6
SCORE_DECIMALS = 6

Part = TypeVar("Part")


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
        return _reserved(streams, lambda: _inspected(model, body.text, units, config.request_timeout))

    @routes.post("/neurons")
    def neurons() -> ResponseReturnValue:
        body = read_body(NeuronsBody, request, config, max_bytes=body_bytes(MAX_RANKING_CHARS))
        model = store.get(body.model, body.version)
        return _reserved(streams, lambda: _ranked(model, body, config.request_timeout))

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


def _reserved(streams: OpenStreams, read: Callable[[], Response]) -> Response:
    """The response of reading a text, which counts as one stream; none if the client disconnects."""
    release = streams.reserve()
    try:
        return read()
    except ClientGone:
        return Response(abandoned(), CLIENT_CLOSED_REQUEST)
    finally:
        release()


def _read_to_end(parts: Iterator[Part], use: Callable[[Part], object], timeout_s: float) -> Status:
    """Use each part of a text, until its end or the deadline.

    Raises:
        ClientGone: the client has disconnected.
    """
    deadline_s = time.monotonic() + timeout_s
    for part in parts:
        if is_gone(request.environ):
            raise ClientGone
        use(part)
        if time.monotonic() > deadline_s:
            return Status.TIMEOUT
    return Status.LENGTH


def _inspected(model: Model, text: str, units: list[Unit], timeout_s: float) -> Response:
    characters: list[dict[str, Any]] = []
    status = _read_to_end(inspect(model, text, units), lambda part: characters.extend(_characters(part)), timeout_s)
    return _response(model, {"characters": characters, "units": units}, status, len(text))


def _ranked(model: Model, body: NeuronsBody, timeout_s: float) -> Response:
    tracking = FeatureTracking(model, body.text)
    status = _read_to_end(tracking.read(), lambda chars: None, timeout_s)
    fields = {
        "features": [_ranking(ranking) for ranking in tracking.rankings(body.limit)],
        "constant": tracking.constant_features(),
        "chars": tracking.chars,
    }
    return _response(model, fields, status, len(body.text))


def _response(model: Model, fields: dict[str, Any], status: Status, text_chars: int) -> Response:
    """A response of one JSON object, whose measurements are logged."""
    version = model.manifest.model_version
    common = {"finish_reason": status, "model": version.name, "version": version.number}
    g.setdefault("logged", {}).update(common | {"text_chars": text_chars})
    response = jsonify(fields | common)
    response.headers.update(headers_of(version))
    return response


def _ranking(ranking: Ranking) -> dict[str, Any]:
    units = [asdict(unit) | {"score": round(unit.score, SCORE_DECIMALS)} for unit in ranking.units]
    return asdict(ranking) | {"max_score": round(ranking.max_score, SCORE_DECIMALS), "units": units}


def _characters(found: InspectedCharacters) -> Iterator[dict[str, Any]]:
    activations = found.activations.astype(np.float64).round(ACTIVATION_DECIMALS).tolist()
    guess_logprobs = decimals(found.guess_logprobs)
    for index, (text, logprob) in enumerate(zip(found.text, decimals(found.logprobs), strict=True)):
        guesses = list(zip(found.guesses[index], guess_logprobs[index], strict=True))
        yield {"text": text, "logprob": logprob, "top": guesses, "activations": activations[index]}
