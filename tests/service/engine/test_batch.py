import numpy as np
import pytest

from service.engine.prefix_cache import PrefixCache
from service.engine.sampling import SMALLEST_NORMAL
from tests.service.engine.rows import SlowClock, batch_of, row_of, run, step
from tests.service.fakes import FakeModel, Recorder, expected_text, expected_top

LONG_PROMPT = "abcdefghij" * 10


def steps_of(model: FakeModel) -> list[int]:
    """The steps of each call so far."""
    return [call.given.shape[1] for call in model.calls]


def test_a_row_follows_its_prompt_then_samples_and_leaves(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=3)
    row, recorder = row_of(model, "cab", length=7, seed=42)
    batch.join(row)
    assert recorder.has_started
    run(batch)
    assert model.text.decode(recorder.symbols) == expected_text("cab", 7, 42)
    assert recorder.logprobs == [-float(steps) for steps in range(3, 10)]  # the state counts the prompt too


def test_neighbours_that_join_and_leave_change_nothing(model: FakeModel) -> None:
    batch = batch_of(model, slots=8, chunk=4)
    generator = np.random.default_rng(0)
    joined: list[tuple[str, int, int, Recorder]] = []
    for seed in range(40):
        prompt, length = "jab"[: seed % 4], int(generator.integers(1, 30))
        while len(batch) == 8:
            step(batch)
        row, recorder = row_of(model, prompt, length=length, seed=seed)
        batch.join(row)
        joined.append((prompt, length, seed, recorder))
        for _ in range(generator.integers(0, 3)):
            step(batch)
    run(batch)
    for prompt, length, seed, recorder in joined:
        assert model.text.decode(recorder.symbols) == expected_text(prompt, length, seed)
        assert recorder.logprobs == [-float(len(prompt) + step) for step in range(length)]


def test_padding_takes_no_more_steps_than_a_later_call_has() -> None:
    model = FakeModel(row_multiple=4)  # it checks the lengths of padding
    batch = batch_of(model, slots=8, chunk=5)
    for prompts in (["abcde", "abcde"], ["a"]):
        for prompt in prompts:
            batch.join(row_of(model, prompt, length=1)[0])
        run(batch)
    assert [call.given.shape for call in model.calls] == [(4, 5), (4, 1), (4, 1), (4, 1)]


def test_a_cancelled_row_leaves_before_the_next_call(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=4)
    (stays, stays_recorder), (leaves, leaves_recorder) = (row_of(model, seed=seed, length=12) for seed in (1, 2))
    batch.join(leaves)
    batch.join(stays)
    step(batch)
    leaves.cancel()
    step(batch)
    assert len(model.calls[-1].previous) == 1
    assert len(leaves_recorder.symbols) == 1 + 4
    run(batch)
    assert model.text.decode(stays_recorder.symbols) == expected_text("", 12, 1)


def test_rows_are_padded_to_the_models_multiple() -> None:
    model = FakeModel(row_multiple=4)
    batch = batch_of(model, slots=6, chunk=2)
    for seed in range(5):
        batch.join(row_of(model, seed=seed, length=1)[0])
    step(batch)
    assert model.calls[0].given.shape == (8, 1)


def test_every_row_takes_all_steps_of_a_call_and_output_past_its_end_is_discarded(model: FakeModel) -> None:
    batch = batch_of(model, slots=2, chunk=8)
    (short, short_recorder), (long, long_recorder) = row_of(model, length=3, seed=1), row_of(model, length=9, seed=2)
    batch.join(short)
    batch.join(long)
    run(batch)
    for call in model.calls:
        assert (call.length == call.given.shape[1]).all()
    assert model.text.decode(short_recorder.symbols) == expected_text("", 3, 1)
    assert model.text.decode(long_recorder.symbols) == expected_text("", 9, 2)


def test_filters_leave_with_their_row() -> None:
    model = FakeModel(row_multiple=4)
    batch = batch_of(model, slots=4, chunk=4)
    for length, top_k in ((9, 0), (1, 3)):
        batch.join(row_of(model, length=length, top_k=top_k)[0])
    run(batch)
    assert model.calls[0].top_k.tolist() == [0, 3, 0, 0]
    assert model.calls[-1].top_k.tolist() == [0, 0, 0, 0]


def test_a_call_gets_the_sampling_parameters_in_float32(model: FakeModel) -> None:
    batch = batch_of(model, slots=1, chunk=4)
    batch.join(row_of(model, length=1, temperature=1e-40, top_k=3, top_p=1e-40)[0])
    step(batch)
    call = model.calls[0]
    assert (call.temperature.tolist(), call.top_k.tolist(), call.top_p.tolist()) == ([0], [3], [SMALLEST_NORMAL])


@pytest.mark.parametrize(("rows", "steps"), [(1, 32), (4, 10), (8, 6), (40, 2)])
def test_first_characters_come_soon_and_then_calls_take_their_time(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, rows: int, steps: int
) -> None:
    clock = SlowClock(model, monkeypatch)
    batch = batch_of(model, slots=200, chunk=32, call_s=80 * clock.row_step_s)
    for seed in range(rows):
        batch.join(row_of(model, length=200, seed=seed)[0])
    run(batch)
    assert steps_of(model)[0] == 1
    assert set(steps_of(model)[1:5]) == {steps}


@pytest.mark.parametrize(("rows", "steps"), [(16, 12), (32, 9), (64, 8), (128, 7), (256, 6)])
def test_calls_of_more_rows_take_longer(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, rows: int, steps: int
) -> None:
    clock = SlowClock(model, monkeypatch)
    batch = batch_of(model, slots=256, chunk=32, call_s=256 * clock.row_step_s)
    for seed in range(rows):
        batch.join(row_of(model, length=200, seed=seed)[0])
    run(batch)
    assert set(steps_of(model)[1:5]) == {steps}


@pytest.mark.parametrize(
    ("prompt", "calls"), [(16, [16]), (32, [32]), (33, [16, 17]), (40, [16, 24]), (50, [16, 16, 18])]
)
def test_the_last_call_of_a_prefill_may_take_twice_as_long(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, prompt: int, calls: list[int]
) -> None:
    clock = SlowClock(model, monkeypatch)
    batch = batch_of(model, slots=16, chunk=64, call_s=16 * clock.row_step_s)
    batch.join(row_of(model, prompt="a" * 40, length=0)[0])  # its calls measure the time of a step
    run(batch)
    model.calls.clear()
    batch.join(row_of(model, prompt="b" * prompt, length=0)[0])
    run(batch)
    assert steps_of(model) == calls


def test_a_prefill_call_has_the_steps_of_its_own_few_rows(model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SlowClock(model, monkeypatch)
    batch = batch_of(model, slots=16, chunk=32, call_s=16 * clock.row_step_s)
    batch.join(row_of(model, prompt="a" * 40, length=1)[0])
    run(batch)
    for _ in range(4):
        batch.join(row_of(model, length=200)[0])
    step(batch)
    batch.join(row_of(model, prompt="a" * 40, length=1)[0])
    step(batch)
    assert steps_of(model)[-2:] == [16, 2]


def test_a_new_row_samples_its_first_symbol_in_a_call_of_its_own(model: FakeModel) -> None:
    batch = batch_of(model, slots=2, chunk=8)
    (old, old_recorder), (new, new_recorder) = row_of(model, length=40, seed=1), row_of(model, length=40, seed=2)
    batch.join(old)
    step(batch)
    batch.join(new)
    model.calls.clear()
    step(batch)
    assert [call.given.shape for call in model.calls] == [(1, 1), (2, 8)]
    run(batch)
    assert model.text.decode(old_recorder.symbols) == expected_text("", 40, 1)
    assert model.text.decode(new_recorder.symbols) == expected_text("", 40, 2)


def test_rows_decode_while_another_prefills_a_long_prompt(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=16)
    decodes, decodes_recorder = row_of(model, length=60)
    prefills, prefills_recorder = row_of(model, LONG_PROMPT, length=10)
    batch.join(decodes)
    step(batch)
    batch.join(prefills)
    while not prefills_recorder.symbols:
        before = len(decodes_recorder.symbols)
        step(batch)
        assert len(decodes_recorder.symbols) > before or len(decodes_recorder.symbols) == 60
    run(batch)
    assert model.text.decode(decodes_recorder.symbols) == expected_text("", 60, 1)
    assert model.text.decode(prefills_recorder.symbols) == expected_text(LONG_PROMPT, 10, 1)


def test_of_a_prompt_with_a_cached_beginning_only_the_rest_is_followed(model: FakeModel) -> None:
    cache = PrefixCache(1_000_000)
    batch = batch_of(model, slots=4, chunk=16, cache=cache)
    for prompt, cached in (("abcabc", 0), ("abcabc", 6), ("abcabcjj", 6), ("abcabcjj", 8), ("abc", 0), ("jabcabc", 0)):
        model.calls.clear()
        row, recorder = row_of(model, prompt, length=20, seed=7)
        batch.join(row)
        run(batch)
        assert row.cached == cached
        assert model.text.decode(recorder.symbols) == expected_text(prompt, 20, 7)
        assert recorder.logprobs == [-float(len(prompt) + step) for step in range(20)]
        assert sum(call.given_length.sum() for call in model.calls) == len(prompt) - cached


def test_a_call_has_no_more_steps_than_a_row_needs(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=16)
    batch.join(row_of(model, "abc", length=1)[0])
    step(batch)
    assert [call.given.shape for call in model.calls] == [(1, 3), (1, 1)]  # prefill, start
    assert not len(batch)


def test_prompts_of_any_length_prefill_together_and_each_row_decodes_at_its_prompts_end(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=8)
    prompts = ["abc", "abcdefghij" * 2, "j", ""]
    recorders = []
    for prompt in prompts:
        row, recorder = row_of(model, prompt, length=12, seed=3)
        batch.join(row)
        recorders.append(recorder)
    step(batch)
    assert [len(recorder.symbols) for recorder in recorders] == [1 + 8, 0, 1 + 8, 1 + 8]
    run(batch)
    for prompt, recorder in zip(prompts, recorders, strict=True):
        assert model.text.decode(recorder.symbols) == expected_text(prompt, 12, 3)
        assert recorder.logprobs == [-float(len(prompt) + step) for step in range(12)]


def test_a_row_that_takes_the_index_of_another_starts_from_the_initial_state(model: FakeModel) -> None:
    batch = batch_of(model, slots=1, chunk=4)
    for seed in (1, 2):
        row, recorder = row_of(model, length=4, seed=seed)
        batch.join(row)
        run(batch)
        assert model.text.decode(recorder.symbols) == expected_text("", 4, seed)


def test_rows_with_and_without_guesses_in_one_batch_have_the_same_symbols_and_logprobs(model: FakeModel) -> None:
    batch = batch_of(model, slots=16, chunk=4)
    rows = []
    for index in range(16):
        prompt, guesses = "cab"[: index % 4], index % 3 * 2
        row, recorder = row_of(model, prompt, length=5 + index, seed=index, guesses=guesses)
        batch.join(row)
        rows.append((prompt, 5 + index, index, guesses, recorder))
        step(batch)
    run(batch)
    for prompt, length, seed, guesses, recorder in rows:
        text = expected_text(prompt, length, seed)
        assert model.text.decode(recorder.symbols) == text
        assert recorder.logprobs == [-float(len(prompt) + step) for step in range(length)]
        top = [[(model.text.encode(c)[0], nats) for c, nats in best] for best in expected_top(prompt, text, guesses)]
        assert recorder.guesses == (top if guesses else [])


def test_a_call_computes_guesses_only_while_a_row_asks_for_them(model: FakeModel) -> None:
    batch = batch_of(model, slots=2, chunk=4)
    batch.join(row_of(model, "abc", length=4, guesses=5)[0])  # not before the symbols of its prompt
    batch.join(row_of(model, length=20)[0])
    run(batch)
    with_guesses = [call for call, steps in enumerate(model.calls) if steps.temperature.shape == (2,)]
    assert model.calls_with_guesses == with_guesses
    assert 0 < len(with_guesses) < len(model.calls) - 1
