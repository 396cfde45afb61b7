import dataclasses

import numpy as np
import pytest

from service.engine.call import UnusableOutput, advance
from service.model.model import Stepped, Steps
from tests.service.fakes import FailsOnce, FakeModel, Picky

ROWS = 20


def steps_of(model: FakeModel, temperatures: list[float]) -> Steps:
    """Four steps of each row: one follows, three sample. The state counts from the row's index."""
    rows = len(temperatures)
    uniforms = np.random.Generator(np.random.PCG64(1)).random((rows, 4), dtype=np.float32)
    return Steps(
        previous=np.zeros(rows, np.int32),
        given=np.full((rows, 4), 5, np.int32),
        given_length=np.ones(rows, np.int32),
        length=np.full(rows, 4, np.int32),
        uniforms=uniforms,
        temperature=np.array(temperatures, np.float32),
        top_k=np.zeros(rows, np.int32),
        top_p=np.ones(rows, np.float32),
        bias=np.zeros((rows, model.manifest.symbols), np.float32),
        state=np.zeros((2, rows, 2), np.float32) + np.arange(rows, dtype=np.float32)[None, :, None],
    )


def test_only_a_call_for_guesses_has_them(model: FakeModel) -> None:
    steps = steps_of(model, [1] * 3)
    with_guesses, _ = advance(model, steps, [4] * 3, guesses=True)
    without, _ = advance(model, steps, [4] * 3)
    assert model.calls_with_guesses == [0]
    assert (without.guesses(1, 4, 2).size, with_guesses.guesses(1, 4, 0).size) == (0, 0)
    assert with_guesses.guesses(1, 3, 2).shape == (3, 2)
    for name, array in vars(without).items():
        np.testing.assert_array_equal(getattr(with_guesses, name), array)


@pytest.mark.parametrize("guilty", [{0}, {3, 4, 11}])
def test_a_call_for_guesses_that_fails_is_repeated_for_the_other_rows(guilty: set[int]) -> None:
    steps = steps_of(Picky(0.25), [0.25 if row in guilty else 1 for row in range(ROWS)])
    outputs, errors = advance(Picky(0.25), steps, [4] * ROWS, guesses=True)
    assert set(errors) == guilty
    assert_rows_equal(outputs, FakeModel().advance_top(steps), [row for row in range(ROWS) if row not in guilty])


def assert_rows_equal(found: Stepped, expected: Stepped, rows: list[int]) -> None:
    for name, array in vars(expected).items():
        axis = 1 if name == "state" else 0
        np.testing.assert_array_equal(getattr(found, name).take(rows, axis), array.take(rows, axis))


@pytest.mark.parametrize("guilty", [{0}, {19}, {3, 4, 11}, set(range(1, 20))])
def test_rows_that_make_a_call_fail_fail_alone(guilty: set[int]) -> None:
    model = Picky(0.25)
    steps = steps_of(model, [0.25 if row in guilty else 1 for row in range(ROWS)])
    outputs, errors = advance(model, steps, [4] * ROWS)
    assert set(errors) == guilty
    assert {type(error) for error in errors.values()} == {RuntimeError}
    expected = FakeModel().advance(steps)
    assert_rows_equal(outputs, expected, [row for row in range(ROWS) if row not in guilty])


def test_a_call_that_fails_once_fails_no_row() -> None:
    model = FailsOnce()
    steps = steps_of(model, [1] * ROWS)
    outputs, errors = advance(model, steps, [4] * ROWS)
    assert errors == {}
    assert_rows_equal(outputs, FakeModel().advance(steps), list(range(ROWS)))


def test_if_every_call_fails_every_row_fails(model: FakeModel) -> None:
    model.fails = True
    _, errors = advance(model, steps_of(model, [1] * ROWS), [4] * ROWS)
    assert set(errors) == set(range(ROWS))


def test_smaller_calls_are_padded_to_the_models_multiple() -> None:
    model = Picky(0.25, row_multiple=4)
    advance(model, steps_of(model, [0.25] + [1] * 7), [4] * 8)
    assert {len(call.previous) for call in model.calls} == {4}


@pytest.mark.parametrize(("symbol", "logprob"), [(0, -1), (11, -1), (-1, -1), (5, np.nan)])
def test_a_row_that_uses_an_unusable_output_fails_alone(symbol: int, logprob: float) -> None:
    class Broken(FakeModel):
        def advance(self, steps: Steps) -> Stepped:
            outputs = super().advance(steps)
            outputs.symbols[[3, 7, 19], -1], outputs.logprobs[[3, 7, 19], -1] = symbol, logprob
            return outputs

    model = Broken()
    used = [4] * 7 + [3] * 12  # row 7 has ended before its last step, and row 19 is padding
    _, errors = advance(model, steps_of(model, [1] * ROWS), used)
    assert {row: type(error) for row, error in errors.items()} == {3: UnusableOutput}


def test_a_row_may_follow_a_symbol_outside_the_vocabulary(model: FakeModel) -> None:
    steps = steps_of(model, [1] * 2)
    unknown = dataclasses.replace(steps, given=np.zeros_like(steps.given))
    assert advance(model, unknown, [4] * 2)[1] == {}
