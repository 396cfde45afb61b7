from dataclasses import dataclass, field

import numpy as np

from service.generation.batch import Batch, Row
from tests.service.conftest import FakeModel, expected_text


@dataclass
class Heard:
    """Keeps what the batch tells a row's listener."""

    symbols: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    has_started: bool = False
    error: Exception | None = None

    def started(self) -> None:
        self.has_started = True

    def sampled(self, symbols, logprobs) -> None:
        self.symbols += symbols.tolist()
        self.logprobs += logprobs.tolist()

    def failed(self, error: Exception) -> None:
        self.error = error


def row(model: FakeModel, prompt: str = "", *, length: int = 5, seed: int = 1) -> tuple[Row, Heard]:
    heard = Heard()
    rule = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    return Row(model.text.encode(prompt), length=length, seed=seed, listener=heard, **rule), heard


def run(batch: Batch) -> None:
    while len(batch):
        batch.step()


def test_a_row_reads_its_prompt_then_samples_and_leaves(model: FakeModel) -> None:
    batch = Batch(model, slots=4, chunk=3)
    joined, heard = row(model, "cab", length=7, seed=42)
    batch.join(joined)
    assert heard.has_started
    run(batch)
    assert model.text.decode(heard.symbols) == expected_text("cab", 7, 42)
    # The state counted the prompt and every character.
    assert heard.logprobs == [-float(steps) for steps in range(3, 10)]


def test_neighbours_that_come_and_go_change_nothing(model: FakeModel) -> None:
    batch = Batch(model, slots=8, chunk=4)
    generator = np.random.default_rng(0)
    heard: list[tuple[str, int, int, Heard]] = []
    for seed in range(40):
        prompt, length = "jab"[: seed % 4], int(generator.integers(1, 30))
        while len(batch) == 8:
            batch.step()
        joined, listener = row(model, prompt, length=length, seed=seed)
        batch.join(joined)
        heard.append((prompt, length, seed, listener))
        for _ in range(generator.integers(0, 3)):
            batch.step()
    run(batch)
    for prompt, length, seed, listener in heard:
        assert model.text.decode(listener.symbols) == expected_text(prompt, length, seed)
        assert listener.logprobs == [-float(len(prompt) + step) for step in range(length)]


def test_a_cancelled_row_is_gone_before_the_next_call(model: FakeModel) -> None:
    batch = Batch(model, slots=4, chunk=2)
    (stays, stays_heard), (goes, goes_heard) = row(model, seed=1, length=6), row(model, seed=2, length=6)
    batch.join(goes)
    batch.join(stays)
    batch.step()
    goes.cancelled = True
    batch.step()
    assert len(model.calls[-1].previous) == 1
    assert len(goes_heard.symbols) == 2
    run(batch)
    assert model.text.decode(stays_heard.symbols) == expected_text("", 6, 1)


def test_rows_are_padded_to_the_models_multiple_and_padding_takes_no_step() -> None:
    model = FakeModel(row_multiple=4)
    batch = Batch(model, slots=6, chunk=2)
    for seed in range(5):
        batch.join(row(model, seed=seed, length=2)[0])
    batch.step()
    assert len(model.calls[0].previous) == 8
    assert model.calls[0].length.tolist() == [2] * 5 + [0] * 3
    assert model.calls[0].given.shape == (8, 2)


def test_where_a_row_has_left_the_padding_takes_no_step() -> None:
    model = FakeModel(row_multiple=4)
    batch = Batch(model, slots=4, chunk=2)
    for seed in range(4):
        batch.join(row(model, seed=seed, length=2 if seed else 4)[0])
    batch.step()
    batch.step()
    assert model.calls[1].length.tolist() == [2, 0, 0, 0]


def test_a_call_takes_no_more_steps_than_any_row_needs(model: FakeModel) -> None:
    batch = Batch(model, slots=4, chunk=16)
    batch.join(row(model, "abc", length=2)[0])
    batch.step()
    assert model.calls[0].given.shape == (1, 5)
    assert not len(batch)


def test_a_row_that_joins_where_another_was_begins_cold(model: FakeModel) -> None:
    batch = Batch(model, slots=1, chunk=4)
    for seed in (1, 2):
        joined, heard = row(model, length=4, seed=seed)
        batch.join(joined)
        run(batch)
        assert model.text.decode(heard.symbols) == expected_text("", 4, seed)
