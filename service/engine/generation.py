"""The values of one generation: its request, its status, the characters that it generates and its result."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.engine.sampling import SamplingParams
from service.model.guesses import NO_GUESSES, Guesses
from service.model.version import ModelVersion

LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """The same request to the same version of a model gives the same text."""

    prompt: str
    length: int  # characters to generate, at most; 0: none
    sampling: SamplingParams
    stop: tuple[str, ...] = ()
    echo: bool = False  # the characters of the prompt come first, with their logprobs
    guesses: int = 0  # the most likely symbols before each character, 0 to 5
    timeout_s: float = math.inf


class Status(StrEnum):
    """The status of a generation; all but `RUNNING` are final."""

    RUNNING = "running"
    LENGTH = "length"  # it has generated the characters that were requested
    STOP = "stop"  # it has met a stop string
    TIMEOUT = "timeout"
    ERROR = "error"  # the engine failed
    CANCELLED = "cancelled"  # it was closed while it was running


Top = list[list[tuple[str, float]]]
"""The guesses before each character, the most likely one first: a symbol as text, and its logprob."""


@dataclass(frozen=True)
class Characters:
    """Consecutive characters of a stream; false if there are none."""

    index: int  # of the first; the echo counts
    text: str
    logprobs: NDArray[np.float32]  # natural logs of the model's own probabilities, before temperature and filters
    choice: int = 0  # the number of the stream among those of its request
    status: Status = Status.RUNNING  # of the stream after these characters
    guesses: Guesses = field(default_factory=lambda: NO_GUESSES)  # before each character, if the request asks for them
    symbol_texts: tuple[str, ...] = ()  # by the ids in `guesses`

    def __bool__(self) -> bool:
        return bool(self.text)

    def decimals(self) -> list[str]:
        """The logprobs as decimals (see `decimals_of`)."""
        decimals: list[str] = decimals_of(self.logprobs)
        return decimals

    def top(self) -> Top:
        """The guesses before each character; empty if the request asks for none."""
        texts = self.symbol_texts
        return [
            [(texts[id_], float(decimal)) for id_, decimal in zip(ids, decimals, strict=True)]
            for ids, decimals in zip(self.guesses["symbol"].tolist(), decimals_of(self.guesses["logprob"]), strict=True)
        ]


def top_of(chunks: Iterable[Characters]) -> Top:
    """The guesses before each character of all chunks; empty if they have none."""
    return [guesses for characters in chunks for guesses in characters.top()]


def decimals_of(logprobs: NDArray[np.float32]) -> list[Any]:
    """The numbers of `json_of` as texts, nested as the array [T] or [T, K]."""
    decimals = json_of(logprobs.ravel())[1:-1].decode().split(",") if logprobs.size else []
    if logprobs.ndim == 1:
        return decimals
    rows, width = logprobs.shape
    return [decimals[row * width : (row + 1) * width] for row in range(rows)]


def json_of(logprobs: NDArray[np.float32]) -> bytes:
    """A JSON array of the shortest decimals that identify each float32: -2.8345897, not -2.834589719772339.

    JSON has no infinity: the logprob of an impossible character is the lowest float32.
    """
    finite = np.ascontiguousarray(np.maximum(logprobs, LOWEST))
    return orjson.dumps(finite, option=orjson.OPT_SERIALIZE_NUMPY)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The text and the measurements of a generation: partial while `status` is `RUNNING`, else final."""

    version: ModelVersion
    seed: int
    status: Status
    text: str
    logprobs: list[float]
    prompt_chars: int
    cached_chars: int
    unknown_chars: int
    queue_ms: float
    first_char_ms: float | None
    total_ms: float
    echo: str = ""  # the characters of the prompt that were read, if the request wants an echo
    echo_logprobs: list[float] = field(default_factory=list)
    chunks: Sequence[Characters] = ()  # of `text`, with the guesses if the request asks for them
    echo_chunks: Sequence[Characters] = ()

    @property
    def chars_per_second(self) -> float:
        """Characters over the whole time, including the time in the queue."""
        return len(self.text) / (self.total_ms / 1000)

    @property
    def timings(self) -> dict[str, float | None]:
        """The times by name, rounded to microseconds."""
        first_char_ms = None if self.first_char_ms is None else round(self.first_char_ms, 3)
        return {
            "queue_ms": round(self.queue_ms, 3),
            "first_char_ms": first_char_ms,
            "total_ms": round(self.total_ms, 3),
        }
