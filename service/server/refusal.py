"""Error responses that the server sends without the application, in the form of the API's errors."""

import json
import uuid
from http import HTTPStatus

from gunicorn import util

from service.http.security import HEADERS


class Refusal(Exception):
    """The server refuses a request before the application sees it."""

    def __init__(self, status: HTTPStatus, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s
        self.request_id = uuid.uuid4().hex

    def response(self) -> bytes:
        """The complete response, after which the connection closes."""
        error = {"message": str(self), "type": self._type(), "param": None, "code": self.code}
        body = json.dumps({"error": error}).encode()
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Date: {util.http_date()}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Request-Id: {self.request_id}",
            *(f"{name}: {value}" for name, value in HEADERS.items()),
        ]
        if self.retry_after_s is not None:
            head.append(f"Retry-After: {self.retry_after_s}")
        return "\r\n".join([*head, "", ""]).encode() + body

    def _type(self) -> str:
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"


def malformed(error: Exception) -> Refusal:
    """The refusal of a request that a parser rejects. Quotes nothing of it: a header may hold a key."""
    message = f"The request is not valid HTTP/1.1 ({type(error).__name__})."
    return Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", message)
