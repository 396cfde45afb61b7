"""Who may ask, how often, under which request id; and one line in the log for each who asked.

`g.logged` is the line's fields: a view adds what it knows. Never a prompt or a text.
"""

import hmac
import logging
import math
import re
import time
import uuid
from functools import partial
from typing import Any

from flask import Flask, Response, g, request
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service import metrics
from service.config import Config
from service.http.errors import TooManyRequests, Unauthorized

OPEN_PATHS = ("/livez", "/readyz", "/metrics")
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)


def register(app: Flask, config: Config) -> None:
    """Check every request before its view runs, and stamp every response."""
    keys = [key.encode() for key in config.api_keys()]
    rate = config.rate()
    limiter = MovingWindowRateLimiter(MemoryStorage())

    @app.before_request
    def name_request() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        g.started_s = time.monotonic()
        g.logged = {"request_id": g.request_id, "method": request.method, "path": request.path}

    @app.before_request
    def check_key() -> None:
        if not keys or request.path in OPEN_PATHS:
            return
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        # Every key is compared, each in constant time: the answer's delay tells nothing about them.
        matches = [hmac.compare_digest(key.strip().encode(), known) for known in keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise Unauthorized("This service needs a key: send 'Authorization: Bearer KEY' with a known one.")
        g.client = key

    @app.before_request
    def check_rate() -> None:
        if rate is None or request.path in OPEN_PATHS:
            return
        client = g.get("client") or request.remote_addr or ""
        if not limiter.hit(rate, client):
            metrics.REJECTED.labels("rate_limit").inc()
            seconds = max(1, math.ceil(limiter.get_window_stats(rate, client).reset_time - time.time()))
            raise TooManyRequests(f"The rate limit is {rate}: try again in {seconds} s.", seconds)

    @app.after_request
    def stamp(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if not _is_quiet(request.path, response.status_code):
            # A stream is over when the server closes its response, long after this function has returned.
            response.call_on_close(partial(_log, g.logged, response.status_code, g.started_s))
        return response


def _is_quiet(path: str, status: int) -> bool:
    """Whether nobody wants to read of it: probes and scrapes that say what is expected of them."""
    return path in OPEN_PATHS and (status < 300 or (path == "/readyz" and status == 503))


def _log(fields: dict[str, Any], status: int, started_s: float) -> None:
    duration_ms = round((time.monotonic() - started_s) * 1000, 3)
    method, path = fields["method"], fields["path"]
    log.info("%s %s %d", method, path, status, extra=fields | {"status": status, "duration_ms": duration_ms})
