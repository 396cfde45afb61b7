"""One row of a batch: symbols to follow, then symbols to sample. Knows ids and numbers, not text or other rows."""

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.sampling import SamplingParams
from service.model.guesses import NO_GUESSES, Guesses

log = logging.getLogger(__name__)

Followed = Callable[[NDArray[np.int32], NDArray[np.float32], Guesses], None]
"""Is called with the symbols that one call followed, their logprobs and the guesses."""


class Listener(Protocol):
    """Is called when a row advances: on the engine's thread when it joins, on the delivery thread afterwards."""

    def started(self) -> None:
        """The row has joined a batch."""

    def sampled(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses) -> bool:
        """The row has sampled these symbols; true if the listener needs no more of them, which ends the row."""

    def failed(self, error: Exception) -> None:
        """The row takes no further step."""


class Row:
    """Follows the symbols of `prompt`, then samples `length` symbols. Either number may be 0."""

    def __init__(
        self,
        prompt: NDArray[np.int32],
        *,
        length: int,
        sampling: SamplingParams,
        listener: Listener,
        on_followed: Followed | None = None,
        guesses: int = 0,
    ) -> None:
        """`on_followed` asks for the logprobs of the prompt: none of it is then taken from the prefix cache.

        `guesses` is the number of guesses before each symbol that the listener and `on_followed` get.
        """
        self.prompt = prompt
        self.sampling = sampling
        self.listener = listener
        self.guesses = guesses
        self.is_cancelled = False
        self.cached = 0  # symbols at the beginning of the prompt whose state was in the prefix cache
        self.to_sample = length
        self._length = length
        self._on_followed = on_followed
        self._followed = 0
        self._has_ended = False  # before all symbols were followed and sampled
        self._is_complete = False
        self._generator = sampling.generator()

    def __str__(self) -> str:
        """The parameters of the row without the symbols of its prompt, for the log."""
        parameters = f"{self.sampling}, length {self._length}"
        return f"{parameters}, prompt of {len(self.prompt)}, {self.to_sample} left to sample"

    @property
    def is_finished(self) -> bool:
        """Whether the row takes no further step."""
        return self.is_cancelled or self._has_ended or not (self.to_follow or self.to_sample)

    @property
    def may_use_cache(self) -> bool:
        """Whether the state after a beginning of the prompt may replace following it."""
        return len(self.prompt) > 0 and self._on_followed is None

    @property
    def prompt_guesses(self) -> int:
        """The number of guesses before each symbol of the prompt that are asked for."""
        return self.guesses if self._on_followed else 0

    @property
    def to_follow(self) -> int:
        """The number of symbols of the prompt that are still to be followed."""
        return len(self.prompt) - self._followed

    def cancel(self) -> None:
        """End the row before the engine's next call. Any thread may call it."""
        self.is_cancelled = True

    def end(self) -> None:
        """Take no further step."""
        self._has_ended = True

    def skip(self, symbols: int) -> None:
        """Start after the first symbols of the prompt."""
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
        return self._generator.random(sampled, dtype=np.float32)

    def deliver_followed(
        self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES
    ) -> None:
        """Pass on the symbols that a call followed, if they were asked for."""
        if self._on_followed:
            self._on_followed(symbols, logprobs, guesses)

    def deliver_sampled(
        self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES
    ) -> None:
        """Pass on the symbols that a call sampled, unless the listener needs no more.

        By then the row may have taken part in another call.
        """
        if not self._is_complete and self.listener.sampled(symbols, logprobs, guesses):
            self._is_complete = True
            self.end()

    def fail(self, error: Exception) -> None:
        """End the row, and pass the error to the listener."""
        self.end()
        try:
            self.listener.failed(error)
        except Exception:
            log.exception("The listener of a failed row (%s) raised an error.", self)
