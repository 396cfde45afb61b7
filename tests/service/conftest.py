"""A fake model whose sums can be done in the head: everything above TensorFlow is tested on it."""

import numpy as np
import pytest

from service.artifact.manifest import Manifest, Probe
from service.artifact.model import Stepped, Steps
from service.artifact.text import TextCodec

CHARACTERS = "abcdefghij"


class FakeModel:
    """Walks through the alphabet: after a symbol comes the next one, moved on by floor(uniform * 3).

    Its state counts the steps that a row has taken, so whoever loses or mixes states is found out.
    """

    def __init__(self, row_multiple: int = 1) -> None:
        fields = {"format": 1, "name": "fake", "version": 1, "vocabulary": [None, *CHARACTERS]}
        self.manifest = Manifest("fake", 1, "NFC", (None, *CHARACTERS), 1, 2, Probe("", 0, (), ()), fields)
        self.text = TextCodec(self.manifest)
        self.row_multiple = row_multiple
        self.calls: list[Steps] = []
        self.fails = False

    def cold_state(self, rows: int) -> np.ndarray:
        return np.zeros((2, rows, 2), np.float32)

    def advance(self, steps: Steps) -> Stepped:
        if self.fails:
            raise RuntimeError("the model broke")
        self.calls.append(Steps(**{name: array.copy() for name, array in vars(steps).items()}))
        rows, columns = steps.given.shape
        symbols, logprobs = np.zeros((rows, columns), np.int32), np.zeros((rows, columns), np.float32)
        previous, state = steps.previous.copy(), steps.state.copy()
        for row in range(rows):
            for t in range(steps.length[row]):
                moved = (previous[row] + int(steps.uniforms[row, t] * 3)) % len(CHARACTERS) + 1
                symbol = steps.given[row, t] if t < steps.given_length[row] else moved
                symbols[row, t], previous[row] = symbol, symbol
                logprobs[row, t] = -state[0, row, 0]
                state[:, row] += 1
        return Stepped(symbols, logprobs, previous, state)


def expected_text(prompt: str, length: int, seed: int) -> str:
    """What `FakeModel` writes, by a second computation."""
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(length, dtype=np.float32)
    previous = CHARACTERS.find(prompt[-1]) + 1 if prompt else 0
    text = ""
    for uniform in uniforms:
        previous = (previous + int(uniform * 3)) % len(CHARACTERS) + 1
        text += CHARACTERS[previous - 1]
    return text


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()
