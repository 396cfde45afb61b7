"""The model that a serving benchmark measures: a store of one version, and its weights for the peers.

    python -m bench.subject --out FOLDER [--model VERSION | --units 512 --layers 2 --symbols 65]

Writes `FOLDER/models/<name>/<version>` and `FOLDER/weights.npz`, which needs NumPy alone: the weights, the characters,
and a text with the artifact's logprobs, which a peer must reproduce before it is timed. Runs in its own process,
because it configures TensorFlow as training does.
"""

import argparse
import importlib
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from training.terminal import quietly

NAME = "bench"
WEIGHTS = "weights.npz"
CHECKED_CHARS = 256
EMBEDDING = 64


def make(folder: Path, arguments: argparse.Namespace) -> Path:
    """Write the model into `folder`, in a new process; returns its version folder."""
    command = [sys.executable, "-m", "bench.subject", "--out", str(folder)]
    if arguments.model:
        command += ["--model", str(arguments.model)]
    else:
        command += [f"--{name}={getattr(arguments, name)}" for name in ("units", "layers", "symbols")]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("There is no model to measure.")
    (version,) = (folder / "models").glob("*/*")
    return version


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose the model."""
    parser.add_argument("--model", type=Path, help="version folder to measure, instead of an untrained network")
    add_sizes(parser)


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Add the flags for the size of an untrained network."""
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--symbols", type=int, default=65, help="V, the reserved symbol included")


def untrained(folder: Path, *, units: int, layers: int, symbols: int) -> Path:
    """Publish a network with random weights, the same in every run, as training publishes a trained one."""
    from training.config import TrainConfig
    from training.data.prepare import prepare
    from training.learning.run import Trained
    from training.network.network import Network
    from training.network.weights import weights_of
    from training.release.publish import Release, publish

    sizes: dict[str, Any] = {"units": units, "layers": layers, "embedding": EMBEDDING, "batch_size": 1, "window": 10}
    off = {"dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0}
    config = TrainConfig(normalization="none", split=(0.5, 0.5, 0.0), **sizes, **off)
    text = folder / "random.txt"
    text.write_text(random_text(symbols - 1), encoding="utf-8", newline="")
    corpus = prepare([str(text)], config, folder / "corpus")
    network = Network(config, len(corpus.vocabulary))
    trained = Trained(weights_of(network), _loss(network, config, corpus), [])
    return publish(Release(NAME, trained, config, corpus), folder / "models")


def random_text(characters: int) -> str:
    """A text of so many distinct characters: ASCII first, then Chinese."""
    points = [10, *range(0x20, 0x7F), *range(0x4E00, 0x9FA6)][:characters]
    generator = random.Random(2015)
    return "".join(map(chr, points)) + "".join(chr(generator.choice(points)) for _ in range(1000))


def _loss(network: Any, config: Any, corpus: Any) -> Any:
    """The network's loss on the validation text, with which the export is compared."""
    from training.learning.evaluate import evaluate
    from training.learning.step import next_symbol_losses
    from training.network.network import state_shape

    def read(previous: Any, targets: Any, state: Any) -> Any:
        logits, state = network(previous, state)
        return next_symbol_losses(logits, targets).numpy(), state

    return evaluate(read, lambda rows: np.zeros(state_shape(config, rows), np.float32), corpus.validation)


def write_weights(version: Path, path: Path) -> None:
    """Write the weights of an artifact, and logprobs to check them, to `path`."""
    from training.errors import InputError
    from training.release.published import PublishedModel

    model = PublishedModel(version)
    if (model.manifest["unit"], model.manifest["cell"]) != ("char", "lstm"):
        raise SystemExit("--model must be an LSTM over characters: the peers have no other.")
    try:
        weights = model.weights()
    except InputError as error:
        raise SystemExit(str(error)) from error
    symbols = np.random.default_rng(0).integers(1, len(model.vocabulary), CHECKED_CHARS).astype(np.int32)
    outputs = model.advance(0, symbols, np.zeros(0, np.float32), model.initial_state())
    one_hot = np.eye(len(model.vocabulary), dtype=np.float32)
    arrays: dict[str, Any] = {
        "points": np.array([0, *model.vocabulary.points]),
        "embedding": one_hot if weights.embedding is None else weights.embedding,
        "output_kernel": weights.output_kernel,
        "output_bias": weights.output_bias,
        "checked_symbols": symbols,
        "checked_logprobs": outputs["logprobs"].numpy()[0],
    }
    for number, layer in enumerate(weights.layers):
        arrays |= {f"kernel_{number}": layer.kernel, f"recurrent_{number}": layer.recurrent_kernel}
        arrays |= {f"bias_{number}": layer.bias}
    np.savez(path, **arrays)


def main() -> None:
    """Write the store and the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    add_options(parser)
    arguments = parser.parse_args()
    with quietly():
        importlib.import_module("training.release.publish")
    if arguments.model:
        source = arguments.model.resolve()
        version = Path(shutil.copytree(source, arguments.out / "models" / source.parent.name / source.name))
    else:
        sizes = {name: getattr(arguments, name) for name in ("units", "layers", "symbols")}
        version = untrained(arguments.out, **sizes)
    write_weights(version, arguments.out / WEIGHTS)


if __name__ == "__main__":
    main()
