"""One generation: prompt -> ids -> characters, with stop strings, finish reasons, deadline, cancellation. No HTTP.

Two threads meet here and only in a queue: the engine's puts in the text that it sampled, the request's takes it out.
How many symbols a character is, the model's codec knows.
"""

import math
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stop import Held
from service.model.model import Model


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a text is to be made from; the same request gives the same text."""

    prompt: str
    length: int
    sampling: SamplingParams
    stop: tuple[str, ...] = ()
    timeout_s: float = math.inf


@dataclass(frozen=True)
class Characters:
    """Some characters of a generated text, one after the other; none where nothing came."""

    index: int  # of the first
    text: str
    logprobs: NDArray[np.float32]  # the model's own, natural log, whatever temperature and filters chose them

    def __bool__(self) -> bool:
        return bool(self.text)

    def decimals(self) -> list[str]:
        """The shortest decimals that name the logprobs: -2.8345897, not -2.834589719772339."""
        names: list[str] = self.logprobs.astype(str).tolist()
        return names


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is known of a generation, complete when it is over."""

    finish_reason: str  # "length", "stop", "timeout", "error", or "cancelled": not to its end
    text: str
    logprobs: list[float]
    prompt_chars: int
    cached_chars: int
    unknown_chars: int
    queue_ms: float
    first_char_ms: float | None
    total_ms: float

    @property
    def chars_per_second(self) -> float:
        """Characters over the whole time, waiting included."""
        return len(self.text) / (self.total_ms / 1000)


class Stream:
    """A generation under way. Whoever starts one closes it, and its row is free before the engine's next call."""

    def __init__(self, model: Model, request: Request, scheduler: Scheduler) -> None:
        """Queue the generation.

        Raises:
            QueueFull, Closed: the scheduler takes no more.
        """
        self._sampled: queue.SimpleQueue[tuple[str, NDArray[np.float32]] | Exception] = queue.SimpleQueue()
        self._codec, self._labels = model.text, (model.manifest.name, str(model.manifest.version))
        self._prompt = self._codec.normalize(request.prompt)
        self._unsampled = request.length  # what the engine's thread has yet to put in
        self._unread = request.length  # and ours to take out
        self._decoder = self._codec.decoder()
        self._held = Held([self._codec.normalize(string) for string in request.stop])
        self._released: list[Characters] = []
        self._released_chars = 0
        self._finish_reason = "cancelled"
        self._is_closed = False
        self._submitted_s = time.monotonic()
        self._deadline_s = self._submitted_s + request.timeout_s
        self._started_s = self._latest_s = self._submitted_s
        self._first_s: float | None = None
        self._gap_seconds = metrics.GAP_SECONDS.labels(*self._labels)
        self._row = Row(
            self._codec.encode(self._prompt),
            length=request.length * self._codec.max_symbols_per_char,
            sampling=request.sampling,
            listener=self,
        )
        scheduler.submit(model, self._row)

    def chunks(self, wait_s: float) -> Iterator[Characters]:
        """The text as it comes, some characters at a time; none when none came for `wait_s` seconds.

        Raises:
            Exception: whatever made the engine fail.
        """
        while self._finish_reason == "cancelled":
            left_s = self._deadline_s - time.monotonic()
            try:
                sampled = self._sampled.get(timeout=max(0.0, min(wait_s, left_s)))
            except queue.Empty:
                yield self._release("", finish="timeout" if left_s <= wait_s else None)
                continue
            if isinstance(sampled, Exception):
                self._finish_reason = "error"
                raise sampled
            self._note_arrival()
            finish = "timeout" if left_s <= 0 else None
            if characters := self._release(*sampled, finish=finish):
                yield characters

    def result(self) -> Result:
        """What came so far: all of it, once `chunks` is exhausted."""
        return Result(
            finish_reason=self._finish_reason,
            text="".join(characters.text for characters in self._released),
            logprobs=[float(name) for characters in self._released for name in characters.decimals()],
            prompt_chars=len(self._prompt),
            cached_chars=self._codec.chars_in(self._prompt, self._row.cached),
            unknown_chars=self._codec.unknown_chars(self._prompt),
            queue_ms=(self._started_s - self._submitted_s) * 1000,
            first_char_ms=None if self._first_s is None else (self._first_s - self._submitted_s) * 1000,
            total_ms=(time.monotonic() - self._submitted_s) * 1000,
        )

    def close(self) -> None:
        """Give the row back, wherever the generation stands. The first call counts."""
        self._row.cancelled = True
        if self._is_closed:
            return
        self._is_closed = True
        if self._finish_reason == "cancelled":
            metrics.CANCELLED.labels(*self._labels).inc()
        else:
            metrics.FINISHED.labels(*self._labels, self._finish_reason).inc()
            metrics.STREAM_SECONDS.labels(*self._labels).observe(time.monotonic() - self._submitted_s)
        metrics.PROMPT_CHARS.labels(*self._labels).inc(len(self._prompt))
        metrics.CACHED_CHARS.labels(*self._labels).inc(self._codec.chars_in(self._prompt, self._row.cached))
        metrics.GENERATED_CHARS.labels(*self._labels).inc(self._released_chars)

    def started(self) -> None:
        """The engine has taken the row (see `row.Listener`)."""
        self._started_s = time.monotonic()
        metrics.QUEUE_SECONDS.labels(*self._labels).observe(self._started_s - self._submitted_s)

    def sampled(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> None:
        """The engine sampled these (see `row.Listener`)."""
        text, logprobs = self._decoder.read(symbols, logprobs)
        if text:
            self._sampled.put((text, logprobs))
        self._unsampled -= len(text)
        if self._unsampled <= 0:
            self._row.cancelled = True  # it may have steps left, for characters of more symbols than these were

    def failed(self, error: Exception) -> None:
        """The engine cannot go on (see `row.Listener`)."""
        self._sampled.put(error)

    def _note_arrival(self) -> None:
        now = time.monotonic()
        if self._first_s is None:
            self._first_s = now
            metrics.FIRST_CHAR_SECONDS.labels(*self._labels).observe(now - self._submitted_s)
        else:
            self._gap_seconds.observe(now - self._latest_s)
        self._latest_s = now

    def _release(
        self, text: str, logprobs: NDArray[np.float32] | None = None, *, finish: str | None = None
    ) -> Characters:
        """The characters that may be sent now; what may yet become a stop string is held back until the end."""
        if logprobs is not None:
            new = text[: self._unread]
            self._unread -= len(new)
            self._held.take(new, logprobs[: len(new)])
        if self._held.has_stopped:
            finish = "stop"
        elif not self._unread:
            finish = "length"
        released = Characters(self._released_chars, *self._held.release(everything=finish is not None))
        self._released_chars += len(released.text)
        self._released.append(released)
        self._finish_reason = finish or self._finish_reason
        return released
