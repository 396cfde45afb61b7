"""Keras' own layers and Keras' JAX backend, against our own loops on TensorFlow: one network, one set of weights."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.processes import COMMAND, ENVIRONMENT, ROOT
from tests.texts import write_corpus
from training.config import TrainConfig
from training.data.windows import Window
from training.learning.step import TensorFlowTrainer, next_symbol_losses
from training.network.network import Network, state_shape
from training.network.weights import set_weights, weights_of

SYMBOLS, STREAMS, STEPS = 9, 4, 7
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")


def config(**changes) -> TrainConfig:
    size = {"layers": 2, "units": 6, "embedding": 3, "batch_size": STREAMS, "window": STEPS}
    off = {"dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0}
    return TrainConfig(**(size | off | {"warmup_steps": 0, "ema": 0.9} | changes))


def example(setting: TrainConfig) -> tuple[Window, np.ndarray]:
    generator = np.random.default_rng(4)
    ids = generator.integers(1, SYMBOLS, (STREAMS, STEPS + 1)).astype(np.int32)
    state = generator.normal(0, 0.5, state_shape(setting, STREAMS)).astype(np.float32)
    return Window(ids[:, :-1].copy(), ids[:, 1:].copy(), np.array([True, False, False, False])), state


@pytest.mark.parametrize("embedding", [3, 0])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_stock_layers_compute_and_learn_the_same(cell: str, embedding: int) -> None:
    setting = config(cell=cell, embedding=embedding)
    ours = Network(setting, SYMBOLS, dtype="float64")
    stock = Network(setting, SYMBOLS, dtype="float64", stock=True)
    generator = np.random.default_rng(1)
    for variable in ours.variables:  # biases too, or a wrong order of theirs would not be seen
        variable.assign(generator.normal(0, 0.5, variable.shape))
    set_weights(stock, weights_of(ours))
    window, state = example(setting)
    results = []
    for network in (ours, stock):
        with tf.GradientTape() as tape:
            logits, after = network(tf.constant(window.previous), tf.constant(state, tf.float64))
            loss = tf.reduce_mean(next_symbol_losses(logits, tf.constant(window.targets)))
        results.append([logits, after, *map(tf.convert_to_tensor, tape.gradient(loss, network.trainable_variables))])
    for our_array, their_array in zip(*results, strict=True):
        np.testing.assert_allclose(our_array, their_array, rtol=0, atol=1e-12)


def test_stock_layers_train_under_dropout_of_their_weights() -> None:
    setting = config(weight_dropout=0.5, dropout=0.3)
    network = Network(setting, SYMBOLS, stock=True)
    before = weights_of(network)
    window, state = example(setting)
    trainer = TensorFlowTrainer(network, setting, replicas=1)
    losses = [trainer.train(window, state, rate=0.01, step=step)[0] for step in range(30)]
    assert losses[-1] < losses[0]
    assert not np.array_equal(before.layers[1].recurrent_kernel, weights_of(network).layers[1].recurrent_kernel)


STEPS_ON_JAX = """
import sys, json, numpy as np
from training.config import TrainConfig
from training.data.windows import Window
from training.learning.backend import make_trainer, use_devices
from training.network.weights import LayerWeights, NetworkWeights, weights_of
use_devices()
for path in sys.argv[1:]:
    given = np.load(f"{path}.npz")
    config = TrainConfig.from_json(json.loads(str(given["config"])))
    embedding, *layers, kernel, bias = (given[f"weight{n}"] for n in range(int(given["weights"])))
    each = len(layers) // config.layers
    layers = tuple(LayerWeights(*layers[i : i + each]) for i in range(0, len(layers), each))
    start_from = NetworkWeights(config.cell, embedding, layers, kernel, bias)
    trainer = make_trainer(config, len(bias), start_from)
    window = Window(given["previous"], given["targets"], given["fresh"])
    state, losses = given["state"], []
    for step in range(5):
        loss, norm, state = trainer.train(window, state, rate=0.02, step=step)
        losses += [loss, norm]
    with trainer.averaged():
        logits, _ = trainer.read(window.previous, given["state"])
    weights = {f"weight{n}": array for n, array in enumerate(weights_of(trainer.network).arrays)}
    np.savez(f"{path}-found.npz", losses=losses, logits=logits, state=np.asarray(state), **weights)
"""


@needs_jax
def test_five_steps_on_jax_are_five_steps_on_tensorflow(tmp_path: Path) -> None:
    settings = {
        cell: config(cell=cell, grad_clip=0.3, optimizer="rmsprop", weight_decay=0.01) for cell in ("lstm", "gru")
    }
    networks = {cell: Network(setting, SYMBOLS) for cell, setting in settings.items()}
    for cell, setting in settings.items():
        window, state = example(setting)
        given = {f"weight{number}": array for number, array in enumerate(weights_of(networks[cell]).arrays)}
        np.savez(
            tmp_path / f"{cell}.npz",
            config=json.dumps(setting.to_json()), weights=len(given), state=state,
            previous=window.previous, targets=window.targets, fresh=window.fresh, **given,
        )  # fmt: skip
    command = [sys.executable, "-c", STEPS_ON_JAX, *(str(tmp_path / cell) for cell in settings)]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"KERAS_BACKEND": "jax"})
    for cell, setting in settings.items():
        found = np.load(tmp_path / f"{cell}-found.npz")
        (window, state), losses = example(setting), []
        trainer, first = TensorFlowTrainer(networks[cell], setting), state
        for step in range(5):
            loss, norm, state = trainer.train(window, state, rate=0.02, step=step)
            losses += [loss, norm]
        with trainer.averaged():
            logits, _ = trainer.read(window.previous, first)
        np.testing.assert_allclose(found["losses"], losses, rtol=1e-4)
        np.testing.assert_allclose(found["logits"], logits, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["state"], state, rtol=0, atol=1e-4)
        for number, array in enumerate(weights_of(networks[cell]).arrays):
            np.testing.assert_allclose(found[f"weight{number}"], array, rtol=0, atol=1e-4)


@needs_jax
def test_a_run_on_jax_is_published_as_any_other_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Publishing holds the export against the network that JAX trained."""
    corpus = write_corpus(tmp_path / "corpus.txt")
    size = ["--units", "12", "--embedding", "4", "--batch-size", "4", "--window", "10", "--ema", "0.9"]
    arguments = ["train", "--corpus", str(corpus), *size, "--epochs", "4", "--force"]
    environment = ENVIRONMENT | {"KERAS_BACKEND": "jax"}

    def on_jax(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*COMMAND, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)

    straight, killed = on_jax(*arguments, "--name", "straight"), on_jax(*arguments, "--name", "killed")
    for line in killed.stdout:
        if line.startswith("epoch 2.00"):
            killed.kill()
            break
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    resumed = on_jax("train", "--name", "killed", "--resume", "--force")
    for process in (straight, resumed):
        assert "Published" in process.communicate()[0]
    manifests = [
        json.loads((tmp_path / f"models/{name}/1/assets.extra/manifest.json").read_text())
        for name in ("straight", "killed")
    ]
    assert manifests[0]["probe"] == manifests[1]["probe"]
    assert manifests[0]["metrics"] == manifests[1]["metrics"]


def test_another_backend_is_refused_with_a_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    from training.errors import InputError
    from training.learning.backend import use_devices

    with pytest.raises(InputError, match="KERAS_BACKEND must be tensorflow or jax, not torch"):
        use_devices()
