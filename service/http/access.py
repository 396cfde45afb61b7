"""Access: request ids, one log line for each request, keys and the rate limit.

`g.logged` has the fields of the request's log line; a view adds its own. Never a prompt or a generated text.
"""

import ipaddress
import logging
import math
import re
import time
from functools import partial
from typing import Any

from flask import Flask, Response, g, request

from service import metrics
from service.config import Config
from service.http import page
from service.http.errors import TooManyRequests, Unauthorized, shorten
from service.http.rate import Quota, RateLimiter
from service.http.shared_rate import SharedRateLimiter
from service.request_id import request_id

OPEN_PATHS = ("/livez", "/readyz", "/metrics")
WITH_PORT = re.compile(r"\[(.*)\](?::\d+)?|([^:]*):\d+")  # as some proxies write addresses
MAX_PATH_CHARS = 200  # in the log

log = logging.getLogger(__name__)


def name_requests(app: Flask) -> None:
    """Give every request an id, and a line in the log."""

    @app.before_request
    def name_request() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = request_id(given)
        g.started_s = time.monotonic()
        g.logged = {"request_id": g.request_id, "method": request.method, "path": shorten(request.path, MAX_PATH_CHARS)}

    @app.after_request
    def add_request_id(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if not _is_expected_probe(request.path, response.status_code):
            # A stream ends when the server closes its response, long after this function has returned.
            response.call_on_close(partial(_log, g.logged, response.status_code, g.started_s))
        return response


def register(app: Flask, config: Config) -> None:
    """Check the key and the rate of every request before its view runs, and report the rate in its response."""
    key_file = config.key_file()
    rate = config.rate()
    limiter = _limiter(config)

    @app.before_request
    def check() -> None:
        if request.path in OPEN_PATHS or request.blueprint == page.NAME:
            return
        sent = _bearer(request.headers.get("Authorization", ""))
        key = key_file.match(sent) if key_file and sent else None
        # The key counts as the file has it, because a header may write it in many ways. Requests with a wrong key
        # count by address; a known key is served even then, or a stranger at the same address could lock it out.
        client = ("key", key) if key else ("address", network_of(request.remote_addr or ""))
        if limiter:
            quota = limiter.count(client)
            g.rate_limit_headers = _rate_limit_headers(quota)
            if quota.is_exceeded:
                metrics.REJECTED.labels("rate_limit").inc()
                seconds = math.ceil(quota.reset_s)
                raise TooManyRequests(f"The rate limit is {rate}: try again in {seconds} s.", seconds)
        if key_file and not key:
            message = "This service requires a valid key: send 'Authorization: Bearer KEY'."
            raise Unauthorized(message, wrong_key=sent is not None)

    @app.after_request
    def add_rate_limit(response: Response) -> Response:
        response.headers.update(g.get("rate_limit_headers", {}))
        return response


def _limiter(config: Config) -> RateLimiter | SharedRateLimiter | None:
    rate, storage = config.rate(), config.rate_storage()
    if rate is None:
        return None
    return RateLimiter(rate) if storage is None else SharedRateLimiter(rate, storage)


def network_of(address: str) -> str:
    """The network by which requests from an address are counted: an IPv4 address, or the first 64 bits of IPv6.

    A subscriber of IPv6 has at least that many addresses, and may use another one for every request (RFC 6177).
    """
    if match := WITH_PORT.fullmatch(address):
        address = match[1] or match[2]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return shorten(address)  # a proxy may write anything here
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed), 64), strict=False))


def _bearer(header: str) -> str | None:
    """The key in an Authorization header, or None."""
    scheme, _, key = header.strip().replace("\t", " ").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _rate_limit_headers(quota: Quota) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-06, which clients read; later drafts have others."""
    return {
        "RateLimit-Limit": str(quota.limit),
        "RateLimit-Remaining": str(quota.remaining),
        "RateLimit-Reset": str(math.ceil(quota.reset_s)),
    }


def _is_expected_probe(path: str, status: int) -> bool:
    """Whether a request is a probe or a scrape with an expected response, which is not worth a line."""
    return path in OPEN_PATHS and (status < 300 or (path == "/readyz" and status == 503))


def _log(fields: dict[str, Any], status: int, started_s: float) -> None:
    duration_ms = round((time.monotonic() - started_s) * 1000, 3)
    method, path = fields["method"], fields["path"]
    log.info("%s %s %d", method, path, status, extra=fields | {"status": status, "duration_ms": duration_ms})
