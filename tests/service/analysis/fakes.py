"""Fake models with the function `inspect`, and a model whose calls wait."""

from dataclasses import replace

import numpy as np

from service.model.model import Inspected, Stepped, Steps
from tests.service.fakes import FakeByteModel, FakeModel


class InspectingModel(FakeModel):
    """Each output of `inspect` shows the number of the step, which the state counts."""

    def __init__(self) -> None:
        super().__init__()
        self.inspected: list[int] = []  # symbols of each call

    def inspect(self, symbols: np.ndarray, state: np.ndarray) -> Inspected:
        count = symbols.shape[1]
        self.inspected.append(count)
        steps = state[0, 0, 0] + np.arange(count, dtype=np.float32)
        return Inspected(
            logprobs=-steps[None],
            top_symbols=np.tile(np.arange(5, dtype=np.int32), (1, count, 1)),
            top_logprobs=(-steps[:, None] - np.arange(5, dtype=np.float32) / 10)[None],
            activations=((steps[:, None, None] + [[0.25, 0.5]]) / 1000).astype(np.float32)[None],
            state=state + count,
        )


class InspectingByteModel(FakeByteModel, InspectingModel):
    """The same on bytes."""


class ActiveModel(FakeModel):
    """A model of two layers whose activations are given, in the order of the symbols."""

    def __init__(self, activations: np.ndarray) -> None:
        """`activations` [symbols, 2, units]."""
        super().__init__()
        self.manifest = replace(self.manifest, layers=2, units=activations.shape[2])
        self.activations = activations.astype(np.float32)
        self.inspected: list[int] = []  # symbols of each call

    def inspect(self, symbols: np.ndarray, state: np.ndarray) -> Inspected:
        first, count = sum(self.inspected), symbols.shape[1]
        self.inspected.append(count)
        return Inspected(
            logprobs=np.zeros((1, count), np.float32),
            top_symbols=np.zeros((1, count, 5), np.int32),
            top_logprobs=np.zeros((1, count, 5), np.float32),
            activations=self.activations[None, first : first + count],
            state=state,
        )


class LongReader(FakeModel):
    """A model that follows any number of symbols in one operation."""

    def advance(self, steps: Steps) -> Stepped:
        logprobs = np.full(steps.given.shape, -1, np.float32)
        return Stepped(steps.given, logprobs, steps.previous, steps.state)
