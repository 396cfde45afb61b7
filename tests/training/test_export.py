"""The SavedModel, loaded again, against the Keras network and plain NumPy."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Lstm, Network, log_softmax, sample_rule
from training.config import TrainConfig
from training.learning.network import NetworkWeights, build_network, weights_of
from training.release.export import write_saved_model

SYMBOLS, UNITS = 12, 8


class Loaded:
    """An export of random weights, called with arrays; what is not said is off."""

    def __init__(self, layers: int, folder: Path) -> None:
        config = TrainConfig(layers=layers, units=UNITS, embedding=4, dropout=0.5, seed=layers)
        self.network = build_network(config, SYMBOLS)
        generator = np.random.default_rng(1)
        # Initial weights guess all symbols alike; larger ones have something to get wrong.
        self.network.set_weights([w + generator.normal(0, 0.3, w.shape) for w in self.network.get_weights()])
        self.weights = weights_of(self.network)
        write_saved_model(self.weights, folder)
        self._model = tf.saved_model.load(str(folder))
        self.layers = layers

    def cold(self, rows: int) -> np.ndarray:
        return np.zeros((2 * self.layers, rows, UNITS), np.float32)

    def advance(self, **given) -> dict[str, np.ndarray]:
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
            "bias": np.zeros((rows, SYMBOLS)),
            "state": self.cold(rows),
        } | given
        return self._call("advance", inputs)

    def inspect(self, symbols, state=None) -> dict[str, np.ndarray]:
        return self._call("inspect", {"symbols": symbols, "state": self.cold(len(symbols)) if state is None else state})

    def _call(self, name: str, inputs: dict) -> dict[str, np.ndarray]:
        signature = self._model.signatures[name]
        types = {key: spec.dtype for key, spec in signature.structured_input_signature[1].items()}
        return {k: v.numpy() for k, v in signature(**{k: tf.cast(v, types[k]) for k, v in inputs.items()}).items()}


def oracle_of(weights: NetworkWeights) -> Network:
    layers = [Lstm(layer.kernel, layer.recurrent_kernel, layer.bias) for layer in weights.lstm]
    return Network(weights.embedding, layers, weights.output_kernel, weights.output_bias)


@pytest.fixture(scope="module", params=[1, 2, 3], ids=["1 layer", "2 layers", "3 layers"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return Loaded(request.param, tmp_path_factory.mktemp("export"))


def text(rows: int, steps: int) -> np.ndarray:
    return np.random.default_rng(9).integers(1, SYMBOLS, (rows, steps))


def shifted(symbols: np.ndarray) -> np.ndarray:
    """What the network is fed: the symbol before each one."""
    return np.pad(symbols, ((0, 0), (1, 0)))[:, :-1]


def test_logprobs_agree_with_keras_and_numpy(loaded: Loaded) -> None:
    symbols = text(3, 200)
    found = loaded.advance(given=symbols)["logprobs"]
    keras_logits, _ = loaded.network([tf.constant(shifted(symbols)), tf.constant(loaded.cold(3))])
    numpy_logits, _, _ = oracle_of(loaded.weights).forward(shifted(symbols), loaded.cold(3))
    for logits in (keras_logits.numpy(), numpy_logits):
        expected = np.take_along_axis(log_softmax(logits), symbols[..., None], axis=2)[..., 0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_thousand_symbols_are_the_same_in_one_call_or_many(loaded: Loaded) -> None:
    generator = np.random.default_rng(4)
    uniforms = generator.random((1, 1000), dtype=np.float32)
    whole = loaded.advance(uniforms=uniforms)
    for steps in (7, 1):
        state, previous, symbols, logprobs = loaded.cold(1), np.zeros(1), [], []
        for start in range(0, 1000, steps):
            part = loaded.advance(uniforms=uniforms[:, start : start + steps], state=state, previous=previous)
            state, previous = part["state"], part["previous"]
            symbols.append(part["symbols"])
            logprobs.append(part["logprobs"])
        np.testing.assert_array_equal(np.concatenate(symbols, axis=1), whole["symbols"])
        np.testing.assert_array_equal(np.concatenate(logprobs, axis=1), whole["logprobs"])
        np.testing.assert_array_equal(state, whole["state"])


def test_sampled_text_follows_the_rule_symbol_by_symbol(loaded: Loaded) -> None:
    generator = np.random.default_rng(6)
    rules = [(1.0, 0, 1.0), (0.5, 3, 1.0), (0.0, 0, 1.0), (2.0, 0, 0.7), (1.3, 5, 0.9)]
    temperature, top_k, top_p = (np.array(column) for column in zip(*rules, strict=True))
    uniforms = generator.random((len(rules), 60), dtype=np.float32)
    found = loaded.advance(uniforms=uniforms, temperature=temperature, top_k=top_k, top_p=top_p)
    logits, _, _ = oracle_of(loaded.weights).forward(shifted(found["symbols"]), loaded.cold(len(rules)))
    expected = [
        [sample_rule(logits[row, t], uniforms[row, t], *rule) for t in range(60)] for row, rule in enumerate(rules)
    ]
    assert found["symbols"].tolist() == expected
    assert 0 not in found["symbols"]


def test_bias_is_added_before_sampling_and_logprobs_stay_the_models_own(loaded: Loaded) -> None:
    forbid_all_but_five = np.full((2, SYMBOLS), -np.inf)
    forbid_all_but_five[:, 5] = 0
    found = loaded.advance(uniforms=np.full((2, 20), 0.5), bias=forbid_all_but_five)
    assert (found["symbols"] == 5).all()
    np.testing.assert_array_equal(found["logprobs"], loaded.advance(given=found["symbols"])["logprobs"])


def test_rows_follow_their_prompt_then_sample_then_rest(loaded: Loaded) -> None:
    prompt = text(3, 10)
    uniforms = np.random.default_rng(8).random((3, 10), dtype=np.float32)
    found = loaded.advance(
        given=prompt, given_length=np.array([10, 4, 0]), length=np.array([10, 7, 0]), uniforms=uniforms
    )
    assert found["symbols"][0].tolist() == prompt[0].tolist()
    assert found["symbols"][1, :4].tolist() == prompt[1, :4].tolist()
    assert (found["symbols"][1, 4:7] > 0).all()
    # Past its length a row rests: nothing comes out, and state and previous stay as they were.
    assert not found["symbols"][1, 7:].any()
    assert not found["logprobs"][1, 7:].any()
    assert found["previous"].tolist() == [prompt[0, -1], found["symbols"][1, 6], 0]
    np.testing.assert_array_equal(found["state"][:, 2], loaded.cold(3)[:, 2])
    alone = loaded.advance(given=found["symbols"][1:2, :7])
    np.testing.assert_allclose(found["state"][:, 1:2], alone["state"], rtol=0, atol=1e-6)


def test_inspect_shows_what_the_network_thought(loaded: Loaded) -> None:
    symbols = text(2, 40)
    found = loaded.inspect(symbols)
    oracle = oracle_of(loaded.weights)
    logits, _, _ = oracle.forward(shifted(symbols), loaded.cold(2))
    logprobs = log_softmax(logits)
    np.testing.assert_allclose(
        found["logprobs"], np.take_along_axis(logprobs, symbols[..., None], axis=2)[..., 0], rtol=0, atol=1e-5
    )
    best = np.argsort(-logprobs, axis=2, kind="stable")[..., :5]
    np.testing.assert_array_equal(found["top_symbols"], best)
    np.testing.assert_allclose(found["top_logprobs"], np.take_along_axis(logprobs, best, axis=2), rtol=0, atol=1e-5)
    for t in (1, 17, 40):  # after t symbols
        _, state, _ = oracle.forward(np.pad(symbols[:, :t], ((0, 0), (1, 0))), loaded.cold(2))
        np.testing.assert_allclose(
            found["activations"][:, t - 1], np.tanh(state[1::2]).transpose(1, 0, 2), rtol=0, atol=1e-5
        )


def test_inspect_goes_on_from_its_state(loaded: Loaded) -> None:
    symbols = text(2, 40)
    whole = loaded.inspect(symbols)
    first = loaded.inspect(symbols[:, :13])
    second = loaded.inspect(symbols[:, 13:], first["state"])
    for name in ("logprobs", "top_logprobs", "activations"):
        parts = np.concatenate([first[name], second[name]], axis=1)
        np.testing.assert_allclose(parts, whole[name], rtol=0, atol=1e-6)


def test_export_needs_nothing_but_tensorflow(tmp_path: Path) -> None:
    Loaded(2, tmp_path)
    program = f"""
import sys
sys.modules["keras"] = None  # importing it fails from here on
import tensorflow as tf
model = tf.saved_model.load({str(tmp_path)!r})
assert set(model.signatures) == {{"advance", "inspect", "serving_default"}}
assert not [name for name in sys.modules if name.startswith(("training", "service"))]
graph = model.signatures["advance"].graph.as_graph_def()
ops = {{node.op for node in graph.node}} | {{n.op for f in graph.library.function for n in f.node_def}}
assert "While" in ops or "StatelessWhile" in ops, ops
assert not [op for op in ops if "udnn" in op or "Assign" in op], ops
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True)
