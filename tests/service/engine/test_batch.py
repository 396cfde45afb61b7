from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pytest

from service.engine.batch import FIRST_CHARS, Batch
from service.engine.call import UnusableOutput
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.sampling import SMALLEST_NORMAL, SamplingParams
from service.model.model import Stepped, Steps
from tests.service.fakes import FakeModel, expected_text


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


def row(
    model: FakeModel, prompt: str = "", *, length: int = 5, seed: int = 1, temperature: float = 1
) -> tuple[Row, Heard]:
    heard, sampling = Heard(), SamplingParams(seed=seed, temperature=temperature)
    return Row(model.text.encode(prompt), length=length, sampling=sampling, listener=heard), heard


def batch_of(model: FakeModel, *, slots: int, chunk: int, cache: PrefixCache | None = None) -> Batch:
    return Batch(model, slots=slots, chunk=chunk, cache=cache or PrefixCache(0))


def run(batch: Batch) -> None:
    while len(batch):
        batch.step()


def test_a_row_reads_its_prompt_then_samples_and_leaves(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=3)
    joined, heard = row(model, "cab", length=7, seed=42)
    batch.join(joined)
    assert heard.has_started
    run(batch)
    assert model.text.decode(heard.symbols) == expected_text("cab", 7, 42)
    # The state counted the prompt and every character.
    assert heard.logprobs == [-float(steps) for steps in range(3, 10)]


def test_neighbours_that_come_and_go_change_nothing(model: FakeModel) -> None:
    batch = batch_of(model, slots=8, chunk=4)
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


def test_what_a_row_leaves_behind_asks_for_no_more_steps_than_a_later_call_has() -> None:
    model = FakeModel(row_multiple=4)  # which checks what it is asked for
    batch = batch_of(model, slots=8, chunk=5)
    for prompts in (["abcde", "abcde"], ["a"]):
        for prompt in prompts:
            batch.join(row(model, prompt, length=1)[0])
        run(batch)
    assert [call.given.shape for call in model.calls] == [(4, 5), (4, 1), (4, 1), (4, 1)]


def test_a_cancelled_row_is_gone_before_the_next_call(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=4)
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


def test_rows_are_padded_to_the_models_multiple() -> None:
    model = FakeModel(row_multiple=4)
    batch = batch_of(model, slots=6, chunk=2)
    for seed in range(5):
        batch.join(row(model, seed=seed, length=1)[0])
    batch.step()
    assert model.calls[0].given.shape == (8, 1)


def test_every_row_of_a_call_takes_all_its_steps_and_none_gets_more_than_it_asked_for(model: FakeModel) -> None:
    batch = batch_of(model, slots=2, chunk=8)
    (short, short_heard), (long, long_heard) = row(model, length=3, seed=1), row(model, length=9, seed=2)
    batch.join(short)
    batch.join(long)
    run(batch)
    for call in model.calls:
        assert (call.length == call.given.shape[1]).all()
    assert model.text.decode(short_heard.symbols) == expected_text("", 3, 1)
    assert model.text.decode(long_heard.symbols) == expected_text("", 9, 2)


def test_filters_leave_with_their_row() -> None:
    model = FakeModel(row_multiple=4)
    batch = batch_of(model, slots=4, chunk=4)
    heard = Heard()
    for length, top_k in ((9, 0), (1, 3)):
        sampling = SamplingParams(seed=1, top_k=top_k)
        batch.join(Row(np.zeros(0, np.int32), length=length, sampling=sampling, listener=heard))
    run(batch)
    assert model.calls[0].top_k.tolist() == [0, 3, 0, 0]
    assert model.calls[-1].top_k.tolist() == [0, 0, 0, 0]


def steps_of(model: FakeModel) -> list[int]:
    return [call.given.shape[1] for call in model.calls]


@pytest.mark.parametrize(("rows", "steps"), [(1, 32), (4, 32), (8, 16), (32, 8), (33, 32)])
def test_first_characters_come_soon_and_calls_are_long_for_few_rows_and_for_many(
    model: FakeModel, rows: int, steps: int
) -> None:
    batch = batch_of(model, slots=64, chunk=32)
    for seed in range(rows):
        batch.join(row(model, length=70, seed=seed)[0])
    run(batch)
    assert steps_of(model)[:3] == [FIRST_CHARS, steps, steps]


def test_where_many_run_a_newcomers_short_call_is_told_to_them_with_the_next_one(model: FakeModel) -> None:
    batch = batch_of(model, slots=2, chunk=8)
    (old, old_heard), (new, new_heard) = row(model, length=40, seed=1), row(model, length=40, seed=2)
    batch.join(old)
    batch.step()
    batch.join(new)
    told = []
    for _ in range(3):
        batch.step()
        told.append((len(old_heard.symbols), len(new_heard.symbols)))
    assert told == [(2, 2), (12, 10), (20, 18)]
    run(batch)
    assert model.text.decode(old_heard.symbols) == expected_text("", 40, 1)
    assert model.text.decode(new_heard.symbols) == expected_text("", 40, 2)


def test_a_long_prompt_advances_beside_the_others(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=16)
    talks, talks_heard = row(model, length=60)
    reads, reads_heard = row(model, "abcdefghij" * 10, length=10)
    batch.join(talks)
    batch.step()
    batch.join(reads)
    while not reads_heard.symbols:
        before = len(talks_heard.symbols)
        batch.step()
        assert len(talks_heard.symbols) > before or len(talks_heard.symbols) == 60
    run(batch)
    assert model.text.decode(talks_heard.symbols) == expected_text("", 60, 1)
    assert model.text.decode(reads_heard.symbols) == expected_text("abcdefghij" * 10, 10, 1)


def test_a_known_prompt_is_not_read_again_and_an_extended_one_only_where_it_is_new(model: FakeModel) -> None:
    cache = PrefixCache(1_000_000)
    batch = batch_of(model, slots=4, chunk=16, cache=cache)
    for prompt, known in (("abcabc", 0), ("abcabc", 6), ("abcabcjj", 6), ("abcabcjj", 8), ("abc", 0), ("jabcabc", 0)):
        model.calls.clear()
        joined, heard = row(model, prompt, length=20, seed=7)
        batch.join(joined)
        run(batch)
        assert joined.cached == known
        assert model.text.decode(heard.symbols) == expected_text(prompt, 20, 7)
        assert heard.logprobs == [-float(len(prompt) + step) for step in range(20)]  # of the state's count
        assert sum(call.given_length.sum() for call in model.calls) == len(prompt) - known


def test_a_call_takes_no_more_steps_than_any_row_needs(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=16)
    batch.join(row(model, "abc", length=1)[0])
    batch.step()
    assert [call.given.shape for call in model.calls] == [(1, 3), (1, 1)]  # it read, then it wrote
    assert not len(batch)


def test_prompts_of_any_length_are_read_together_and_each_row_writes_as_soon_as_it_is_through(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=8)
    prompts = ["abc", "abcdefghij" * 2, "j", ""]
    heard = []
    for prompt in prompts:
        joined, listener = row(model, prompt, length=12, seed=3)
        batch.join(joined)
        heard.append(listener)
    batch.step()
    assert [len(listener.symbols) for listener in heard] == [FIRST_CHARS, 0, FIRST_CHARS, FIRST_CHARS]
    run(batch)
    for prompt, listener in zip(prompts, heard, strict=True):
        assert model.text.decode(listener.symbols) == expected_text(prompt, 12, 3)
        assert listener.logprobs == [-float(len(prompt) + step) for step in range(12)]


def test_a_row_that_joins_where_another_was_begins_cold(model: FakeModel) -> None:
    batch = batch_of(model, slots=1, chunk=4)
    for seed in (1, 2):
        joined, heard = row(model, length=4, seed=seed)
        batch.join(joined)
        run(batch)
        assert model.text.decode(heard.symbols) == expected_text("", 4, seed)


class Picky(FakeModel):
    """A model that cannot advance a row of one temperature, as a published graph could not at some top_p."""

    def __init__(self, refused: float, row_multiple: int = 4) -> None:
        super().__init__(row_multiple)
        self.refused = refused
        self.attempts = 0

    def advance(self, steps: Steps) -> Stepped:
        self.attempts += 1
        if (steps.temperature == np.float32(self.refused)).any():
            raise RuntimeError("indices[3] = 66 is not in [0, 66)")
        return super().advance(steps)


def rows_with(batch: Batch, model: FakeModel, guilty: dict[int, float], *, rows: int = 20) -> list[Heard]:
    heard = []
    for index in range(rows):
        temperature = guilty.get(index, 1)
        joined, listener = row(model, "jab"[: index % 4], length=9, seed=index, temperature=temperature)
        batch.join(joined)
        heard.append(listener)
    return heard


def assert_only_these_fail(model: FakeModel, heard: list[Heard], guilty: Collection[int], error: type) -> None:
    for index, listener in enumerate(heard):
        prompt = "jab"[: index % 4]
        if index in guilty:
            assert isinstance(listener.error, error)
            continue
        assert listener.error is None
        assert model.text.decode(listener.symbols) == expected_text(prompt, 9, index)
        assert listener.logprobs == [-float(len(prompt) + step) for step in range(9)]


@pytest.mark.parametrize("guilty", [{0}, {19}, {3, 4, 11}, set(range(1, 20))])
def test_of_a_call_that_fails_only_the_guilty_rows_fail_and_their_parameters_are_logged(
    guilty: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    model = Picky(0.25)
    batch = batch_of(model, slots=20, chunk=4)
    heard = rows_with(batch, model, dict.fromkeys(guilty, 0.25))
    run(batch)
    assert_only_these_fail(model, heard, guilty, RuntimeError)
    lines = [record.message for record in caplog.records if "A row of fake 1 failed" in record.message]
    for index in guilty:
        rule = f"temperature 0.25, top_k 0, top_p 1, seed {index}, length 9, prompt of {index % 4}"
        assert sum(rule in line for line in lines) == 1
    assert len(lines) == len(guilty)


def test_when_no_row_is_to_blame_all_fail(model: FakeModel) -> None:
    batch = batch_of(model, slots=20, chunk=4)
    heard = rows_with(batch, model, {})
    model.fails = True
    run(batch)
    assert all(isinstance(listener.error, RuntimeError) for listener in heard)


def test_a_call_that_fails_once_costs_no_row() -> None:
    class Once(Picky):
        def advance(self, steps: Steps) -> Stepped:
            if not self.attempts:
                self.attempts += 1
                raise MemoryError
            return super().advance(steps)

    model = Once(-1)
    batch = batch_of(model, slots=20, chunk=4)
    heard = rows_with(batch, model, {})
    run(batch)
    assert_only_these_fail(model, heard, (), RuntimeError)


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize(("symbol", "logprob"), [(0, -1), (11, -1), (-1, -1), (5, np.nan)])
def test_a_row_without_usable_outputs_fails_alone(symbol: int, logprob: float, reads: bool) -> None:
    class Broken(FakeModel):
        def advance(self, steps: Steps) -> Stepped:
            outputs = super().advance(steps)
            broken = (steps.temperature == 0.25).nonzero()[0]
            outputs.symbols[broken, -1], outputs.logprobs[broken, -1] = symbol, logprob
            return outputs

    model = Broken(row_multiple=4)
    batch = batch_of(model, slots=20, chunk=4)
    heard = rows_with(batch, model, {3: 0.25, 16: 0.25})
    if reads:
        batch._reading.inputs.temperature[1] = 0.25  # the second that has a prompt
    run(batch)
    is_heard = not reads or np.isnan(logprob)  # what is sampled counts, not what is given
    assert_only_these_fail(model, heard, {3, 16} | ({2} if reads and is_heard else set()), UnusableOutput)


def test_what_a_failed_row_leaves_behind_makes_no_later_call_fail() -> None:
    model = Picky(0.25)
    batch = batch_of(model, slots=4, chunk=4)
    rows_with(batch, model, {3: 0.25}, rows=4)
    batch.step()
    attempts = model.attempts
    run(batch)
    assert model.attempts - attempts == 2  # of four symbols and of three; two are there


@pytest.mark.parametrize("call", ["sampled", "failed"])
def test_a_listener_that_raises_harms_no_other_row(model: FakeModel, call: str) -> None:
    class Raises(Heard):
        def sampled(self, symbols, logprobs) -> None:
            super().sampled(symbols, logprobs)
            raise MemoryError

        def failed(self, error: Exception) -> None:
            super().failed(error)
            if call == "failed":
                raise MemoryError

    batch = batch_of(model, slots=20, chunk=4)
    raises = Raises()
    batch.join(Row(np.zeros(0, np.int32), length=9, sampling=SamplingParams(seed=0), listener=raises))
    heard = rows_with(batch, model, {}, rows=8)
    run(batch)
    assert isinstance(raises.error, MemoryError)
    assert len(raises.symbols) == FIRST_CHARS  # it was told nothing after that
    assert_only_these_fail(model, heard, (), MemoryError)


def test_a_cache_that_cannot_keep_a_prompt_fails_its_row_alone(model: FakeModel) -> None:
    class Full(PrefixCache):
        def keep(self, model, prompt, state) -> None:
            if len(prompt) == 2:
                raise MemoryError

    batch = batch_of(model, slots=20, chunk=4, cache=Full(0))
    heard = rows_with(batch, model, {})
    run(batch)
    assert_only_these_fail(model, heard, range(2, 20, 4), MemoryError)


def test_a_call_gets_the_sampling_parameters_in_float32(model: FakeModel) -> None:
    batch = batch_of(model, slots=1, chunk=4)
    sampling = SamplingParams(seed=0, temperature=1e-40, top_k=3, top_p=1e-40)
    batch.join(Row(np.zeros(0, np.int32), length=1, sampling=sampling, listener=Heard()))
    batch.step()
    call = model.calls[0]
    assert (call.temperature.tolist(), call.top_k.tolist(), call.top_p.tolist()) == ([0], [3], [SMALLEST_NORMAL])
