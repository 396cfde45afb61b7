"""The SavedModel, loaded, against the Keras network and plain NumPy."""

import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Network as Oracle
from tests.oracle import log_softmax, sample_rule
from training.config import TrainConfig
from training.network.network import Network, state_shape
from training.network.weights import set_weights, weights_of
from training.release.export import write_saved_model
from training.release.exported import trained_weights

SYMBOLS, UNITS = 12, 8

# Every pair of a cell, an input (embedding or one-hot) and a number of layers.
KINDS = [
    *(("lstm", 4, 1), ("lstm", 4, 2), ("lstm", 0, 3)),
    *(("gru", 0, 1), ("gru", 0, 2), ("gru", 4, 3)),
    *(("rnn", 4, 1), ("rnn", 0, 2), ("rnn", 4, 3)),
]


class Loaded:
    """An export of random weights, called with arrays; sampling parameters are off by default."""

    def __init__(self, folder: Path, *, cell: str, embedding: int, layers: int, symbols: int = SYMBOLS) -> None:
        self.folder = folder
        self.config = TrainConfig(cell=cell, layers=layers, units=UNITS, embedding=embedding, seed=layers)
        self.symbols = symbols
        self.network = Network(self.config, symbols)
        generator = np.random.default_rng(1)
        # Initial weights give all symbols about the same probability, which could hide errors.
        for variable in self.network.variables:
            variable.assign_add(generator.normal(0, 0.3, variable.shape))
        self.weights = weights_of(self.network)
        self.oracle = Oracle.of(self.weights)
        write_saved_model(self.weights, folder)
        self.model = tf.saved_model.load(str(folder))

    def cold(self, rows: int) -> np.ndarray:
        return np.zeros(state_shape(self.config, rows), np.float32)

    def logprobs(self, symbols: np.ndarray) -> np.ndarray:
        """The NumPy logprobs [N, T, V] at each position, from the initial state."""
        return log_softmax(self.oracle.forward(shifted(symbols), self.cold(len(symbols)))[0])

    def advance(self, function: str = "advance", **given) -> dict[str, np.ndarray]:
        rows, steps = np.shape(given.get("given", given.get("uniforms")))
        inputs = {
            "previous": np.zeros(rows),
            "given": np.zeros((rows, steps)),
            "given_length": np.full(rows, steps if "given" in given else 0),
            "length": np.full(rows, steps),
            "uniforms": np.zeros((rows, steps)),
            "temperature": np.ones(rows),
            "top_k": np.zeros(rows),
            "top_p": np.ones(rows),
            "bias": np.zeros((rows, self.symbols)),
            "state": self.cold(rows),
        } | given
        return self._call(function, inputs)

    def inspect(self, symbols, state=None) -> dict[str, np.ndarray]:
        return self._call("inspect", {"symbols": symbols, "state": self.cold(len(symbols)) if state is None else state})

    def _call(self, name: str, inputs: dict) -> dict[str, np.ndarray]:
        signature = self.model.signatures[name]
        types = {key: spec.dtype for key, spec in signature.structured_input_signature[1].items()}
        return {k: v.numpy() for k, v in signature(**{k: tf.cast(v, types[k]) for k, v in inputs.items()}).items()}


def text(rows: int, steps: int) -> np.ndarray:
    return np.random.default_rng(9).integers(1, SYMBOLS, (rows, steps))


def shifted(symbols: np.ndarray) -> np.ndarray:
    """The network's input: the symbol before each one."""
    return np.pad(symbols, ((0, 0), (1, 0)))[:, :-1]


def of_symbols(logprobs: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    return np.take_along_axis(logprobs, symbols[..., None], axis=2)[..., 0]


def assert_close(found, expected, *, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], Loaded]:
    """A function that makes the export of a kind once."""

    @cache
    def made(cell: str, embedding: int, layers: int) -> Loaded:
        return Loaded(tmp_path_factory.mktemp("export"), cell=cell, embedding=embedding, layers=layers)

    return made


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{'embedding' if kind[1] else 'one-hot'}-{kind[2]}")
def loaded(request: pytest.FixtureRequest, export: Callable[[str, int, int], Loaded]) -> Loaded:
    return export(*request.param)


@pytest.fixture
def two_layers(export: Callable[[str, int, int], Loaded]) -> Loaded:
    return export("lstm", 4, 2)


def test_logprobs_agree_with_keras_and_numpy(loaded: Loaded) -> None:
    symbols = text(3, 110)
    found = loaded.advance(given=symbols)
    keras_logits, keras_state = loaded.network(shifted(symbols), tf.constant(loaded.cold(3)))
    numpy_state = loaded.oracle.forward(shifted(symbols), loaded.cold(3))[1]
    assert_close(found["logprobs"], of_symbols(log_softmax(keras_logits.numpy()), symbols))
    assert_close(found["logprobs"], of_symbols(loaded.logprobs(symbols), symbols))
    assert_close(found["state"], keras_state)
    assert_close(found["state"], numpy_state)
    np.testing.assert_array_equal(found["symbols"], symbols)


def test_symbols_are_the_same_in_one_call_or_many(loaded: Loaded) -> None:
    uniforms = np.random.default_rng(4).random((1, 120), dtype=np.float32)
    expected = loaded.advance(uniforms=uniforms)
    assert len(set(expected["symbols"][0])) > 3  # not only repetitions
    for steps in (7, 1):
        state, previous, parts = loaded.cold(1), np.zeros(1), []
        for start in range(0, uniforms.shape[1], steps):
            parts.append(loaded.advance(uniforms=uniforms[:, start : start + steps], state=state, previous=previous))
            state, previous = parts[-1]["state"], parts[-1]["previous"]
        for name in ("symbols", "logprobs"):
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts], axis=1), expected[name])
        np.testing.assert_array_equal(state, expected["state"])


LENGTHS = np.array([40, 40, 40, 25])  # of rows that follow, sample, do both, and end inside a call


def mixed_rows(symbols: int) -> dict[str, np.ndarray]:
    """The inputs of one call for four different rows, with filters, biases and a greedy row."""
    generator = np.random.default_rng(3)
    return {
        "given": generator.integers(0, symbols, (4, 40)),
        "given_length": np.array([40, 0, 15, 0]),
        "length": LENGTHS,
        "uniforms": generator.random((4, 40), dtype=np.float32),
        "temperature": np.array([1, 1.5, 0, 1]),
        "top_k": np.array([0, 2, 0, 0]),
        "bias": generator.normal(0, 1, (4, symbols)),
    }


def test_advance_top_is_advance_bit_for_bit_with_the_guesses_of_numpy(loaded: Loaded) -> None:
    inputs = mixed_rows(SYMBOLS)
    found, expected = loaded.advance("advance_top", **inputs), loaded.advance(**inputs)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    assert found.keys() - expected.keys() == {"top_symbols", "top_logprobs"}
    assert_guesses_of_numpy(loaded, found, count=5)


@pytest.mark.parametrize("kind", KINDS[2::3], ids=lambda kind: kind[0])
def test_functions_in_bfloat16_are_close_to_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: tuple[str, int, int]
) -> None:
    monkeypatch.setattr("training.release.export.BFLOAT16_UNITS", UNITS)
    cell, embedding, layers = kind
    small = Loaded(tmp_path, cell=cell, embedding=embedding, layers=layers)
    symbols = text(8, 20)
    exact = small.advance(given=symbols)
    found, with_guesses = (small.advance(name, given=symbols) for name in ("advance_bfloat16", "advance_top_bfloat16"))
    assert_close(found["logprobs"], of_symbols(small.logprobs(symbols), symbols), atol=0.1)
    assert np.abs(found["logprobs"] - exact["logprobs"]).max() > 1e-4  # float32 differs by 1e-5 from NumPy
    for name, values in found.items():
        np.testing.assert_array_equal(with_guesses[name], values)


@pytest.mark.parametrize("symbols", [2, 5])
def test_a_small_vocabulary_has_fewer_guesses(tmp_path: Path, symbols: int) -> None:
    small = Loaded(tmp_path, cell="lstm", embedding=0, layers=2, symbols=symbols)
    found = small.advance("advance_top", **mixed_rows(symbols))
    assert found["top_symbols"].shape == found["top_logprobs"].shape == (4, 40, symbols)
    assert_guesses_of_numpy(small, found, count=symbols)


def assert_guesses_of_numpy(loaded: Loaded, found: dict[str, np.ndarray], count: int) -> None:
    logprobs = loaded.logprobs(found["symbols"])
    best = np.argsort(-logprobs, axis=2, kind="stable")[..., :count]
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(found["top_symbols"][row, :length], best[row, :length])
        best_logprobs = np.take_along_axis(logprobs[row], best[row], axis=1)
        assert_close(found["top_logprobs"][row, :length], best_logprobs[:length])
        assert not found["top_symbols"][row, length:].any()
        assert not found["top_logprobs"][row, length:].any()
    row, t, rank = np.nonzero(found["top_symbols"] == found["symbols"][:, :, None])
    np.testing.assert_array_equal(found["top_logprobs"][row, t, rank], found["logprobs"][row, t])


def test_of_equally_likely_guesses_the_lowest_id_comes_first(two_layers: Loaded, tmp_path: Path) -> None:
    kernel, bias = np.zeros((UNITS, SYMBOLS), np.float32), np.zeros(SYMBOLS, np.float32)
    bias[[3, 9]] = 1
    write_saved_model(replace(two_layers.weights, output_kernel=kernel, output_bias=bias), tmp_path)
    equal = copy(two_layers)
    equal.model = tf.saved_model.load(str(tmp_path))
    for tops in (equal.advance("advance_top", **mixed_rows(SYMBOLS)), equal.inspect(text(4, 40))):
        assert (tops["top_symbols"][:3] == [3, 9, 0, 1, 2]).all()


def test_inspect_agrees_with_numpy(loaded: Loaded) -> None:
    symbols = text(2, 40)
    found, logprobs = loaded.inspect(symbols), loaded.logprobs(symbols)
    assert_close(found["logprobs"], of_symbols(logprobs, symbols))
    best = np.argsort(-logprobs, axis=2, kind="stable")[..., :5]
    np.testing.assert_array_equal(found["top_symbols"], best)
    assert_close(found["top_logprobs"], np.take_along_axis(logprobs, best, axis=2))
    for t in (1, 17, 40):  # after t symbols
        _, state, _ = loaded.oracle.forward(np.pad(symbols[:, :t], ((0, 0), (1, 0))), loaded.cold(2))
        shown = np.tanh(state[1::2]) if loaded.config.cell == "lstm" else state
        assert_close(found["activations"][:, t - 1], shown.transpose(1, 0, 2))
    assert_close(found["state"], state)


def test_inspect_continues_from_its_state(loaded: Loaded) -> None:
    symbols = text(2, 40)
    expected, first = loaded.inspect(symbols), loaded.inspect(symbols[:, :13])
    second = loaded.inspect(symbols[:, 13:], first["state"])
    for name in ("logprobs", "top_logprobs", "activations"):
        assert_close(np.concatenate([first[name], second[name]], axis=1), expected[name], atol=1e-6)


def test_trained_weights_survive_saving_and_loading(loaded: Loaded) -> None:
    found = trained_weights(loaded.model, loaded.config.cell)
    for ours, theirs in zip(found.arrays, loaded.weights.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = Network(loaded.config, SYMBOLS)
    set_weights(other, found)
    symbols = text(2, 5)
    cold = tf.constant(loaded.cold(2))
    np.testing.assert_array_equal(other(symbols, cold)[0], loaded.network(symbols, cold)[0])


def test_no_operation_needs_a_gpu_or_changes_the_model(loaded: Loaded) -> None:
    for signature in loaded.model.signatures.values():
        graph = signature.graph.as_graph_def()
        ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
        assert {"While", "StatelessWhile"} & ops
        assert not [op for op in ops if "udnn" in op or "Assign" in op]


def test_sampled_text_follows_the_rule_symbol_by_symbol(two_layers: Loaded) -> None:
    generator = np.random.default_rng(6)
    rules = [(1.0, 0, 1.0), (0.5, 3, 1.0), (0.0, 0, 1.0), (2.0, 0, 0.7), (1.3, 5, 0.9)]
    temperature, top_k, top_p = (np.array(column) for column in zip(*rules, strict=True))
    uniforms = generator.random((len(rules), 60), dtype=np.float32)
    found = two_layers.advance(uniforms=uniforms, temperature=temperature, top_k=top_k, top_p=top_p)["symbols"]
    logits, _, _ = two_layers.oracle.forward(shifted(found), two_layers.cold(len(rules)))
    expected = [
        [sample_rule(logits[row, t], uniforms[row, t], *rule) for t in range(60)] for row, rule in enumerate(rules)
    ]
    assert found.tolist() == expected
    assert 0 not in found


def beside(loaded: Loaded, row: dict[str, np.ndarray], **other: object) -> dict[str, np.ndarray]:
    """The outputs of a row that is seven times in a batch, beside the same row with `other` inputs."""
    inputs = {name: np.repeat(array, 8, axis=1 if name == "state" else 0) for name, array in row.items()}
    for name, value in other.items():
        inputs[name][(slice(None), 7) if name == "state" else 7] = value
    found = loaded.advance(**inputs)
    return {name: np.delete(array, 7, axis=1 if name == "state" else 0) for name, array in found.items()}


@pytest.fixture(params=[0, 25], ids=["samples", "follows"])
def row(request: pytest.FixtureRequest, loaded: Loaded) -> dict[str, np.ndarray]:
    """A row that samples or follows 25 steps, from a state that is not the first one."""
    generator = np.random.default_rng(12)
    return {
        "given": text(1, 25),
        "uniforms": generator.random((1, 25), dtype=np.float32),
        "temperature": np.array([0.9]),
        "top_k": np.zeros(1),
        "top_p": np.ones(1),
        "length": np.array([25]),
        "given_length": np.array([request.param]),
        "bias": generator.normal(0, 1, (1, SYMBOLS)),
        "state": loaded.advance(given=text(1, 5))["state"],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("top_k", 3), ("top_p", 0.5), ("temperature", np.nan), ("length", 24), ("given_length", 2)),
        *(("bias", np.nan), ("bias", np.inf), ("bias", -np.inf), ("state", np.nan), ("state", 3e38)),
    ],
)
def test_a_row_has_the_same_bits_beside_its_like_and_beside_any_other_row(loaded, row, name, value) -> None:
    found = beside(loaded, row)
    assert len(set(found["symbols"][0])) > 3
    for key, array in beside(loaded, row, **{name: value}).items():
        np.testing.assert_array_equal(array, found[key], err_msg=key)


def test_a_row_without_any_allowed_symbol_gets_the_reserved_one(two_layers: Loaded) -> None:
    assert not two_layers.advance(uniforms=np.full((2, 5), 0.5), bias=np.full((2, SYMBOLS), -np.inf))["symbols"].any()


def test_infinite_weights_never_choose_the_reserved_symbol(two_layers: Loaded, tmp_path: Path) -> None:
    kernel = two_layers.weights.output_kernel.copy()
    kernel[:, 1:4] = np.inf  # logits that are NaN or infinite
    write_saved_model(replace(two_layers.weights, output_kernel=kernel), tmp_path)
    infinite = copy(two_layers)
    infinite.model = tf.saved_model.load(str(tmp_path))
    symbols = infinite.advance(uniforms=np.random.default_rng(2).random((4, 20)))["symbols"]
    assert ((symbols > 0) & (symbols < SYMBOLS)).all()


def test_bias_is_added_before_sampling_and_logprobs_stay_the_models_own(two_layers: Loaded) -> None:
    forbid_all_but_five = np.full((2, SYMBOLS), -np.inf)
    forbid_all_but_five[:, 5] = 0
    found = two_layers.advance(uniforms=np.full((2, 20), 0.5), bias=forbid_all_but_five)
    assert (found["symbols"] == 5).all()
    np.testing.assert_array_equal(found["logprobs"], two_layers.advance(given=found["symbols"])["logprobs"])


def test_rows_follow_a_prompt_then_sample_up_to_their_length(two_layers: Loaded) -> None:
    prompt = text(3, 10)
    uniforms = np.random.default_rng(8).random((3, 10), dtype=np.float32)
    found = two_layers.advance(
        given=prompt, given_length=np.array([10, 4, 0]), length=np.array([10, 7, 0]), uniforms=uniforms
    )
    assert found["symbols"][0].tolist() == prompt[0].tolist()
    assert found["symbols"][1, :4].tolist() == prompt[1, :4].tolist()
    assert (found["symbols"][1, 4:7] > 0).all()
    # Past its length a row has no output, and its state and previous symbol stay as they are.
    assert not found["symbols"][1, 7:].any()
    assert not found["logprobs"][1, 7:].any()
    assert found["previous"].tolist() == [prompt[0, -1], found["symbols"][1, 6], 0]
    np.testing.assert_array_equal(found["state"][:, 2], two_layers.cold(3)[:, 2])
    alone = two_layers.advance(given=found["symbols"][1:2, :7])
    assert_close(found["state"][:, 1:2], alone["state"], atol=1e-6)


def test_export_needs_nothing_but_tensorflow(tmp_path: Path, two_layers: Loaded) -> None:
    program = f"""
import sys
sys.modules["keras"] = None  # importing it fails from here on
import tensorflow as tf
model = tf.saved_model.load({str(two_layers.folder)!r})
assert set(model.signatures) == {{"advance", "advance_top", "inspect", "serving_default"}}
assert model.signatures["inspect"](symbols=tf.ones((1, 3), tf.int32), state=tf.zeros((4, 1, {UNITS})))
assert not [name for name in sys.modules if name.startswith(("training", "service"))]
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True)
