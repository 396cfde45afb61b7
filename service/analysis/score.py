"""The score of a text: the log-probability of each of its characters. Knows no HTTP.

The text is one row that only follows, in the same batches as the streams that generate. The engine's thread writes the
logprobs into an array as long as the text, so a text needs a fixed amount of memory, however slowly its client reads.
"""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.engine.generation import LOWEST, Status
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.model.guesses import NO_GUESSES, Guesses
from service.model.model import Model
from service.model.version import ModelVersion

MAX_CHARS_AT_ONCE = 4096  # of one `ScoredCharacters`
MAX_EXPONENT = 709.0  # math.exp of more overflows


@dataclass(frozen=True)
class ScoredCharacters:
    """Consecutive characters of a text, with their logprobs; false if there are none."""

    index: int  # of the first
    logprobs: NDArray[np.float32]  # of a character of a byte model: the sum over its bytes

    def __bool__(self) -> bool:
        return len(self.logprobs) > 0


@dataclass(frozen=True, kw_only=True)
class Score:
    """The loss on the first `chars` characters of a text, and the measurements of its scoring."""

    version: ModelVersion
    status: Status
    chars: int
    text_chars: int
    unknown_chars: int  # of the text
    nats: float
    queue_ms: float
    total_ms: float

    @property
    def nats_per_char(self) -> float | None:
        """The mean loss; None before the first character."""
        return self.nats / self.chars if self.chars else None

    @property
    def bits_per_char(self) -> float | None:
        """The mean loss in bits."""
        return None if self.nats_per_char is None else self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float | None:
        """The number of equally likely characters that would give the same loss."""
        return None if self.nats_per_char is None else math.exp(min(self.nats_per_char, MAX_EXPONENT))

    @property
    def chars_per_second(self) -> float:
        """Characters over the whole time, including the time in the queue."""
        return self.chars / (self.total_ms / 1000)


class Scoring:
    """A text that is being scored. Its user closes it, which frees its row before the engine's next call."""

    def __init__(self, model: Model, text: str, scheduler: Scheduler, *, timeout_s: float = math.inf) -> None:
        """Queue a text of at least one character.

        Raises:
            QueueFull, Closed: the scheduler takes no more rows.
        """
        codec = model.text
        text = codec.normalize(text)
        self.version = model.manifest.model_version
        self.status = Status.RUNNING
        self._unknown_chars = codec.unknown_chars(text)
        self._ends = codec.char_ends(text)
        self._chars = 0  # that `chunks` has returned
        self._nats = 0.0
        self._is_closed = False
        self._followed = _FollowedSymbols(self.version, int(self._ends[-1]))
        self._submitted_s = self._followed.submitted_s
        self._deadline_s = self._submitted_s + timeout_s
        self._row = Row(
            codec.encode(text),
            length=0,
            sampling=SamplingParams(seed=0),
            listener=self._followed,
            on_followed=self._followed.add,
        )
        scheduler.submit(model, self._row)

    def chunks(self, wait_s: float) -> Iterator[ScoredCharacters]:
        """The characters that were scored in each `wait_s` seconds, or none if there were none.

        Raises:
            Exception: the error with which the engine failed.
        """
        while self.status is Status.RUNNING:
            left_s = self._deadline_s - time.monotonic()
            has_ended = self._followed.ended.wait(max(0.0, min(wait_s, left_s)))
            if self._followed.error:
                self.status = Status.ERROR
                raise self._followed.error
            if has_ended:
                self.status = Status.LENGTH
            elif left_s <= wait_s:
                self.status = Status.TIMEOUT
            followed = self._ends.dtype.type(self._followed.count)  # of another type, it would copy all ends
            complete = int(np.searchsorted(self._ends, followed, side="right"))
            for first in range(self._chars, complete, MAX_CHARS_AT_ONCE) or (complete,):
                yield self._take(min(complete, first + MAX_CHARS_AT_ONCE))

    def result(self) -> Score:
        """The score so far, which is final once `chunks` is exhausted or the scoring is closed."""
        started_s = self._followed.started_s
        return Score(
            version=self.version,
            status=self.status,
            chars=self._chars,
            text_chars=len(self._ends),
            unknown_chars=self._unknown_chars,
            nats=self._nats,
            queue_ms=0.0 if started_s is None else (started_s - self._submitted_s) * 1000,
            total_ms=(time.monotonic() - self._submitted_s) * 1000,
        )

    def close(self) -> None:
        """Free the row, and cancel the scoring if it is running. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._row.cancel()
        labels = self.version.labels
        if self.status is Status.RUNNING:
            self.status = Status.CANCELLED
            metrics.CANCELLED.labels(*labels).inc()
        else:
            metrics.FINISHED.labels(*labels, self.status).inc()
            metrics.STREAM_SECONDS.labels(*labels).observe(time.monotonic() - self._submitted_s)
        metrics.SCORED_CHARS.labels(*labels).inc(self._chars)

    def _take(self, stop: int) -> ScoredCharacters:
        """The characters up to the index `stop` that were not taken yet."""
        first, self._chars = self._chars, stop
        if first == stop:
            return ScoredCharacters(first, np.zeros(0, np.float32))
        ends = self._ends[first:stop]
        start = int(self._ends[first - 1]) if first else 0
        symbols = np.maximum(self._followed.logprobs[start : ends[-1]], LOWEST).astype(np.float64)
        self._nats -= float(symbols.sum())
        sums = np.add.reduceat(symbols, np.append(start, ends[:-1]) - start)
        return ScoredCharacters(first, sums.astype(np.float32))


class _FollowedSymbols:
    """The engine's side of a scoring: the listener of its row, and the logprobs of the symbols followed so far."""

    def __init__(self, version: ModelVersion, symbols: int) -> None:
        """`symbols` is the length of the text."""
        self.logprobs = np.empty(symbols, np.float32)  # the first `count` are valid
        self.count = 0
        self.error: Exception | None = None
        self.ended = threading.Event()
        self.submitted_s = time.monotonic()
        self.started_s: float | None = None
        self._queue_seconds = metrics.QUEUE_SECONDS.labels(*version.labels)

    def started(self) -> None:
        """An engine has taken the row."""
        self.started_s = time.monotonic()
        self._queue_seconds.observe(self.started_s - self.submitted_s)

    def add(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES) -> None:
        """Keep the logprobs of one call. The request's thread is only woken at the end."""
        count = self.count + len(symbols)
        self.logprobs[self.count : count] = logprobs
        self.count = count  # last: the request's thread reads up to it without a lock
        if count == len(self.logprobs):
            self.ended.set()

    def sampled(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses) -> bool:
        """Never called: the row samples no symbol."""
        return True

    def failed(self, error: Exception) -> None:
        """The row takes no further step."""
        self.error = error
        self.ended.set()
