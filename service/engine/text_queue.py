"""The engines' side of a generation: decodes the symbols of a row and queues their text for the request's thread.

Knows nothing of stop strings, deadlines or clients.
"""

import queue
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.model.codec import Decoded, Decoder
from service.model.guesses import NO_GUESSES, Guesses
from service.model.version import ModelVersion


class TextQueue:
    """The listener of a row (see `row.Listener`), until the row has sampled `length` characters."""

    def __init__(
        self,
        decoder: Decoder,
        version: ModelVersion,
        *,
        length: int,
        prompt_decoder: Decoder | None = None,
        on_put: Callable[[], None] | None = None,
    ) -> None:
        """Queue nothing yet.

        Args:
            decoder: decodes the sampled symbols.
            version: labels the metrics.
            length: characters to sample.
            prompt_decoder: decodes the followed symbols, if their logprobs are requested.
            on_put: is called after each item that is queued.
        """
        self.submitted_s = time.monotonic()
        self.started_s: float | None = None
        self._decoder = decoder
        self._version = version
        self._prompt_decoder = prompt_decoder
        self._on_put = on_put
        self._missing_chars = length
        self._queue: queue.SimpleQueue[Decoded | Exception] = queue.SimpleQueue()

    def started(self) -> None:
        """An engine has taken the row."""
        self.started_s = time.monotonic()
        metrics.QUEUE_SECONDS.labels(*self._version.labels).observe(self.started_s - self.submitted_s)

    def followed(
        self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES
    ) -> None:
        """Queue the characters of the prompt that these symbols complete."""
        assert self._prompt_decoder
        decoded = self._prompt_decoder.read(symbols, logprobs, guesses)
        if decoded.text:
            self._put(decoded)

    def sampled(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES) -> bool:
        """Queue the characters that these symbols complete; true once `length` characters are complete."""
        decoded = self._decoder.read(symbols, logprobs, guesses)
        if decoded.text:
            self._put(decoded)
        self._missing_chars -= len(decoded.text)
        return self._missing_chars <= 0

    def failed(self, error: Exception) -> None:
        """The row takes no further step."""
        self._put(error)

    def get(self, timeout_s: float) -> Decoded | None:
        """The characters of the next call; None if there are none within the timeout.

        Raises:
            Exception: the error with which the row failed.
        """
        try:
            item = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def _put(self, item: Decoded | Exception) -> None:
        self._queue.put(item)
        if self._on_put:
            self._on_put()
