"""A fake model whose sums can be done in the head: everything above TensorFlow is tested on it."""

import numpy as np

from service.model.codec import TextCodec
from service.model.manifest import Manifest, Probe
from service.model.model import Stepped, Steps

CHARACTERS = "abcdefghij"
BYTES = (*"é😀€\n".encode(), 0x61, 0xED, 0xC0, 0xF5)  # whole characters and broken ones, in any order of these


class FakeModel:
    """Walks through the alphabet: after a symbol comes the next one, moved on by floor(uniform * 3).

    Its state counts the steps that a row has taken, so whoever loses or mixes states is found out.
    """

    def __init__(self, row_multiple: int = 1) -> None:
        self.manifest = manifest("char", (None, *CHARACTERS))
        self.text = TextCodec(self.manifest)
        self.row_multiple = row_multiple
        self.calls: list[Steps] = []
        self.fails = False

    def initial_state(self, rows: int) -> np.ndarray:
        return np.zeros((2, rows, 2), np.float32)

    def advance(self, steps: Steps) -> Stepped:
        if self.fails:
            raise RuntimeError("the model broke")
        self.calls.append(Steps(**{name: array.copy() for name, array in vars(steps).items()}))
        rows, columns = steps.given.shape
        # The contract's, also for rows that nobody hears: no row takes, or is given, more steps than there are.
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

    def draw(self, previous: int, uniform: float) -> int:
        return (previous + int(uniform * 3)) % len(CHARACTERS) + 1


class FakeByteModel(FakeModel):
    """Any byte after any other, by the uniform alone."""

    def __init__(self) -> None:
        super().__init__()
        self.manifest = manifest("byte", (None, *dict.fromkeys(BYTES)))
        self.text = TextCodec(self.manifest)

    def draw(self, previous: int, uniform: float) -> int:
        return int(uniform * (self.manifest.symbols - 1)) + 1


def manifest(unit: str, vocabulary: tuple[str | int | None, ...]) -> Manifest:
    """Of a model that is not there: an LSTM of one layer with two units."""
    fields = {"format": 1, "name": "fake", "version": 1, "vocabulary": list(vocabulary)}
    normalization = "NFC" if unit == "char" else "none"
    return Manifest("fake", 1, unit, normalization, vocabulary, "lstm", 1, 2, Probe("", 0, (), ()), fields)


def whole_characters(data: bytes) -> list[tuple[str, int]]:
    """What a decoder that replaces errors makes of bytes: each character, and how many bytes it took."""
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


def characters_drawn(length: int, seed: int) -> list[tuple[str, int]]:
    """The characters that `FakeByteModel` writes and how many bytes each is, by a second computation."""
    known = list(dict.fromkeys(BYTES))
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(4 * length, dtype=np.float32)
    return whole_characters(bytes(known[int(u * len(known))] for u in uniforms))[:length]


def expected_characters(prompt: str, length: int, seed: int) -> list[tuple[str, float]]:
    """The characters that `FakeByteModel` writes, with their logprobs: the sums of their bytes' places."""
    step = len(prompt.encode())
    expected = []
    for character, size in characters_drawn(length, seed):
        expected.append((character, -float(sum(range(step, step + size)))))
        step += size
    return expected


def expected_text(prompt: str, length: int, seed: int) -> str:
    """What `FakeModel` writes, by a second computation."""
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(length, dtype=np.float32)
    previous = CHARACTERS.find(prompt[-1]) + 1 if prompt else 0
    text = ""
    for uniform in uniforms:
        previous = (previous + int(uniform * 3)) % len(CHARACTERS) + 1
        text += CHARACTERS[previous - 1]
    return text
