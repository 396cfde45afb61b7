"""Error responses that the server sends without the application, in the form of the API's errors."""

from http import HTTPStatus

from service.request_id import request_id
from service.server.response import json_response


class Refusal(Exception):
    """The server refuses a request before the application sees it."""

    def __init__(self, status: HTTPStatus, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s
        self.request_id = request_id()

    def response(self) -> bytes:
        """The complete response, after which the connection closes."""
        error = {"message": str(self), "type": self._type(), "param": None, "code": self.code}
        return json_response(self.status, {"error": error}, self.request_id, retry_after_s=self.retry_after_s)

    def _type(self) -> str:
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"


def malformed(error: Exception) -> Refusal:
    """The refusal of a request that a parser rejects. Quotes nothing of it: a header may hold a key."""
    message = f"The request is not valid HTTP/1.1 ({type(error).__name__})."
    return Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", message)
