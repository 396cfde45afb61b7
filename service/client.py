"""A client of the HTTP API for Python programs.

Imports only the standard library and nothing of the service, so that a program may copy this one file.
"""

import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

RETRIED = (429, 503)  # statuses: the service refuses the request before it has done anything for it
FIRST_WAIT_S = 0.5  # before the first retry without Retry-After; doubles with each one
MAX_WAIT_S = 60.0  # a longer Retry-After is the caller's decision
MAX_ERROR_BYTES = 65536
KEY = re.compile(r"[\x21-\x7e]{1,256}")


class CharloomError(Exception):
    """A request that failed.

    Attributes:
        message: one sentence.
        status: the HTTP status; 200 if a stream failed after its beginning, None without a response.
        code: the service's word for the error, or `connection_error`, `timeout`, `incomplete_response`,
            `unexpected_response`.
        param: the field of the request that is wrong, if it is one.
        retry_after_s: the time after which the service expects the request again, if it has said so.
    """

    def __init__(
        self,
        message: str,
        code: str,
        *,
        status: int | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.status, self.param = message, code, status, param
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Character:
    """One generated character; `top` has the best guesses before it, if the request asked for them."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Completion:
    """A generated text: the last object of a stream, and the log-probability of each character."""

    text: str
    finish_reason: str
    seed: int
    model: str
    version: int
    usage: dict[str, int]
    timings: dict[str, float]
    logprobs: list[float]


class TextStream:
    """The characters of one generation as they arrive. Iterate over it once; leaving a `with` block cancels it."""

    completion: Completion | None = None
    """The complete text and its fields, once the last character has been read."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self._connection, self._response = connection, response

    def __enter__(self) -> "TextStream":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Character]:
        logprobs: list[float] = []
        with _reading(self._response), closing(self):
            for event in _events(self._response, b"data:"):
                if "finish_reason" in event:
                    self.completion = _completion(event, logprobs)
                    continue  # to the end of the response, or the service would see a lost connection
                logprobs.append(event["logprob"])
                top = tuple((text, logprob) for text, logprob in event.get("top", ()))
                yield Character(event["text"], event["logprob"], top)
        if self.completion is None:
            raise _incomplete("it has no last event")

    def close(self) -> None:
        """Close the connection; the service stops generating."""
        self._response.close()
        self._connection.close()


class Client:
    """Asks one service. Keeps no connection, so any number of threads may share it."""

    def __init__(
        self,
        base_url: str = "http://localhost:8000",
        key: str | None = None,
        *,
        timeout_s: float = 60,
        retries: int = 2,
    ) -> None:
        """Connect to nothing yet.

        Args:
            base_url: the address of the service, with the path under which a proxy publishes it.
            key: the API key, where the service requires one.
            timeout_s: the longest silence of the service. A stream that waits for its turn is not silent.
            retries: how often a request is sent again if the service is busy (429, 503) or cannot be reached.

        Raises:
            ValueError: the address or the key is malformed. The message does not quote the key.
        """
        address = urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"The address of the service must be like http://localhost:8000, not {base_url!r}.")
        if key is not None and not KEY.fullmatch(key):
            raise ValueError("A key must have 1 to 256 printable ASCII characters without spaces.")
        self._is_https = address.scheme == "https"
        self._host, self._port = address.hostname, address.port or (443 if self._is_https else 80)
        self._path = address.path.rstrip("/")
        self._headers = {"User-Agent": "charloom-client"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout_s, self._retries = timeout_s, retries

    def stream(self, prompt: str = "", **params: Any) -> TextStream:
        """Start to generate. `params` are fields of POST /generate: length, temperature, seed, model, ...

        Raises:
            CharloomError: the request failed. Iteration raises it too; a stream that has begun is never retried.
        """
        body = json.dumps({"prompt": prompt, **params, "stream": True}).encode()
        return TextStream(*self._send("/generate", body, "text/event-stream", retries=self._retries))

    def complete(self, prompt: str = "", **params: Any) -> Completion:
        """Generate a text and return it when it is complete; otherwise as `stream`."""
        # A stream shows while the service works that it still does, however long the text takes.
        with self.stream(prompt, **params) as stream:
            for _ in stream:
                pass
        assert stream.completion is not None
        return stream.completion

    def score(self, text: str, **params: Any) -> dict[str, Any]:
        """The response of POST /score. `params` are its other fields: logprobs, model, version."""
        # Streamed progress, so that the service is never silent, however long the text takes.
        body = json.dumps({"text": text, **params}).encode()
        connection, response = self._send("/score", body, "application/x-ndjson", retries=self._retries)
        event, logprobs = dict[str, Any](), list[float]()
        with closing(connection), response, _reading(response):
            for event in _events(response):
                logprobs += event.get("logprobs", ())
        if "chars" not in event:
            raise _unexpected(response.status)
        if "finish_reason" not in event:
            raise _incomplete("it has no last event")
        return event | {"logprobs": logprobs} if params.get("logprobs") else event

    def models(self) -> dict[str, Any]:
        """The response of GET /models: the default model, and each model's versions."""
        return self._get("/models", {"models", "default"}, retries=self._retries)

    def health(self) -> dict[str, Any]:
        """The response of GET /readyz. Not retried.

        Raises:
            CharloomError: the service cannot be reached or is not ready (`status` 503); the message is the reason.
        """
        return self._get("/readyz", {"status", "model", "version"}, retries=0)

    def _get(self, path: str, required: set[str], *, retries: int) -> dict[str, Any]:
        """The object at a path, which has these fields if the service is Charloom."""
        connection, response = self._send(path, None, "application/json", retries=retries)
        with closing(connection), response, _reading(response):
            content = json.loads(response.read())
            if not isinstance(content, dict) or not required <= content.keys():
                raise ValueError
        return content

    def _send(self, path: str, body: bytes | None, accept: str, *, retries: int) -> tuple[HTTPConnection, HTTPResponse]:
        """Send a request, and send it again if that may help."""
        attempt = 0
        while True:
            try:
                return self._attempt(path, body, accept)
            except CharloomError as error:
                wait_s = _wait_s(error, attempt)
                if attempt >= retries or wait_s is None:
                    raise
            time.sleep(wait_s)
            attempt += 1

    def _attempt(self, path: str, body: bytes | None, accept: str) -> tuple[HTTPConnection, HTTPResponse]:
        """A connection, and a response with status 200 of which only the head has been read."""
        kind = HTTPSConnection if self._is_https else HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        headers = self._headers | {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = "application/json"
        is_sent = False
        try:
            connection.request("GET" if body is None else "POST", self._path + path, body, headers)
            is_sent = True
            response = connection.getresponse()
            if response.status != 200:
                with response:
                    raise _refused(response, response.read(MAX_ERROR_BYTES))
            return connection, response
        except BaseException as error:
            connection.close()
            if is_sent and isinstance(error, TimeoutError):
                message = f"The service at {self._host}:{self._port} has been silent for {self._timeout_s:g} seconds."
                raise CharloomError(message, "timeout") from error
            if isinstance(error, OSError | HTTPException):
                message = f"The service at {self._host}:{self._port} cannot be reached: {_reason(error)}."
                raise CharloomError(message, "connection_error") from error
            raise


@contextmanager
def _reading(response: HTTPResponse) -> Iterator[None]:
    """Reading the body of a response, whose end or form may be wrong."""
    try:
        yield
    except TimeoutError as error:
        raise CharloomError("The service stopped sending before the end of its response.", "timeout") from error
    except (OSError, HTTPException) as error:
        raise _incomplete(error) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unexpected(response.status) from error


def _events(response: HTTPResponse, prefix: bytes = b"") -> Iterator[dict[str, Any]]:
    """The objects of a stream, without the comments that an event stream has while the request waits."""
    for line in response:
        if line.startswith(prefix):
            event = json.loads(line.removeprefix(prefix))
            if "error" in event:
                raise _from_body(event, response.status)
            yield event


def _completion(event: dict[str, Any], logprobs: list[float]) -> Completion:
    """The last event of a stream as a value. A newer service may send more fields."""
    known = {field.name: event[field.name] for field in fields(Completion) if field.name != "logprobs"}
    return Completion(**known, logprobs=logprobs)


def _wait_s(error: CharloomError, attempt: int) -> float | None:
    """The time before the next attempt; None if it would not help."""
    if error.status not in RETRIED and error.code != "connection_error":
        return None
    # Random, so that clients that were refused together do not come back together.
    backoff_s = FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1)
    wait_s = max(error.retry_after_s or 0, backoff_s)
    return wait_s if wait_s <= MAX_WAIT_S else None


def _refused(response: HTTPResponse, content: bytes) -> CharloomError:
    """The error of a response with another status than 200."""
    seconds = response.headers.get("Retry-After", "")
    retry_after_s = float(seconds) if re.fullmatch("[0-9]{1,9}", seconds) else None
    try:
        return _from_body(json.loads(content), response.status, retry_after_s)
    except (KeyError, TypeError, ValueError):
        message = f"The service answered {response.status} {response.reason}."
        return CharloomError(message, "unexpected_response", status=response.status, retry_after_s=retry_after_s)


def _from_body(body: dict[str, Any], status: int, retry_after_s: float | None = None) -> CharloomError:
    """The error of a response's body, or of the last event of a stream."""
    error = body["error"]
    return CharloomError(
        error["message"], error["code"], status=status, param=error.get("param"), retry_after_s=retry_after_s
    )


def _incomplete(reason: Exception | str) -> CharloomError:
    reason = reason if isinstance(reason, str) else _reason(reason)
    return CharloomError(f"The response is incomplete: {reason}.", "incomplete_response", status=200)


def _unexpected(status: int) -> CharloomError:
    return CharloomError("The response is not one of Charloom.", "unexpected_response", status=status)


def _reason(error: Exception) -> str:
    explanation = error.strerror if isinstance(error, OSError) else None
    return explanation or str(error) or type(error).__name__
