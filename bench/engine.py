"""The service's engine without HTTP: N streams in this process, whose characters are only counted."""

import queue
import time
from typing import Any

import numpy as np

from bench.contender import Sample, Turn
from bench.workload import lengths, seeds
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.model.model import Model

SECONDS_TO_STOP = 60


class Inbox:
    """Counts the samples of one row (see `service.engine.row.Listener`)."""

    def __init__(self, length: int, finished: "queue.SimpleQueue[Exception | None]") -> None:
        self.characters = 0
        self._length = length
        self._finished = finished

    def started(self) -> None:
        """Ignore it."""

    def sampled(self, symbols: Any, logprobs: Any, guesses: Any) -> bool:
        """Count the symbols."""
        self.characters += len(symbols)
        if self.characters == self._length:
            self._finished.put(None)
        return False  # the row ends at its length

    def failed(self, error: Exception) -> None:
        """Pass the error to the thread that waits."""
        self._finished.put(error)


class Engine:
    """A contender: the scheduler with its engine threads."""

    def __init__(self, model: Model, scheduler: Scheduler) -> None:
        self._model, self._scheduler = model, scheduler

    def __call__(self, turn: Turn) -> Sample:
        """Keep the streams running for the turn, then cancel the remaining ones."""
        streams = _Streams(self._model, self._scheduler, turn.seed)
        for _ in range(turn.streams):
            streams.start()
        started = time.perf_counter()
        warmed = streams.keep_running(until=started + turn.warm_s)
        counted = time.perf_counter()
        characters = streams.keep_running(until=counted + turn.seconds) - warmed
        passed = time.perf_counter() - counted
        streams.cancel()
        return Sample(characters / passed)


class _Streams:
    """The rows of one turn; a finished row is replaced by another."""

    def __init__(self, model: Model, scheduler: Scheduler, seed: int) -> None:
        self._model, self._scheduler = model, scheduler
        self._texts = zip(lengths(seed), seeds(seed), strict=False)
        self._finished: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._rows: list[tuple[Row, Inbox]] = []

    def start(self) -> None:
        """Submit the next row, which has an empty prompt."""
        length, seed = next(self._texts)
        inbox = Inbox(length, self._finished)
        row = Row(np.zeros(0, np.int32), length=length, sampling=SamplingParams(seed=seed), listener=inbox)
        self._rows.append((row, inbox))
        self._scheduler.submit(self._model, row)

    def keep_running(self, *, until: float) -> int:
        """Replace finished rows until then; returns the characters of all rows since the first one started."""
        while (missing := until - time.perf_counter()) > 0:
            try:
                error = self._finished.get(timeout=missing)
            except queue.Empty:
                break
            if error:
                raise error
            self.start()
        return sum(inbox.characters for _, inbox in self._rows)

    def cancel(self) -> None:
        """Cancel every row, and wait until the engines have dropped them."""
        for row, _ in self._rows:
            row.cancel()
        deadline = time.monotonic() + SECONDS_TO_STOP
        while self._scheduler.running or self._scheduler.waiting:
            if time.monotonic() > deadline:
                raise SystemExit(f"The engines did not drop cancelled rows within {SECONDS_TO_STOP} s.")
            time.sleep(0.001)
