"""cuDNN is used where one compiled step of a small network has the loop's numbers on it."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.processes import ROOT
from training.network import cudnn
from training.network.cudnn import cudnn_problem, stock_layer

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
GOOD = {"loss": np.float32(2.0), "gradient of bias": np.full((2, 2), 0.001)}


@pytest.fixture(autouse=True)
def untried() -> None:
    cudnn_problem.cache_clear()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")


def test_without_a_gpu_it_is_not_tried() -> None:
    assert cudnn_problem() == "no GPU"


@pytest.mark.usefixtures("gpu")
def test_the_numbers_of_the_loop_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudnn, "trial_step", lambda use_cudnn: {k: v * (1 + 0.01 * use_cudnn) for k, v in GOOD.items()})
    assert cudnn_problem() == ""


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("value", "difference"), [(0.0015, "50%"), (0.0, "100%"), (np.nan, "nan%")])
def test_other_numbers_are_a_problem_however_small_they_are(
    monkeypatch: pytest.MonkeyPatch, value: float, difference: str
) -> None:
    other = GOOD | {"gradient of bias": np.full((2, 2), value)}
    monkeypatch.setattr(cudnn, "trial_step", lambda use_cudnn: other if use_cudnn else GOOD)
    assert cudnn_problem() == f"its gradient of bias differs from the loop's by {difference}"


@pytest.mark.usefixtures("gpu")
def test_the_first_line_of_an_error_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(use_cudnn: bool) -> None:
        raise RuntimeError("no such library\nmore")

    monkeypatch.setattr(cudnn, "trial_step", failing)
    assert cudnn_problem() == "no such library"


def test_on_tensorflow_keras_decides() -> None:
    assert stock_layer("gru", 3, 2, dtype="float32")[1] == "Keras' gru layer on TensorFlow, float32"


# JAX's reference LSTM in place of cuDNN, so Keras' code for cuDNN runs on a CPU. `misread` takes the bytes of an array
# with axes in another order for those of its shape, as cuDNN does when XLA chose another layout.
CUDNN_ON_A_CPU = """
import sys, json
import jax, jax.numpy as jnp
from jax.experimental import rnn
from training.network import cudnn
from training.network.stock import StockLayer

def misread(array):
    return array.transpose(1, 0, 2).reshape(array.shape)

def reference(x, h, c, weights, lengths, *, input_size, hidden_size, num_layers, dropout, bidirectional):
    unpacked = rnn.unpack_lstm_weights(weights, input_size, hidden_size, num_layers, bidirectional)
    sizes = (input_size, hidden_size, num_layers, dropout, bidirectional)
    return rnn.lstm_ref(x, h, c, *unpacked, lengths, *sizes)

@jax.custom_vjp
def gradient_misread(y):
    return y

gradient_misread.defvjp(lambda y: (y, None), lambda _, d: (misread(d),))

def input_misread(x, *others, **sizes):
    return reference(misread(x), *others, **sizes)

def output_misread(*arrays, **sizes):
    y, *state = reference(*arrays, **sizes)
    return (misread(y), *state)

def backward_misread(*arrays, **sizes):
    y, *state = reference(*arrays, **sizes)
    return (gradient_misread(y), *state)

def states_exchanged(*arrays, **sizes):
    y, h, c = reference(*arrays, **sizes)
    return y, c, h

jax.default_backend = lambda: "gpu"
found = {}
for lstm in (reference, input_misread, output_misread, backward_misread, states_exchanged):
    rnn.lstm = lstm
    cudnn.cudnn_problem.cache_clear()
    found[lstm.__name__] = cudnn.stock_layer("lstm", 3, 2, dtype="float32")[1]

rnn.lstm = reference

def lowered(use_cudnn):
    layer = StockLayer("lstm", 3, 2, dtype="float32", use_cudnn=use_cudnn)
    shapes = [(5, 4, 2), (4, 3), (4, 3), (2, 12), (3, 12), (12,)]
    def loss(x, h, c, *weights):
        return sum((array**2).sum() for array in layer.run(x, [h, c], *weights, None))
    step = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    lines = step.lower(*(jnp.ones(shape) for shape in shapes)).as_text().splitlines()
    return [line for line in lines if "LayoutConstraint" in line]

found["constraints"], found["of the loop"] = lowered(True), lowered(False)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def on_a_cpu() -> dict[str, str]:
    command = [sys.executable, "-c", CUDNN_ON_A_CPU]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def test_a_correct_kernel_is_used(on_a_cpu: dict[str, str]) -> None:
    assert on_a_cpu["reference"] == "cuDNN, float32 (TF32 products)"


@pytest.mark.parametrize("fault", ["input_misread", "output_misread", "backward_misread", "states_exchanged"])
def test_a_kernel_that_misreads_memory_is_not_used(on_a_cpu: dict[str, str], fault: str) -> None:
    sentence = on_a_cpu[fault]
    assert sentence.startswith("Keras' loop over time, float32 (cuDNN: its ")
    assert int(sentence.rpartition(" differs from the loop's by ")[2].rstrip("%)")) > 30


def test_the_layout_of_operands_results_and_their_gradients_is_fixed(on_a_cpu: dict[str, str]) -> None:
    """x, h, c, then all h, last h and c: each once forward, and once backward as gradients."""
    constraints = on_a_cpu["constraints"]
    assert len(constraints) == 12
    assert sum("[dense<[2, 1, 0]> : tensor<3xindex>]" in line for line in constraints) == 4
    assert sum("[dense<[1, 0]> : tensor<2xindex>]" in line for line in constraints) == 8
    assert not on_a_cpu["of the loop"]
