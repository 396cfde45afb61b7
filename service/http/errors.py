"""Errors as clients see them, and the conversion of every other exception into one. Knows no route."""

import logging
from typing import Any

from flask import Flask, Response, current_app, g, has_request_context, jsonify, request
from werkzeug.exceptions import HTTPException

from service.engine.scheduler import Closed, QueueFull
from service.model.model import MissingFunction
from service.store.store import NoModel, NotFound

MAX_SHOWN_CHARS = 60  # of a value in a message
MAX_MESSAGE_CHARS = 400

log = logging.getLogger(__name__)


def shorten(text: str, max_chars: int = MAX_SHOWN_CHARS) -> str:
    """The text, or its beginning: a message must not repeat long values that a client sends."""
    return text if len(text) <= max_chars else text[:max_chars] + "…"


class ApiError(Exception):
    """An error as clients see it; `type` and `code` are OpenAI's words where OpenAI has them."""

    status = 500
    type = "server_error"
    code = "internal_error"
    retry_after_s: int | None = None

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(shorten(message, MAX_MESSAGE_CHARS))
        self.param = param and shorten(param)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response, besides those of every response."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}

    def to_json(self) -> dict[str, Any]:
        """The body, the same in a response and as the last event of a stream."""
        return {
            "error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code},
        }


class Unreadable(ApiError):
    """The body did not arrive in full, or its chunks are malformed."""

    status, type, code = 400, "invalid_request_error", "unreadable_body"


class NotJson(ApiError):
    """The body is not JSON."""

    status, type, code = 400, "invalid_request_error", "invalid_json"


class WrongContentType(ApiError):
    """The Content-Type is not JSON."""

    status, type, code = 415, "invalid_request_error", "unsupported_media_type"


class BodyTooLarge(ApiError):
    """The body is longer than any valid request."""

    status, type, code = 413, "invalid_request_error", "body_too_large"


class InvalidField(ApiError):
    """A field is out of range, unknown or mistyped."""

    status, type, code = 422, "invalid_request_error", "invalid_field"


class UnsupportedField(ApiError):
    """A field is valid in OpenAI's API, and this service does not support its value."""

    status, type, code = 400, "invalid_request_error", "unsupported_value"


class Unauthorized(ApiError):
    """No key, or a key that is not valid."""

    status, type, code = 401, "authentication_error", "invalid_api_key"

    def __init__(self, message: str, *, wrong_key: bool) -> None:
        """`wrong_key`: a key was sent, and it is not valid."""
        super().__init__(message)
        self.wrong_key = wrong_key

    @property
    def headers(self) -> dict[str, str]:
        """The challenge (RFC 6750, section 3): without an error code if no key was sent."""
        return {"WWW-Authenticate": 'Bearer realm="charloom"' + ', error="invalid_token"' * self.wrong_key}


class Missing(ApiError):
    """No such model or version."""

    status, type, code = 404, "not_found_error", "model_not_found"


class TooManyRequests(ApiError):
    """The client has reached the rate limit."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unsupported(ApiError):
    """The version of the model was published without a function that the request needs."""

    status, type, code = 501, "invalid_request_error", "unsupported_by_model"


class Overloaded(ApiError):
    """As many streams run, wait or are unread as may be."""

    status, type, code = 429, "rate_limit_error", "queue_full"
    retry_after_s = 1


class Unavailable(ApiError):
    """No model is ready."""

    status, type, code = 503, "service_unavailable_error", "unavailable"


class Draining(Unavailable):
    """The service is shutting down and starts no new stream."""

    code = "draining"
    retry_after_s = 1  # the next attempt is for another instance, or for the next process of this one

    def __init__(self) -> None:
        super().__init__("The service is shutting down.")


def as_api_error(error: Exception) -> ApiError:
    """The error that a client sees for any exception; an unexpected one is logged with its traceback."""
    match error:
        case ApiError():
            return error
        case NotFound():
            return Missing(str(error), error.param)
        case MissingFunction():
            return Unsupported(str(error), "model")
        case NoModel():
            return Unavailable(str(error))
        case QueueFull():
            return Overloaded(str(error))
        case Closed():
            return Draining()
        case HTTPException():
            return _from_werkzeug(error)
    log.error("Unexpected error.", exc_info=error)
    return ApiError("Unexpected error in the service; its log has the details.")


def register(app: Flask) -> None:
    """Answer every exception with JSON. Called before routes are added."""
    # A path with an empty part, such as /models//1 or /models/..%2f/1, is an unknown path, not a redirect.
    app.url_map.merge_slashes = False

    app.register_error_handler(Exception, response_of)


def response_of(error: Exception) -> Response:
    """The JSON response to an exception."""
    api_error = as_api_error(error)
    g.setdefault("logged", {})["error"] = api_error.code
    response = jsonify(api_error.to_json())
    response.status_code = api_error.status
    response.headers.update(api_error.headers)
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
    return response


def _from_werkzeug(error: HTTPException) -> ApiError:
    is_no_route = error.code == 404 and has_request_context()
    found = ApiError(_no_route(request.path) if is_no_route else error.description or error.name)
    found.status = error.code or 500
    found.type = "invalid_request_error" if found.status < 500 else "server_error"
    found.code = error.name.lower().replace(" ", "_")
    return found


def _no_route(path: str) -> str:
    """A sentence with the routes that share the first or last segment of `path`; clients differ in their prefixes."""
    routes = [
        f"{method} {rule.rule}"
        for rule in current_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if _ends(rule.rule) & _ends(path)
    ]
    similar = f" Similar routes: {', '.join(sorted(routes))}." if routes else ""
    return f"There is no route {shorten(path)}.{similar}"


def _ends(path: str) -> set[str]:
    segments = path.strip("/").split("/")
    return {segments[0], segments[-1]}
