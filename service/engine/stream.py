"""One generation as its request's thread sees it: stop strings, deadline, cancellation, result. Knows no HTTP.

The engine's thread meets it in a `TextQueue` only.
"""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from service import metrics
from service.engine.generation import Characters, GenerationRequest, Result, Status
from service.engine.row import Row
from service.engine.stop import StopBuffer
from service.engine.text_queue import TextQueue
from service.model.codec import Decoded
from service.model.model import Model


class Submits(Protocol):
    """Takes the row of a stream: a scheduler, or a list of rows that are submitted together."""

    def submit(self, model: Model, row: Row, /) -> None:
        """Queue the row."""


class Stream:
    """A generation in progress. Its user closes it, which frees its row before the engine's next call."""

    def __init__(
        self,
        model: Model,
        request: GenerationRequest,
        scheduler: Submits,
        *,
        choice: int = 0,
        on_put: Callable[[], None] | None = None,
    ) -> None:
        """Queue the generation, unless it has nothing to compute.

        Args:
            model: generates.
            request: the generation.
            scheduler: takes its row.
            choice: the number of the stream among those of its request.
            on_put: is called when `read` has a new item.

        Raises:
            QueueFull, Closed: the scheduler takes no more rows.
        """
        codec = self._codec = model.text
        self.request = request
        self.version = model.manifest.model_version
        self.status = Status.RUNNING
        self._choice = choice
        self._prompt = codec.normalize(request.prompt)
        self._missing_chars = request.length
        self._missing_echo_chars = len(self._prompt) if request.echo else 0
        self._stop_buffer = StopBuffer([codec.normalize(string) for string in request.stop])
        self._echoed: list[Characters] = []
        self._released: list[Characters] = []
        self._released_chars = 0
        self._is_closed = False
        self._texts = TextQueue(
            codec.decoder(),
            self.version,
            length=request.length,
            prompt_decoder=codec.prompt_decoder(self._prompt) if request.echo else None,
            on_put=on_put,
        )
        self._submitted_s = self._latest_s = self._texts.submitted_s
        self.deadline_s = self._submitted_s + request.timeout_s
        self._first_s: float | None = None
        self._gap_seconds = metrics.GAP_SECONDS.labels(*self.version.labels)
        self._row = self._new_row()
        self._end_if_complete()
        if self.is_running:
            scheduler.submit(model, self._row)

    @property
    def is_running(self) -> bool:
        """Whether more characters may come."""
        return self.status is Status.RUNNING

    def chunks(self, wait_s: float) -> Iterator[Characters]:
        """The characters of one call after the other; without any after each `wait_s` seconds in which none came.

        Raises:
            Exception: the error with which the engine failed.
        """
        while self.is_running:
            characters = self.read(wait_s)
            if characters or (characters is not None and self.is_running):
                yield characters

    def read(self, wait_s: float) -> Characters | None:
        """The characters of the next call; without any if none came in time or at the end, None if all are held back.

        Raises:
            Exception: the error with which the engine failed.
        """
        left_s = self.deadline_s - time.monotonic()
        try:
            received = self._texts.get(max(0.0, min(wait_s, left_s)))
        except Exception:
            self.status = Status.ERROR
            raise
        is_echo = self._missing_echo_chars > 0
        if received and is_echo:
            self._missing_echo_chars -= len(received.text)
            self._end_if_complete()
        elif received:
            self._receive(received)
        if self.is_running and left_s <= (0 if received else wait_s):
            self.status = Status.TIMEOUT
        characters = self._echo(received) if received and is_echo else self._release()
        return None if received and not characters and self.is_running else characters

    def result(self) -> Result:
        """The result so far, which is final once `chunks` is exhausted or the stream is closed."""
        first_s, now_s = self._first_s, time.monotonic()
        return Result(
            version=self.version,
            seed=self.request.sampling.seed,
            status=self.status,
            text="".join(characters.text for characters in self._released),
            logprobs=[float(decimal) for characters in self._released for decimal in characters.decimals()],
            prompt_chars=len(self._prompt),
            cached_chars=self._cached_chars,
            unknown_chars=self._codec.unknown_chars(self._prompt),
            queue_ms=((self._texts.started_s or now_s) - self._submitted_s) * 1000,
            first_char_ms=None if first_s is None else (first_s - self._submitted_s) * 1000,
            total_ms=(now_s - self._submitted_s) * 1000,
            echo="".join(characters.text for characters in self._echoed),
            echo_logprobs=[float(decimal) for characters in self._echoed for decimal in characters.decimals()],
            chunks=tuple(self._released),
            echo_chunks=tuple(self._echoed),
        )

    def close(self) -> None:
        """Free the row, and cancel the generation if it is running. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._row.cancel()
        labels = self.version.labels
        if self.is_running:
            self.status = Status.CANCELLED
            metrics.CANCELLED.labels(*labels).inc()
        else:
            metrics.FINISHED.labels(*labels, self.status).inc()
            metrics.STREAM_SECONDS.labels(*labels).observe(time.monotonic() - self._submitted_s)
        metrics.PROMPT_CHARS.labels(*labels).inc(len(self._prompt))
        metrics.CACHED_CHARS.labels(*labels).inc(self._cached_chars)
        metrics.GENERATED_CHARS.labels(*labels).inc(self._released_chars)

    @property
    def _cached_chars(self) -> int:
        return self._codec.chars_in(self._prompt, self._row.cached)

    def _new_row(self) -> Row:
        request, codec = self.request, self._codec
        return Row(
            codec.encode(self._prompt),
            length=request.length * codec.max_symbols_per_char,
            sampling=request.sampling,
            listener=self._texts,
            on_followed=self._texts.followed if request.echo else None,
            guesses=request.guesses,
        )

    def _receive(self, received: Decoded) -> None:
        """Note the time, and end at a stop string or at the requested length."""
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s
            metrics.FIRST_CHAR_SECONDS.labels(*self.version.labels).observe(now_s - self._submitted_s)
        else:
            self._gap_seconds.observe(now_s - self._latest_s)
        self._latest_s = now_s
        text = received.text[: self._missing_chars]
        self._missing_chars -= len(text)
        self._stop_buffer.push(text, received.logprobs[: len(text)], received.guesses[: len(text)])
        if self._stop_buffer.has_stopped:
            self.status = Status.STOP
        else:
            self._end_if_complete()

    def _end_if_complete(self) -> None:
        if not self._missing_echo_chars and not self._missing_chars:
            self.status = Status.LENGTH

    def _echo(self, received: Decoded) -> Characters:
        index = len(self._prompt) - self._missing_echo_chars - len(received.text)
        echoed = self._characters(index, received)
        self._echoed.append(echoed)
        return echoed

    def _release(self) -> Characters:
        """The characters that may be sent: at the end all, before it those that are part of no stop string."""
        index = self._released_chars + (len(self._prompt) if self.request.echo else 0)
        released = self._characters(index, self._stop_buffer.release(everything=not self.is_running))
        self._released_chars += len(released.text)
        self._released.append(released)
        return released

    def _characters(self, index: int, decoded: Decoded) -> Characters:
        texts = self._codec.symbol_texts if decoded.guesses.size else ()
        return Characters(index, decoded.text, decoded.logprobs, self._choice, self.status, decoded.guesses, texts)
