"""Cross-origin requests (CORS): pages of configured origins may use the API. Off unless origins are configured.

API keys are sent in a header, so cookies and other credentials are never allowed.
"""

from flask import Flask, Response, request

# The wildcard is for client libraries, which add headers of their own. It does not cover Authorization.
HEADERS_SENT = "Authorization, Content-Type, Accept, X-Request-Id, *"
HEADERS_READ = (
    "X-Request-Id, X-Model, X-Model-Version, X-Seed, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
PREFLIGHT_SECONDS = 7200  # the most that Chromium caches a preflight response


def register(app: Flask, origins: frozenset[str]) -> None:
    """Answer preflight requests, which carry no key, and mark every response for pages of `origins`."""
    if not origins:
        return
    any_origin = "*" in origins

    def is_allowed() -> bool:
        origin = request.headers.get("Origin")
        return origin is not None and (any_origin or origin.lower() in origins)

    @app.before_request
    def answer_preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or not is_allowed():
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Allow-Headers"] = HEADERS_SENT
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response

    @app.after_request
    def allow(response: Response) -> Response:
        if not any_origin:
            response.vary.add("Origin")
        if is_allowed():
            response.headers["Access-Control-Allow-Origin"] = "*" if any_origin else request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = HEADERS_READ
        return response
