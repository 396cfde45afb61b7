"""The training step on JAX, against that on TensorFlow: one network, one set of weights."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.hiding import hide_packages
from tests.processes import COMMAND, ENVIRONMENT, ROOT, training
from tests.texts import write_corpus
from training.config import TrainConfig
from training.data.windows import Window
from training.learning.step import TensorFlowTrainer
from training.network.network import Network, state_shape
from training.network.weights import weights_of

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
    window = Window(given["previous"], given["targets"], given["reset"])
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
            previous=window.previous, targets=window.targets, reset=window.reset, **given,
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
@pytest.mark.slow
def test_a_run_on_jax_is_resumed_bit_for_bit_and_published(tmp_path: Path) -> None:
    """Publishing compares the export with the network that JAX trained."""
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


@needs_jax
def test_without_tensorflow_a_run_is_trained_and_published_elsewhere(tmp_path: Path) -> None:
    """The second process has TensorFlow, as the machine that the run is copied to."""
    write_corpus(tmp_path / "corpus.txt")
    (tmp_path / "hidden").mkdir()
    path = f"{hide_packages(['tensorflow'], tmp_path / 'hidden')}:{ENVIRONMENT['PYTHONPATH']}"
    size = ["--units", "12", "--embedding", "4", "--batch-size", "4", "--window", "10", "--epochs", "2"]
    trained = subprocess.run(
        [*COMMAND, "train", "--name", "small", "--corpus", "corpus.txt", *size, "--ema", "0.9"],
        cwd=tmp_path, env=ENVIRONMENT | {"KERAS_BACKEND": "jax", "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    *_, sentence, command = trained.stdout.splitlines()
    assert sentence.startswith("Finished; the run is saved in runs/small. Publishing needs TensorFlow")
    assert "Recurrent layers: Keras' loop over time, float32 (cuDNN: no GPU)." in trained.stdout
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(tmp_path / "runs/small", tmp_path / "elsewhere/runs/small")
    assert command == "python -m training publish small --from runs/small"
    training(*command.split()[3:], "--force", cwd=tmp_path / "elsewhere")
    *_, last = (tmp_path / "runs/small/history.jsonl").read_text().splitlines()
    found = training(
        "evaluate", "small", "--corpus", "../corpus.txt", "--part", "validation", cwd=tmp_path / "elsewhere"
    )
    nats = float(found.stdout.partition("validation: ")[2].partition(" nats")[0])
    assert nats == pytest.approx(json.loads(last)["validation_nats_per_char"], abs=1e-4)
