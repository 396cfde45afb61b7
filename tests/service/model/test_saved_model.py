import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from service.model import saved_model
from service.model.saved_model import Arrays, SavedModel, SavedModelError


class Counter(tf.Module):
    """Adds its size to every row."""

    def __init__(self) -> None:
        super().__init__()
        self.size = tf.Variable([2.0, 3.0], name="size")
        spec = tf.TensorSpec((None, 2), tf.float32, "rows")
        self.add = tf.function(lambda rows: {"sum": rows + self.size, "none": rows}, input_signature=[spec])
        self.add_thrice = tf.function(self._add_thrice, input_signature=[spec], autograph=False)

    def _add_thrice(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": tf.while_loop(lambda i, _: i < 3, lambda i, rows: (i + 1, rows + self.size), (0, rows))[1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of `Counter`."""
    folder = tmp_path_factory.mktemp("counter")
    module = Counter()
    tf.saved_model.save(module, str(folder), signatures={"add": module.add, "add_thrice": module.add_thrice})
    return folder


@pytest.fixture(scope="module")
def counter(folder: Path) -> Iterator[SavedModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "_inter_op_threads", 2)
        yield SavedModel(folder)


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
    for call in (counter.first_call, counter.call):
        with pytest.raises(SavedModelError, match=r"TensorFlow .* cannot compile subtract"):
            call("subtract", {})


def test_each_way_computes_a_loop_that_tensorflow_has_not_split(counter: SavedModel) -> None:
    rows = np.ones((2, 2), np.float32)
    for way in counter._ways("add_thrice"):
        assert way({"rows": rows})["sum"].tolist() == [[7, 10], [7, 10]]
    assert not {"Switch", "Merge"} & operations_run(counter, "add_thrice", {"rows": rows})


def operations_run(model: SavedModel, function: str, inputs: Arrays) -> set[str]:
    """The types of the operations that TensorFlow runs for a function."""
    signature, metadata = model._signatures[function], tf.compat.v1.RunMetadata()
    model._session.run(
        [output.name for output in signature.outputs.values()],
        {signature.inputs[name].name: array for name, array in inputs.items()},
        options=tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE),
        run_metadata=metadata,
    )
    labels = [node.timeline_label for device in metadata.step_stats.dev_stats for node in device.node_stats]
    found = {match[1] for label in labels if (match := re.search(r"= (\w+)\(", label))}
    assert found
    return found


@pytest.fixture
def ways(counter: SavedModel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ways in which calls of `add` are computed."""

    def recorded(name: str, way: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
        def run(inputs: Arrays) -> Arrays:
            used.append(name)
            return way(inputs)

        return run

    used: list[str] = []
    original = counter._ways("add")
    replaced = saved_model.Ways(*(recorded(name, way) for name, way in original._asdict().items()))
    monkeypatch.setitem(counter._compiled, "add", replaced)
    return used


@contextmanager
def beside_another_call(model: SavedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A context in which another thread is in the middle of a call."""

    def wait(inputs: Arrays) -> Arrays:
        entered.set()
        assert ended.wait(60)
        return inputs

    entered, ended = threading.Event(), threading.Event()
    monkeypatch.setitem(model._compiled, "wait", saved_model.Ways(wait, wait))
    other = threading.Thread(target=model.call, args=("wait", {}))
    other.start()
    assert entered.wait(60)
    yield
    ended.set()
    other.join()


def test_a_call_uses_all_cores_only_while_no_other_call_runs(
    counter: SavedModel, ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"rows": np.ones((1, 2), np.float32)}
    counter.call("add", inputs)
    with beside_another_call(counter, monkeypatch):
        counter.call("add", inputs)
        counter.call("add", inputs)
    counter.call("add", inputs)
    assert ways == ["alone", "beside_others", "beside_others", "alone"]


@pytest.mark.parametrize(("threads", "divides"), [(1, True), (2, False)])
def test_a_call_alone_stays_on_its_thread_with_one_core_or_if_the_model_is_small(
    folder: Path, monkeypatch: pytest.MonkeyPatch, threads: int, divides: bool
) -> None:
    monkeypatch.setattr(saved_model, "_inter_op_threads", threads)
    ways = SavedModel(folder, divides=divides)._ways("add")
    assert ways.alone is ways.beside_others
    assert ways.alone({"rows": np.ones((1, 2), np.float32)})["sum"].tolist() == [[3, 4]]


def test_a_call_that_fails_has_ended(counter: SavedModel, ways: list[str]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        counter.call("add", {"rows": np.ones((1, 3), np.float32)})
    counter.call("add", {"rows": np.ones((1, 2), np.float32)})
    assert ways == ["alone", "alone"]
