from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from service.model.saved_model import SavedModel, SavedModelError


class Counter(tf.Module):
    """Adds its step to every row."""

    def __init__(self) -> None:
        super().__init__()
        self.size = tf.Variable([2.0, 3.0], name="size")
        spec = tf.TensorSpec((None, 2), tf.float32, "rows")
        self.add = tf.function(lambda rows: {"sum": rows + self.size, "none": rows}, input_signature=[spec])


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    folder = tmp_path_factory.mktemp("counter")
    module = Counter()
    tf.saved_model.save(module, str(folder), signatures={"add": module.add})
    return SavedModel(folder)


def test_a_call_takes_and_returns_arrays_by_name(counter: SavedModel) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]  # not contiguous
    found = counter.call("add", {"rows": rows})
    np.testing.assert_array_equal(found["sum"], rows + np.array([2, 3]))
    np.testing.assert_array_equal(found["none"], rows)


def test_an_output_is_not_changed_by_later_calls(counter: SavedModel) -> None:
    rows = np.ones((2, 2), np.float32)
    first = counter.call("add", {"rows": rows})["sum"]
    rows[:] = 7
    counter.call("add", {"rows": rows})
    assert first.tolist() == [[3, 4], [3, 4]]


def test_it_knows_its_functions_and_weights(counter: SavedModel) -> None:
    assert (counter.has("add"), counter.has("serving_default")) == (True, False)
    assert {name: weights.tolist() for name, weights in counter.weights().items()} == {"size": [2, 3]}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "add takes rows, not "),
        ({"rows": np.zeros((1, 3), np.float32)}, r"rows as float32 \(None, 2\), not float32 \(1, 3\)"),
        ({"rows": np.zeros((1, 2), np.int32)}, "float32 .*, not int32"),
    ],
)
def test_inputs_that_a_function_does_not_take_are_named(counter: SavedModel, arrays, message: str) -> None:
    counter.check_inputs("add", {"rows": np.zeros((5, 2), np.float32)})
    with pytest.raises(ValueError, match=message):
        counter.check_inputs("add", arrays)


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match="cannot load it"):
        SavedModel(tmp_path)


def test_a_function_that_cannot_be_compiled_is_named(counter: SavedModel) -> None:
    with pytest.raises(SavedModelError, match=r"TensorFlow .* cannot compile subtract"):
        counter.compile("subtract")
