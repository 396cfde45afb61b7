"""One score on its way to its client: the limit of texts in memory, disconnects, log fields, the response.

Knows no request body and no model.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from flask import Response, g, request
from numpy.typing import NDArray

from service import metrics
from service.analysis.score import Score, ScoredCharacters, Scoring
from service.engine.generation import json_of
from service.http.delivery import encoded, headers_of, in_one_object, probe_silence, streamed, while_connected
from service.http.errors import Overloaded
from service.http.formats import NDJSON, to_json

REPORT_S = 0.5  # between two lines of a streamed score


class TextLimit:
    """The characters of all texts that are being scored. Their number is limited, because each needs memory."""

    def __init__(self, chars: int) -> None:
        self._limit = self._free = chars
        self._lock = threading.Lock()

    def reserve(self, chars: int) -> Callable[[], None]:
        """Count a text, until the returned function is called.

        Raises:
            Overloaded: all texts together would have too many characters.
        """
        with self._lock:
            if chars > self._free:
                metrics.REJECTED.labels("texts").inc()
                scored = self._limit - self._free
                raise Overloaded(f"Texts of {scored:,} characters are being scored; the limit is {self._limit:,}.")
            self._free -= chars

        def release() -> None:
            with self._lock:
                self._free += chars

        return release


class ScoreDelivery:
    """A score on its way to the client of the current Flask request. Its response closes it."""

    def __init__(self, scoring: Scoring, *, with_logprobs: bool, release: Callable[[], None]) -> None:
        """`release` closes the scoring and is called once, when the delivery is closed."""
        self._scoring = scoring
        self._with_logprobs = with_logprobs
        self._release = release
        self._environ = request.environ
        self._logged: dict[str, Any] = g.setdefault("logged", {})  # the fields of the request's line in the log
        probe_silence(self._environ)

    def as_lines(self) -> Response:
        """A response of one JSON object for each interval, then the closing object."""
        return streamed(self._lines(), NDJSON, headers_of(self._scoring.version), self._close)

    def as_object(self) -> Response:
        """A response of one JSON object, complete when the text is scored."""

        def fields() -> dict[str, Any]:
            logprobs: list[float] = []
            for characters in self._chunks():
                if self._with_logprobs:
                    logprobs += decimals(characters.logprobs)
            closing = _closing(self._scoring.result())
            return closing | {"logprobs": logprobs} if self._with_logprobs else closing

        return in_one_object(fields, headers_of(self._scoring.version), self._close)

    def _lines(self) -> Iterator[bytes]:
        for characters in self._chunks():
            fields = _loss(self._scoring.result())
            if self._with_logprobs:
                fields |= {"index": characters.index, "logprobs": decimals(characters.logprobs)}
            yield encoded(f"{to_json(fields)}\n")
        yield encoded(NDJSON.last(_closing(self._scoring.result())))

    def _chunks(self) -> Iterator[ScoredCharacters]:
        """The chunks of the scoring, for as long as the client is connected."""
        return while_connected(self._scoring.chunks(REPORT_S), self._environ)

    def _close(self) -> None:
        """Close the scoring, finished or not, and write the log fields."""
        self._release()
        score = self._scoring.result()
        self._logged |= {
            "model": score.version.name,
            "version": score.version.number,
            "text_chars": score.text_chars,
            "scored_chars": score.chars,
            "finish_reason": score.status,
            **_timings(score),
        }


def decimals(logprobs: NDArray[np.float32]) -> list[Any]:
    """The numbers, in lists of the same shape, that JSON writes with the fewest digits that identify a float32."""
    numbers: list[Any] = orjson.loads(json_of(logprobs))
    return numbers


def _loss(score: Score) -> dict[str, Any]:
    return {
        "chars": score.chars,
        "nats": score.nats,
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
    }


def _closing(score: Score) -> dict[str, Any]:
    """The last line of a stream, and all but the logprobs of a response in one object."""
    return {
        **_loss(score),
        "perplexity": score.perplexity,
        "unknown_chars": score.unknown_chars,
        "finish_reason": score.status,
        "model": score.version.name,
        "version": score.version.number,
        "timings": _timings(score) | {"chars_per_second": round(score.chars_per_second, 1)},
    }


def _timings(score: Score) -> dict[str, float]:
    return {"queue_ms": round(score.queue_ms, 3), "total_ms": round(score.total_ms, 3)}
