"""One stream as a batch sees it. Knows ids and numbers; nothing of text, threads or its neighbours."""

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.sampling import SamplingParams

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears, on the engine's thread, what becomes of a row."""

    def started(self) -> None:
        """The row has joined a batch."""

    def sampled(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> None:
        """One call sampled these; perhaps none, while the prompt is still being read."""

    def failed(self, error: Exception) -> None:
        """The row's batch cannot go on."""


class Row:
    """One stream as the batch sees it: symbols to follow, then symbols to sample, each with its own uniform."""

    def __init__(
        self,
        prompt: NDArray[np.int32],
        *,
        length: int,
        sampling: SamplingParams,
        listener: Listener,
    ) -> None:
        self.prompt = prompt
        self.sampling = sampling
        self.listener = listener
        self._length = length
        self.cancelled = False  # set from any thread; seen before the next call
        self.cached = 0  # symbols of the prompt that need not be followed: their state was known
        self.has_sampled = False
        self.to_sample = length
        self._followed = 0
        self._was_heard = False
        self._untold: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
        self._generator = sampling.generator()

    def __str__(self) -> str:
        """What was asked for, but for the text of the prompt."""
        asked = f"{self.sampling}, length {self._length}"
        return f"{asked}, prompt of {len(self.prompt)}, {self.to_sample} left to sample"

    @property
    def is_finished(self) -> bool:
        """Whether every step is taken, or the client has left."""
        return self.cancelled or self.to_sample == 0

    @property
    def to_follow(self) -> int:
        """Symbols of the prompt that are still to be read."""
        return len(self.prompt) - self._followed

    def skip(self, symbols: int) -> None:
        """Begin after the first symbols of the prompt."""
        self._followed = self.cached = symbols

    def follow(self, steps: int) -> NDArray[np.int32]:
        """The next symbols of the prompt, at most `steps`."""
        given = self.prompt[self._followed : self._followed + steps]
        self._followed += len(given)
        return given

    def sample(self, steps: int) -> NDArray[np.float32]:
        """The uniforms of the next symbols to sample, at most `steps`."""
        sampled = min(steps, self.to_sample)
        self.to_sample -= sampled
        self.has_sampled = True
        return self._generator.random(sampled, dtype=np.float32)

    def deliver(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], *, hold: bool) -> None:
        """Tell the listener what was sampled; with `hold` only when more comes, unless it is the first or last.

        To tell one costs a stream more than to compute some characters.
        """
        self._untold.append((symbols, logprobs))
        if hold and self._was_heard and not self.is_finished:
            return
        if len(self._untold) > 1:
            symbols, logprobs = map(np.concatenate, zip(*self._untold, strict=True))
        self._untold, self._was_heard = [], True
        self.listener.sampled(symbols, logprobs)

    def fail(self, error: Exception) -> None:
        """Tell the listener that there is nothing more to come. The row takes no further step."""
        self.cancelled = True
        try:
            self.listener.failed(error)
        except Exception:
            log.exception("The listener of a row that failed (%s) raised an error.", self)
