"""One generation: prompt -> ids -> characters, with stop strings, finish reasons, cancellation. No HTTP.

Two threads meet here and only in a queue: the engine's puts in the text that it sampled, the request's takes it out.
How many symbols a character is, the model's codec knows.
"""

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.artifact.model import Model
from service.generation.batch import Row
from service.generation.scheduler import Scheduler


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a text is to be made from; the same request gives the same text."""

    prompt: str
    length: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Character:
    """One character of a generated text."""

    index: int
    text: str
    logprob: float  # the model's own, natural log, whatever temperature and filters chose it


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is known when a generation is over."""

    finish_reason: str  # "length" or "stop"
    text: str
    logprobs: list[float]
    prompt_chars: int
    unknown_chars: int
    queue_ms: float
    first_char_ms: float
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
        prompt = model.text.normalize(request.prompt)
        self._prompt_chars = len(prompt)
        self._unknown_chars = model.text.unknown_chars(prompt)
        self._length = self._remaining = request.length  # the request's thread counts what it took out,
        self._unsampled = request.length  # and the engine's what it put in
        self._decoder = model.text.decoder()
        self._stop = _StopStrings(request.stop)
        self._characters: list[Character] = []
        self._submitted_s = time.monotonic()
        self._started_s = self._first_s = self._submitted_s
        self._row = Row(
            model.text.encode(prompt),
            length=request.length * model.text.max_symbols_per_char,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            seed=request.seed,
            listener=self,
        )
        scheduler.submit(model, self._row)

    def chunks(self, wait_s: float) -> Iterator[list[Character]]:
        """The text as it comes, some characters at a time; an empty list when none came for `wait_s` seconds.

        Raises:
            Exception: whatever made the engine fail.
        """
        while self._remaining and not self._stop.found:
            try:
                sampled = self._sampled.get(timeout=wait_s)
            except queue.Empty:
                yield []
                continue
            if isinstance(sampled, Exception):
                raise sampled
            if characters := self._read(*sampled):
                yield characters

    def result(self) -> Result:
        """The whole of it, once `chunks` is exhausted."""
        now = time.monotonic()
        return Result(
            finish_reason="stop" if self._stop.found else "length",
            text="".join(character.text for character in self._characters),
            logprobs=[character.logprob for character in self._characters],
            prompt_chars=self._prompt_chars,
            unknown_chars=self._unknown_chars,
            queue_ms=(self._started_s - self._submitted_s) * 1000,
            first_char_ms=(self._first_s - self._submitted_s) * 1000,
            total_ms=(now - self._submitted_s) * 1000,
        )

    def close(self) -> None:
        """Give the row back, wherever the generation stands."""
        self._row.cancelled = True

    def started(self) -> None:
        """The engine has taken the row (see `batch.Listener`)."""
        self._started_s = time.monotonic()

    def sampled(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> None:
        """The engine sampled these (see `batch.Listener`)."""
        # The batch writes over its arrays; these outputs are the call's own.
        text, logprobs = self._decoder.read(symbols, logprobs)
        if text:
            self._sampled.put((text, logprobs))
        self._unsampled -= len(text)
        if self._unsampled <= 0:
            self._row.cancelled = True  # it may have steps left, for characters of more symbols than these were

    def failed(self, error: Exception) -> None:
        """The engine cannot go on (see `batch.Listener`)."""
        self._sampled.put(error)

    def _read(self, text: str, logprobs: NDArray[np.float32]) -> list[Character]:
        """The characters that may be sent now; what may yet become a stop string is held back."""
        if self._remaining == self._length:
            self._first_s = time.monotonic()
        ready: list[Character] = []
        # The shortest decimals that name these float32 numbers: -2.8345897, not -2.834589719772339.
        decimals = map(float, logprobs.astype(str))
        for character, logprob in zip(text, decimals, strict=True):
            index = self._length - self._remaining
            ready += self._stop.release(Character(index, character, logprob))
            self._remaining -= 1
            if self._stop.found or not self._remaining:
                break
        if not self._remaining:
            ready += self._stop.rest()
        self._characters += ready
        return ready


class _StopStrings:
    """Lets characters through until one of some strings has come; the string itself is never let through."""

    def __init__(self, strings: tuple[str, ...]) -> None:
        self.found = False
        self._strings = strings
        self._held: list[Character] = []

    def release(self, character: Character) -> list[Character]:
        """The characters that can no longer be part of a stop string, now that `character` came."""
        if not self._strings:
            return [character]
        self._held.append(character)
        text = "".join(held.text for held in self._held)
        for string in self._strings:
            if text.endswith(string):
                self.found = True
                released, self._held = self._held[: -len(string)], []
                return released
        keep = max(_overlap(text, string) for string in self._strings)
        released, self._held = self._held[: len(text) - keep], self._held[len(text) - keep :]
        return released

    def rest(self) -> list[Character]:
        """What was held back, when nothing more will come."""
        released, self._held = self._held, []
        return released


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of `text` that `string` begins with."""
    longest = min(len(text), len(string) - 1)
    return next(size for size in range(longest, -1, -1) if text.endswith(string[:size]))
