"""Who may ask, how often, and under which request id."""

import hmac
import math
import re
import time
import uuid

from flask import Flask, Response, g, request
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service.config import Config
from service.http.errors import TooManyRequests, Unauthorized

OPEN_PATHS = ("/livez", "/readyz")
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


def register(app: Flask, config: Config) -> None:
    """Check every request before its view runs, and stamp every response."""
    keys = [key.encode() for key in config.api_keys()]
    rate = config.rate()
    limiter = MovingWindowRateLimiter(MemoryStorage())

    @app.before_request
    def name_request() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

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
            seconds = max(1, math.ceil(limiter.get_window_stats(rate, client).reset_time - time.time()))
            raise TooManyRequests(f"The rate limit is {rate}: try again in {seconds} s.", seconds)

    @app.after_request
    def stamp(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        return response
