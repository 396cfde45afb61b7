"""POST /score, /inspect and /neurons: reading a text instead of generating one."""

from contextlib import ExitStack

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept

from service.analysis.score import Scoring
from service.config import Config
from service.engine.scheduler import Scheduler
from service.http.body import read_body
from service.http.delivery import OpenStreams, headers_of, in_one_object
from service.http.errors import InvalidField
from service.http.formats import NDJSON
from service.http.inspection import inspected, ranked, units_of
from service.http.schemas import (
    MAX_INSPECTED_CHARS,
    MAX_RANKING_CHARS,
    InspectBody,
    NeuronsBody,
    ScoreBody,
    body_bytes,
    length_of,
)
from service.http.scoring import ScoreDelivery, TextLimit
from service.store.store import Store

TEXTS_AT_ONCE = 4  # texts of the greatest length that may be scored at once, or more that are shorter
MAX_LOGPROBS = 100_000  # in one object


def blueprint(config: Config, store: Store, streams: OpenStreams, scheduler: Scheduler) -> Blueprint:
    """Read texts with the models of `store`; each text that is being read counts as one of `streams`."""
    routes = Blueprint("analysis", __name__)
    limit = TextLimit(TEXTS_AT_ONCE * config.max_text)

    @routes.post("/score")
    def score() -> ResponseReturnValue:
        body = read_body(ScoreBody, request, config, max_bytes=body_bytes(config.max_text))
        model = store.get(body.model, body.version)
        is_streamed = _wants_lines(request.accept_mimetypes)
        chars = length_of(body.text)
        if body.logprobs and not is_streamed and chars > MAX_LOGPROBS:
            problem = f"for a text of more than {MAX_LOGPROBS:,} characters; this one has {chars:,}"
            raise InvalidField(f"logprobs needs 'Accept: {NDJSON.media_type}' {problem}.", "logprobs")
        # A character may take as long as one of the longest text that may be generated.
        timeout_s = config.request_timeout * max(1, chars / config.max_length)
        with ExitStack() as held:
            held.callback(limit.reserve(chars))
            held.callback(streams.reserve())
            scoring = Scoring(model, body.text, scheduler, timeout_s=timeout_s)
            held.callback(scoring.close)
            delivery = ScoreDelivery(scoring, with_logprobs=body.logprobs, release=held.pop_all().close)
        return delivery.as_lines() if is_streamed else delivery.as_object()

    @routes.post("/inspect")
    def inspect_text() -> ResponseReturnValue:
        body = read_body(InspectBody, request, config, max_bytes=body_bytes(MAX_INSPECTED_CHARS))
        model = store.get(body.model, body.version)
        units = units_of(body, model.manifest)
        return in_one_object(
            lambda: inspected(model, body.text, units, config.request_timeout),
            headers_of(model.manifest.model_version),
            streams.reserve(),
        )

    @routes.post("/neurons")
    def neurons() -> ResponseReturnValue:
        body = read_body(NeuronsBody, request, config, max_bytes=body_bytes(MAX_RANKING_CHARS))
        model = store.get(body.model, body.version)
        return in_one_object(
            lambda: ranked(model, body, config.request_timeout),
            headers_of(model.manifest.model_version),
            streams.reserve(),
        )

    return routes


def _wants_lines(accept: MIMEAccept) -> bool:
    """Whether an Accept header prefers NDJSON to JSON."""
    return accept.best_match(["application/json", NDJSON.media_type]) == NDJSON.media_type
