import math

import numpy as np
import pytest

from service.engine.call_budget import CallBudget
from service.engine.slots import Slots
from service.model.codec import RESERVED
from tests.service.engine.rows import row_of
from tests.service.fakes import FakeModel


def slots_of(model: FakeModel, max_rows: int = 4) -> Slots:
    return Slots(model, max_rows=max_rows, budget=CallBudget(math.inf, 3))


def test_a_row_gets_the_next_index_with_its_prefix_and_parameters(model: FakeModel) -> None:
    slots = slots_of(model)
    slots.add(row_of(model, temperature=0.5, top_k=2, top_p=0.9)[0])
    slots.add(row_of(model, temperature=0.7)[0], 5, np.full((2, 2), 9, np.float32))
    inputs = slots.inputs
    assert inputs.previous.tolist() == [RESERVED, 5, RESERVED, RESERVED]
    assert inputs.state[0, :, 0].tolist() == [0, 9, 0, 0]
    np.testing.assert_array_equal(inputs.temperature, np.array([0.5, 0.7, 1, 1], np.float32))
    assert (inputs.top_k.tolist(), inputs.top_p[0]) == ([2, 0, 0, 0], np.float32(0.9))


def test_a_row_that_follows_has_no_filter(model: FakeModel) -> None:
    slots = slots_of(model)
    slots.add(row_of(model, "abc", temperature=0.5, top_k=2, top_p=0.9)[0])
    assert (slots.inputs.temperature[0], slots.inputs.top_k[0], slots.inputs.top_p[0]) == (1, 0, 1)


def test_the_last_row_takes_the_index_of_a_dropped_one_and_leaves_padding(model: FakeModel) -> None:
    slots = slots_of(model)
    rows = [row_of(model, top_k=number)[0] for number in (1, 2, 3)]
    for number, row in enumerate(rows):
        slots.add(row, number + 1, np.full((2, 2), number + 1, np.float32))
    slots.drop(0)
    assert list(slots) == [rows[2], rows[1]]
    assert slots.inputs.previous.tolist() == [3, 2, RESERVED, RESERVED]
    assert slots.inputs.top_k.tolist() == [3, 2, 0, 0]
    assert slots.inputs.state[1, :, 1].tolist() == [3, 2, 0, 0]


def test_finished_rows_are_dropped(model: FakeModel) -> None:
    slots = slots_of(model)
    rows = [row_of(model)[0] for _ in range(4)]
    for row in rows:
        slots.add(row)
    for index in (0, 1, 3):
        rows[index].cancel()
    slots.drop_finished()
    assert list(slots) == [rows[2]]


def test_a_call_advances_all_rows_in_full_multiples_and_keeps_their_states() -> None:
    model = FakeModel(row_multiple=3)
    slots = slots_of(model)
    for _ in range(4):
        slots.add(row_of(model)[0])
    slots.inputs.length[:] = 2
    outputs, errors = slots.call(2, [2] * 4)
    assert (outputs.symbols.shape, errors) == ((6, 2), {})
    assert slots.inputs.state[0, :4, 0].tolist() == [2] * 4
    np.testing.assert_array_equal(slots.inputs.previous, outputs.symbols[:, 1])


def test_a_call_has_guesses_if_they_are_asked_for(model: FakeModel) -> None:
    slots = slots_of(model)
    slots.add(row_of(model)[0])
    slots.inputs.length[:] = 2
    assert slots.call(2, [2])[0].guesses(0, 2, 3).shape == (0, 0)
    assert slots.call(2, [2], guesses=True)[0].guesses(0, 2, 3).shape == (2, 3)


def test_a_row_whose_inputs_raise_an_error_is_not_added(model: FakeModel) -> None:
    slots = slots_of(model)
    with pytest.raises(ValueError, match="could not broadcast"):
        slots.add(row_of(model)[0], 1, np.zeros((2, 7), np.float32))
    assert len(slots) == 0


def test_the_bias_of_a_row_moves_and_ends_with_it(model: FakeModel) -> None:
    slots = slots_of(model)
    for number in (1, 2, 3):
        row, _ = row_of(model, bias=((number, 0.5), (10, -100)))  # type: ignore[arg-type]
        slots.add(row)
    slots.drop(0)
    slots.add(row_of(model)[0])
    assert [np.flatnonzero(bias).tolist() for bias in slots.inputs.bias] == [[3, 10], [2, 10], [], []]
    assert slots.inputs.bias[0, [3, 10]].tolist() == [0.5, -100]
