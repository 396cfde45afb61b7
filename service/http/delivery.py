"""The streams of a request on their way to its client: their limit, disconnects, log fields, the response.

All routes that generate share one `OpenStreams`. A route passes the function that makes the object at the end of its
response; the fields of request and response bodies are not known here.
"""

import errno
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from flask import Response, current_app, g, request

from service import metrics
from service.config import Config
from service.engine.choices import Choices
from service.engine.generation import Characters, GenerationRequest, Result
from service.engine.scheduler import Scheduler
from service.http.errors import Overloaded, as_api_error
from service.http.formats import StreamFormat, json_pieces
from service.model.model import Model
from service.model.version import ModelVersion

SECONDS_BETWEEN_PINGS = 1.0
CLIENT_CLOSED_REQUEST = 499  # nginx's status; only the log shows it
# Streams that are computed and not yet read, beyond those that may run or wait. Each holds a thread of the server,
# and clients that read slowly must not take the last ones (see gunicorn.conf.py).
UNREAD_STREAMS = 16
# The kernel needs about a minute of probes to distinguish a lost connection from a silent one.
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}

Part = TypeVar("Part")
Closing = Callable[..., dict[str, Any]]
"""Makes the last event of a stream, or the body of a response that is not streamed, of the `Result` of each stream."""


class ClientGone(ConnectionResetError):
    """The client's connection is lost. A server that catches it closes the connection without a valid end."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "The client is gone.")


class OpenStreams:
    """The streams of all routes that are computed, or not yet read to their end; their number is limited."""

    def __init__(self, config: Config, scheduler: Scheduler) -> None:
        self._limit = config.engines * config.slots + config.queue + UNREAD_STREAMS
        self._changing = threading.Lock()
        self._open = 0
        self._scheduler = scheduler

    def begin(self, model: Model, *generations: GenerationRequest) -> "Delivery":
        """Start generations, all or none, for the client of the current Flask request.

        Raises:
            Overloaded: as many streams are open as may be.
            QueueFull, Closed: the scheduler does not take all of them.
        """
        release = self.reserve(len(generations))
        try:
            streams = Choices(model, generations, self._scheduler)
        except BaseException:
            release()
            raise
        return Delivery(streams, generations[0].sampling.seed, release)

    def reserve(self, count: int = 1) -> Callable[[], None]:
        """Count `count` more open streams, until the returned function is called.

        Raises:
            Overloaded: as many streams are open as may be.
        """
        with self._changing:
            if self._open + count > self._limit:
                metrics.REJECTED.labels("slow_clients").inc()
                problem = "which is the limit" if count == 1 else f"and the limit for {count} more is {self._limit}"
                raise Overloaded(f"{self._open} streams are open, {problem}.")
            self._open += count
        return partial(self._release, count)

    def _release(self, count: int) -> None:
        with self._changing:
            self._open -= count


class Delivery:
    """Streams on their way to the client of the current Flask request. Its response closes them."""

    def __init__(self, streams: Choices, seed: int, release: Callable[[], None]) -> None:
        """`seed` is that of the request; `release` is called once, when the delivery is closed."""
        self._streams = streams
        self._seed = seed
        self._release = release
        self._environ = request.environ
        self._outlet_of = current_app.extensions.get("outlet")  # a class; other servers have none
        self._logged: dict[str, Any] = g.setdefault("logged", {})  # the fields of the request's line in the log
        self._results: list[Result] = []  # once the streams are exhausted
        probe_silence(self._environ)

    def as_stream(self, stream_format: StreamFormat, closing: Closing) -> Response:
        """A response that sends characters as they are generated, then the closing object."""
        return streamed(self._events(stream_format, closing), stream_format, self._headers(), self._close)

    def as_object(self, closing: Closing) -> Response:
        """A response of one JSON object, complete when the generation is."""

        def fields() -> dict[str, Any]:
            for _ in self._parts(lambda characters: "", waiting=""):
                pass
            return closing(*self._finish())

        return in_one_object(fields, self._headers(), self._close)

    def _events(self, stream_format: StreamFormat, closing: Closing) -> Iterator[bytes]:
        """The events of a streamed response, with the characters of a call together."""
        yield from self._parts(stream_format.characters, stream_format.waiting)
        yield encoded(stream_format.last(closing(*self._finish())))

    def _parts(self, text_of: Callable[[Characters], str], waiting: str) -> Iterator[bytes]:
        """The characters of all streams as `text_of` writes them, and `waiting` while there are none.

        After the first part, if the server has outlets, the thread that delivers the engines' results sends the others.

        Raises:
            ClientGone: the client is no longer connected.
        """
        streams = self._streams

        def take(wait_s: float) -> bytes | None:
            chunks = streams.take(wait_s)
            return encoded("".join(map(text_of, chunks))) if chunks else None

        def pull() -> tuple[bytes, bool] | None:
            part = take(0)
            if part is None:
                return None
            if not part:  # sending it would show that the client is gone
                self._check_connection()
            return part, not streams.is_running

        outlet = self._outlet_of(self._environ, pull) if self._outlet_of else None
        streams.on_ready = outlet.send_ready if outlet else None
        while streams.is_running:
            part = take(SECONDS_BETWEEN_PINGS)
            self._check_connection()
            if content := encoded(waiting) if part is None else part:
                yield content
            if outlet and part is not None and streams.is_running:
                was_silent = not outlet.send(SECONDS_BETWEEN_PINGS)
                if was_silent and waiting:
                    yield encoded(waiting)

    def _check_connection(self) -> None:
        if is_gone(self._environ):
            raise ClientGone

    def _finish(self) -> list[Result]:
        self._results = self._streams.results()
        return self._results

    def _headers(self) -> dict[str, str]:
        return headers_of(self._streams.version) | {"X-Seed": str(self._seed)}

    def _close(self) -> None:
        """Close the streams, finished or not, and write the log fields."""
        self._streams.close()
        self._release()
        results = self._results or self._streams.results()
        self._logged |= _log_fields(results)
        if len(results) > 1:
            self._logged["choices"] = len(results)


def _log_fields(results: list[Result]) -> dict[str, Any]:
    """The fields of one line for all streams: sums of characters, and the longest of each time."""
    first = results[0]
    times = {name: [time for result in results if (time := result.timings[name]) is not None] for name in first.timings}
    return {
        "model": first.version.name,
        "version": first.version.number,
        "seed": first.seed,
        "prompt_chars": sum(result.prompt_chars for result in results),
        "cached_chars": sum(result.cached_chars for result in results),
        "generated_chars": sum(len(result.text) for result in results),
        "finish_reason": first.status,
        **{name: max(of_streams, default=None) for name, of_streams in times.items()},
    }


def streamed(
    events: Iterator[bytes], stream_format: StreamFormat, headers: dict[str, str], close: Callable[[], None]
) -> Response:
    """A response with one write for each event. An error is its last event, and `close` is called at its end."""
    content_type = f"{stream_format.media_type}; charset=utf-8"
    logged = g.setdefault("logged", {})
    response = Response(_written(events, stream_format, logged), content_type=content_type, headers=headers)
    # The server closes the response in every case, even if it has never asked for the first event.
    response.call_on_close(close)
    return response


def _written(events: Iterator[bytes], stream_format: StreamFormat, logged: dict[str, Any]) -> Iterator[bytes]:
    try:
        yield from events
    except (ConnectionError, BlockingIOError):
        raise  # the client is gone or does not read; an end without an error would be that of a complete response
    except Exception as error:  # noqa: BLE001  # after the first byte an error can only be the last event
        api_error = as_api_error(error)
        logged["error"] = api_error.code
        yield encoded(stream_format.error(api_error.to_json()))


def encoded(text: str) -> bytes:
    """UTF-8; half a surrogate pair becomes a question mark."""
    return text.encode(errors="replace")


def in_one_object(fields: Callable[[], dict[str, Any]], headers: dict[str, str], close: Callable[[], None]) -> Response:
    """A response of the JSON object that `fields` returns, or none if it raises `ClientGone`; `close` is called."""
    try:
        content = "".join(json_pieces(fields())) + "\n"
        return Response(content, content_type="application/json", headers=headers)
    except ClientGone:
        return Response(abandoned(), CLIENT_CLOSED_REQUEST)
    finally:
        close()


def while_connected(parts: Iterator[Part], environ: dict[str, Any]) -> Iterator[Part]:
    """The parts of a response, for as long as its client is connected.

    Raises:
        ClientGone: it is no longer.
    """
    for part in parts:
        if is_gone(environ):
            raise ClientGone
        yield part


def headers_of(version: ModelVersion) -> dict[str, str]:
    """The headers of a response that a version has computed."""
    name, number = version.labels
    return {"X-Model": name, "X-Model-Version": number, "X-Accel-Buffering": "no", "Cache-Control": "no-store"}


def abandoned() -> Iterator[bytes]:
    """The body of a response that has no reader: the server closes the connection without sending one."""
    yield from ()
    raise ClientGone


def probe_silence(environ: dict[str, Any]) -> None:
    """Let the kernel probe the connection while nothing is sent.

    A client that closes its connection sends the same as one that only shuts it down for writing. Only sending to the
    client distinguishes the two, and a response may take long to begin.
    """
    client = environ.get("gunicorn.socket")
    if client is None:
        return
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            if hasattr(socket, option):
                client.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def is_gone(environ: dict[str, Any]) -> bool:
    """Whether the client's connection is lost. A client that only shut it down for writing (legal) still reads.

    A server notices that only when it writes, and then one write late; the socket knows at once. False where the server
    does not pass its socket on: there, a write fails in the end.
    """
    client = environ.get("gunicorn.socket")
    if client is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(client, 0)  # POLLHUP and POLLERR are always reported
    return bool(poll.poll(0))
