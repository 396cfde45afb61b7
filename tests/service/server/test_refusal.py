"""Responses without the application, byte for byte."""

import json
from http import HTTPStatus

import pytest

from service.server.refusal import Refusal, malformed


def parts(refusal: Refusal) -> tuple[str, dict[str, str], dict[str, object]]:
    """Status line, headers and error of a response."""
    head, _, body = refusal.response().partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["Content-Length"]) == len(body)
    return status, headers, json.loads(body)["error"]


def test_a_refusal_is_a_complete_response_that_closes_its_connection() -> None:
    refusal = Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time.")
    status, headers, error = parts(refusal)
    assert status == "HTTP/1.1 408 Request Timeout"
    assert (headers["Connection"], headers["Content-Type"]) == ("close", "application/json")
    assert headers["X-Request-Id"] == refusal.request_id
    assert "Retry-After" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert error == {
        "message": "The request did not arrive in time.",
        "type": "invalid_request_error",
        "param": None,
        "code": "request_timeout",
    }


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (HTTPStatus.NOT_FOUND, "invalid_request_error"),
        (HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error"),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "server_error"),
    ],
)
def test_the_type_of_the_error_follows_its_status(status: HTTPStatus, type_: str) -> None:
    _, headers, error = parts(Refusal(status, "code", "message", retry_after_s=3))
    assert error["type"] == type_
    assert headers["Retry-After"] == "3"


def test_a_malformed_request_is_400_and_not_quoted() -> None:
    status, _, error = parts(malformed(ValueError("Authorization: Bearer secret")))
    assert status == "HTTP/1.1 400 Bad Request"
    assert error["message"] == "The request is not valid HTTP/1.1 (ValueError)."
