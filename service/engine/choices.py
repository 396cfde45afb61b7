"""The streams of one request: they join the queue together, and one thread reads all of them. Knows no HTTP."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

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
        self.on_ready: Callable[[], None] | None = None  # is called on the delivery thread when `take` has a new chunk
        self._ready: queue.SimpleQueue[int] = queue.SimpleQueue()  # a stream's number for each item that it can read
        rows = _Rows()
        self._streams = [
            Stream(model, request, rows, choice=number, on_put=partial(self._put, number))
            for number, request in enumerate(requests)
        ]
        self._error: Exception | None = None  # is raised by the next `take`
        self._unended = set(range(len(self._streams)))  # streams whose final status `take` has not returned
        for number, stream in enumerate(self._streams):
            if not stream.is_running:  # it has nothing to compute
                self._ready.put(number)
        self._deadline_s = min(stream.deadline_s for stream in self._streams)
        scheduler.submit(model, *rows.submitted)

    @property
    def is_running(self) -> bool:
        """Whether `take` may return more chunks."""
        return bool(self._unended)

    def take(self, wait_s: float) -> list[Characters]:
        """The chunks that are ready, each of one call and stream; waits `wait_s` seconds for the first if none is.

        The last chunk of each stream has its final status, and may be empty.

        Raises:
            Exception: the error with which the engine failed.
        """
        if self._error:
            raise self._error
        until_s = min(time.monotonic() + wait_s, self._deadline_s)
        while True:
            ready = self._ready_by(until_s)
            # One that has ended may have an item left. At the deadline, streams without an item end too.
            at_deadline = not ready and time.monotonic() >= self._deadline_s
            chunks = list(self._chunks(sorted(self._unended) if at_deadline else ready))
            if chunks or not ready:
                return chunks

    def results(self) -> list[Result]:
        """The results so far, which are final once `chunks` is exhausted or the streams are closed."""
        return [stream.result() for stream in self._streams]

    def close(self) -> None:
        """Free the rows, and cancel the streams that are running. A second call does nothing."""
        for stream in self._streams:
            stream.close()

    def _put(self, number: int) -> None:
        self._ready.put(number)
        if self.on_ready:
            self.on_ready()

    def _ready_by(self, until_s: float) -> list[int]:
        """The numbers of the streams with an item to read, one for each item; empty if there is none by then."""
        numbers: list[int] = []
        try:
            numbers.append(self._ready.get(timeout=max(0.0, until_s - time.monotonic())))
            for _ in range(self._ready.qsize()):  # not until it is empty: an engine may add items as fast
                numbers.append(self._ready.get_nowait())
        except queue.Empty:
            pass
        return numbers

    def _chunks(self, numbers: Sequence[int]) -> Iterator[Characters]:
        """The next chunk of each of these streams that has one. An error after the first chunk is kept for later."""
        count = 0
        for number in numbers:
            try:
                chunk = self._read(number)
            except Exception as error:
                for unended in self._unended:  # they fail with it; their client has not left
                    self._streams[unended].status = Status.ERROR
                if not count:
                    raise
                self._error = error
                return
            if chunk is not None:
                count += 1
                yield chunk

    def _read(self, number: int) -> Characters | None:
        """The next chunk of a stream; None if it is not ready, or if the stream has ended."""
        if number not in self._unended:
            return None
        stream = self._streams[number]
        characters = stream.read(0)
        if not stream.is_running:
            self._unended.remove(number)
            stream.close()  # others may run for long
            return characters
        return characters or None


class _Rows:
    """The rows of streams that are submitted together."""

    def __init__(self) -> None:
        self.submitted: list[Row] = []

    def submit(self, model: Model, row: Row) -> None:
        self.submitted.append(row)
