"""The streams of one request: they join the queue together, and one thread reads all of them. Knows no HTTP."""

import queue
import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from service.engine.generation import Characters, GenerationRequest, Result, Status
from service.engine.row import Row
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.model.model import Model


class Choices:
    """Streams of one model, numbered from 0. Their user closes them."""

    def __init__(self, model: Model, requests: Sequence[GenerationRequest], scheduler: Scheduler) -> None:
        """Queue the generations, all or none.

        Raises:
            QueueFull, Closed: the scheduler does not take all of them.
        """
        self.version = model.manifest.model_version
        self._ready: queue.SimpleQueue[int] = queue.SimpleQueue()  # a stream's number for each item that it can read
        rows = _Rows()
        self._streams = [
            Stream(model, request, rows, choice=number, on_put=partial(self._ready.put, number))
            for number, request in enumerate(requests)
        ]
        self._deadline_s = min(stream.deadline_s for stream in self._streams)
        scheduler.submit(model, *rows.submitted)

    def chunks(self, wait_s: float) -> Iterator[Characters | None]:
        """The characters of one call and stream after the other; None after each `wait_s` seconds without any.

        The last of each stream have its final status, and may be empty.

        Raises:
            Exception: the error with which the engine failed.
        """
        running = set(range(len(self._streams)))
        for number, stream in enumerate(self._streams):
            if not stream.is_running:  # it has nothing to compute
                running.remove(number)
                yield Characters(0, "", np.zeros(0, np.float32), number, stream.status)
        while running:
            ready = self._next_ready(wait_s)
            is_silent = ready is None
            # If none is ready, some may have reached their deadlines. One that has ended may have an item left.
            for number in sorted(running) if ready is None else (ready,) if ready in running else ():
                if (chunk := self._read(number)) is not None:
                    is_silent = False
                    if chunk.status is not Status.RUNNING:
                        running.remove(number)
                    yield chunk
            if is_silent:
                yield None

    def results(self) -> list[Result]:
        """The results so far, which are final once `chunks` is exhausted or the streams are closed."""
        return [stream.result() for stream in self._streams]

    def close(self) -> None:
        """Free the rows, and cancel the streams that are running. A second call does nothing."""
        for stream in self._streams:
            stream.close()

    def _next_ready(self, wait_s: float) -> int | None:
        """The number of a stream with an item to read; None if there is none within the time or by the deadline."""
        left_s = self._deadline_s - time.monotonic()
        try:
            return self._ready.get(timeout=max(0.0, min(wait_s, left_s)))
        except queue.Empty:
            return None

    def _read(self, number: int) -> Characters | None:
        """The characters that a stream has ready, or its end; None if neither has come."""
        stream = self._streams[number]
        characters = stream.read(0)
        if characters is None or (stream.is_running and not characters):
            return None
        return characters


class _Rows:
    """The rows of streams that are submitted together."""

    def __init__(self) -> None:
        self.submitted: list[Row] = []

    def submit(self, model: Model, row: Row) -> None:
        self.submitted.append(row)
