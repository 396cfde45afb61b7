"""Complete JSON responses that the server sends without the application."""

import json
from http import HTTPStatus
from typing import Any

from gunicorn import util

from service.http.security import HEADERS


def json_response(
    status: HTTPStatus, content: dict[str, Any], request_id: str, *, retry_after_s: int | None = None
) -> bytes:
    """Head and body of a response after which the connection closes."""
    body = json.dumps(content, separators=(",", ":")).encode() + b"\n"  # as Flask writes it
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {util.http_date()}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Request-Id: {request_id}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
    if retry_after_s is not None:
        head.append(f"Retry-After: {retry_after_s}")
    return "\r\n".join([*head, "", ""]).encode() + body
