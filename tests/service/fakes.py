"""Fake models with simple arithmetic, a listener that records, and the texts that they must generate."""

import threading
from typing import Any

import numpy as np

from service.model.codec import TextCodec
from service.model.guesses import MAX_GUESSES
from service.model.manifest import Manifest, Probe
from service.model.model import MissingFunction, Stepped, SteppedTop, Steps

CHARACTERS = "abcdefghij"
BYTES = (*"é😀€\n".encode(), 0x61, 0xED, 0xC0, 0xF5)  # of valid and of invalid UTF-8


class FakeModel:
    """After a symbol comes the next one of the alphabet, or, by the whole part of uniform * 3, a later one.

    Its state counts the steps of a row, and a symbol's logprob is minus that count: lost or mixed states show.
    """

    def __init__(self, row_multiple: int = 1) -> None:
        self.manifest = manifest("char", (None, *CHARACTERS))
        self.text = TextCodec(self.manifest)
        self.row_multiple = row_multiple
        self.calls: list[Steps] = []
        self.calls_with_guesses: list[int] = []  # indices of `calls`
        self.functions = {"advance", "advance_top", "inspect"}
        self.fails = False

    def initial_state(self, rows: int) -> np.ndarray:
        return np.zeros((2, rows, 2), np.float32)

    def advance(self, steps: Steps) -> Stepped:
        if self.fails:
            raise RuntimeError("the model broke")
        self.calls.append(Steps(**{name: array.copy() for name, array in vars(steps).items()}))
        rows, columns = steps.given.shape
        # The contract holds for padding too: no row takes or follows more steps than the call has.
        assert 0 <= steps.given_length.min() <= steps.length.max() <= columns
        assert steps.given_length.max() <= columns
        symbols, logprobs = np.zeros((rows, columns), np.int32), np.zeros((rows, columns), np.float32)
        previous, state = steps.previous.copy(), steps.state.copy()
        for row in range(rows):
            for t in range(steps.length[row]):
                drawn = self.draw(previous[row], steps.uniforms[row, t])
                symbol = steps.given[row, t] if t < steps.given_length[row] else drawn
                symbols[row, t], previous[row] = symbol, symbol
                logprobs[row, t] = -state[0, row, 0]
                state[:, row] += 1
        return Stepped(symbols, logprobs, previous, state)

    def advance_top(self, steps: Steps) -> SteppedTop:
        """The guesses are the next symbols of the alphabet; the logprobs are those of the step and less."""
        found = self.advance(steps)
        self.calls_with_guesses.append(len(self.calls) - 1)
        before = np.concatenate([steps.previous[:, None], found.symbols[:, :-1]], axis=1)[:, :, None]
        ranks = np.arange(MAX_GUESSES, dtype=np.int32)
        symbols = (before + ranks) % (self.manifest.symbols - 1) + 1
        logprobs = (found.logprobs[:, :, None] - ranks / 8).astype(np.float32)
        return SteppedTop(**vars(found), top_symbols=symbols.astype(np.int32), top_logprobs=logprobs)

    def require(self, function: str) -> None:
        if function not in self.functions:
            raise MissingFunction(f"Version fake/1 was published without the function {function!r}.")

    def draw(self, previous: int, uniform: float) -> int:
        return (previous + int(uniform * 3)) % len(CHARACTERS) + 1


class FakeByteModel(FakeModel):
    """The uniform alone chooses a byte."""

    def __init__(self) -> None:
        super().__init__()
        self.manifest = manifest("byte", (None, *dict.fromkeys(BYTES)))
        self.text = TextCodec(self.manifest)

    def draw(self, previous: int, uniform: float) -> int:
        return int(uniform * (self.manifest.symbols - 1)) + 1


class Gate(FakeModel):
    """A model whose calls wait for a permit."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(0)

    def advance(self, steps: Steps) -> Stepped:
        assert self.permits.acquire(timeout=10)
        return super().advance(steps)


class Picky(FakeModel):
    """Fails in every call with a row of one temperature, as a published graph does at some `top_p`."""

    def __init__(self, refused: float, row_multiple: int = 4) -> None:
        super().__init__(row_multiple)
        self.refused = refused
        self.attempts = 0

    def advance(self, steps: Steps) -> Stepped:
        self.attempts += 1
        if (steps.temperature == np.float32(self.refused)).any():
            raise RuntimeError("indices[3] = 66 is not in [0, 66)")
        return super().advance(steps)


class FailsOnce(FakeModel):
    """Fails in its first call only."""

    has_failed = False

    def advance(self, steps: Steps) -> Stepped:
        if not self.has_failed:
            self.has_failed = True
            raise MemoryError
        return super().advance(steps)


class Recorder:
    """A row's listener that records every call."""

    def __init__(self) -> None:
        self.symbols: list[int] = []
        self.logprobs: list[float] = []
        self.guesses: list[list[tuple[int, float]]] = []
        self.has_started = False
        self.error: Exception | None = None

    def started(self) -> None:
        self.has_started = True

    def sampled(self, symbols: Any, logprobs: Any, guesses: Any) -> bool:
        self.symbols += symbols.tolist()
        self.logprobs += logprobs.tolist()
        self.guesses += guesses.tolist()
        return False

    def failed(self, error: Exception) -> None:
        self.error = error


def manifest(unit: str, vocabulary: tuple[str | int | None, ...]) -> Manifest:
    """The manifest of a fake LSTM of one layer with two units."""
    fields = {"format": 1, "name": "fake", "version": 1, "vocabulary": list(vocabulary)}
    normalization = "NFC" if unit == "char" else "none"
    return Manifest("fake", 1, unit, normalization, vocabulary, "lstm", 1, 2, Probe("", 0, (), ()), fields)


def whole_characters(data: bytes) -> list[tuple[str, int]]:
    """The characters of bytes, with replacements for errors, and the number of bytes of each."""
    characters: list[tuple[str, int]] = []
    while data:
        try:
            valid, broken = data.decode(), 0
        except UnicodeDecodeError as error:
            valid, broken = data[: error.start].decode(), error.end - error.start
        characters += [(character, len(character.encode())) for character in valid]
        characters += [("\ufffd", broken)] * (broken > 0)
        data = data[len(valid.encode()) + broken :]
    return characters


def expected_top(prompt: str, text: str, count: int) -> list[list[tuple[str, float]]]:
    """The guesses of `FakeModel` before each character of a text after a prompt."""
    tops = []
    for step in range(len(prompt), len(prompt) + len(text)):
        before = CHARACTERS.find((prompt + text)[step - 1]) + 1 if step else 0
        tops.append([(CHARACTERS[(before + rank) % 10], -step - rank / 8) for rank in range(count)])
    return tops


def characters_drawn(length: int, seed: int) -> list[tuple[str, int]]:
    """The characters that `FakeByteModel` generates and the number of bytes of each, by a second computation."""
    known = list(dict.fromkeys(BYTES))
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(4 * length, dtype=np.float32)
    return whole_characters(bytes(known[int(u * len(known))] for u in uniforms))[:length]


def expected_characters(prompt: str, length: int, seed: int) -> list[tuple[str, float]]:
    """The characters that `FakeByteModel` generates, with their logprobs: minus the sums of their bytes' steps."""
    step = len(prompt.encode())
    expected = []
    for character, size in characters_drawn(length, seed):
        expected.append((character, -float(sum(range(step, step + size)))))
        step += size
    return expected


def expected_text(prompt: str, length: int, seed: int) -> str:
    """The text that `FakeModel` generates, by a second computation."""
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(length, dtype=np.float32)
    previous = CHARACTERS.find(prompt[-1]) + 1 if prompt else 0
    text = ""
    for uniform in uniforms:
        previous = (previous + int(uniform * 3)) % len(CHARACTERS) + 1
        text += CHARACTERS[previous - 1]
    return text
