"""Characters per second of training: Charloom, stock Keras and PyTorch's nn.LSTM, in one run.

    python -m bench.train

Each contender is a process that stays alive and trains for a few seconds in each of its turns, so that other load on a
shared machine affects all of them. The network is the same for all: an embedding of 64, two LSTM layers, a
linear layer; V = 66, no dropout, Adam, the gradient's norm clipped to 1, the state carried from window to window.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZES = [(128, 50, 50), (256, 64, 64), (512, 100, 100)]  # units, streams, window
SYMBOLS, EMBEDDING, LAYERS = 66, 64, 2
PEER = "PyTorch nn.LSTM"


def ours(units: int, streams: int, window: int, precision: str = "float32") -> Callable[[], Any]:
    """One step of `python -m training train`."""
    from training.config import TrainConfig
    from training.data.windows import Window
    from training.learning.step import TensorFlowTrainer, use_one_core_per_replica
    from training.network.network import Network, state_shape

    use_one_core_per_replica()
    off = {"dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0, "optimizer": "adam", "weight_decay": 0.0}
    config = TrainConfig(
        layers=LAYERS, units=units, embedding=EMBEDDING, batch_size=streams, window=window, precision=precision, **off
    )
    trainer = TensorFlowTrainer(Network(config, SYMBOLS), config)
    ids = text(streams, window + 1)
    windows = Window(ids[:, :-1].copy(), ids[:, 1:].copy(), np.zeros(streams, bool))
    state: Any = np.zeros(state_shape(config, streams), np.float32)

    def step() -> None:
        nonlocal state
        _, _, state = trainer.train(windows, state, rate=2e-3, step=0)

    return step


def ours_bfloat16(units: int, streams: int, window: int) -> Callable[[], Any]:
    """The same with its matrix products in bfloat16."""
    return ours(units, streams, window, "mixed_bfloat16")


def stock_keras(units: int, streams: int, window: int) -> Callable[[], Any]:
    """Keras' own layers in a TensorFlow function, with the default threads."""
    import keras
    import tensorflow as tf

    ids = keras.Input((None,), dtype="int32")
    states = [keras.Input((units,)) for _ in range(2 * LAYERS)]
    x, after = keras.layers.Embedding(SYMBOLS, EMBEDDING)(ids), []
    for layer in range(LAYERS):
        lstm = keras.layers.LSTM(units, return_sequences=True, return_state=True)
        x, *new = lstm(x, initial_state=states[2 * layer : 2 * layer + 2])
        after += new
    network = keras.Model([ids, *states], [keras.layers.Dense(SYMBOLS)(x), *after])
    optimizer = keras.optimizers.Adam(2e-3)
    variables = network.trainable_variables
    optimizer.build(variables)
    read = tf.constant(text(streams, window + 1))
    state = [tf.zeros((streams, units))] * (2 * LAYERS)

    @tf.function
    def training_step(ids: tf.Tensor, state: Any) -> Any:
        with tf.GradientTape() as tape:
            logits, *state = network([ids[:, :-1], *state], training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids[:, 1:], logits=logits)
            loss = tf.reduce_mean(losses)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
        optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], variables)
        return loss, state

    def step() -> None:
        nonlocal state
        loss, state = training_step(read, state)
        float(loss)

    return step


def pytorch(units: int, streams: int, window: int) -> Callable[[], Any]:
    """nn.LSTM on all cores."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    embedding, output = torch.nn.Embedding(SYMBOLS, EMBEDDING), torch.nn.Linear(units, SYMBOLS)
    lstm = torch.nn.LSTM(EMBEDDING, units, LAYERS, batch_first=True)
    parameters = [*embedding.parameters(), *lstm.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(parameters, 2e-3)
    ids = torch.from_numpy(text(streams, window + 1).astype(np.int64))
    state = (torch.zeros(LAYERS, streams, units), torch.zeros(LAYERS, streams, units))

    def step() -> None:
        nonlocal state
        x, state = lstm(embedding(ids[:, :-1]), tuple(part.detach() for part in state))
        loss = torch.nn.functional.cross_entropy(output(x).reshape(-1, SYMBOLS), ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        loss.item()

    return step


CONTENDERS: dict[str, Callable[[int, int, int], Callable[[], Any]]] = {
    "Charloom": ours,
    "Charloom, bfloat16": ours_bfloat16,
    "Keras LSTM": stock_keras,
    PEER: pytorch,
}


def text(streams: int, length: int) -> Any:
    """Random symbols [streams, length]; their values do not affect the time."""
    return np.random.default_rng(0).integers(1, SYMBOLS, (streams, length)).astype(np.int32)


def contend(name: str, units: int, streams: int, window: int, seconds: float) -> None:
    """The process of one contender: for each line on stdin it trains for `seconds` and prints its characters/s."""
    step = CONTENDERS[name](units, streams, window)
    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        steps, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds:
            step()
            steps += 1
        print(steps * streams * window / passed, flush=True)


class Contender:
    """A process that runs `contend` of a module: it trains for `seconds` in each of its turns."""

    def __init__(
        self,
        module: str,
        name: str,
        size: tuple[int, ...],
        seconds: float,
        *,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        command = [sys.executable, "-m", module, "--contender", name, "--seconds", str(seconds)]
        self._process = subprocess.Popen(
            [*command, "--size", *map(str, size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )

    def is_ready(self) -> bool:
        """Wait until it has taken its first steps; False if it failed, and then stderr has the reason."""
        assert self._process.stdout is not None
        return self._process.stdout.readline() == "ready\n"

    def round(self) -> float:
        """Let it train for its seconds; returns the characters per second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()


def measure(size: tuple[int, int, int], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Median characters/s of each contender, and the median over rounds of its ratio to the peer."""
    contenders = {name: Contender("bench.train", name, size, seconds) for name in CONTENDERS}
    try:
        for name, contender in contenders.items():
            if not contender.is_ready():
                raise SystemExit(f"{name} did not start.")
        table = [{name: contender.round() for name, contender in contenders.items()} for _ in range(rounds)]
    finally:
        for contender in contenders.values():
            contender.stop()
    return {
        name: {
            "characters_per_second": statistics.median(row[name] for row in table),
            "ratio_to_peer": statistics.median(row[name] / row[PEER] for row in table),
        }
        for name in CONTENDERS
    }


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one contender in one round")
    parser.add_argument("--json", type=Path, default=Path("bench/results/train.json"))
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        contend(arguments.contender, *arguments.size, arguments.seconds)
        return
    results = {}
    for size in SIZES:
        units, streams, window = size
        title = f"{LAYERS} x {units}, {streams} x {window}"
        results[title] = measure(size, arguments.rounds, arguments.seconds)
        cells = [
            f"{name} {found['characters_per_second']:,.0f} ({found['ratio_to_peer']:.2f}x)"
            for name, found in results[title].items()
        ]
        print(f"{title}: " + ", ".join(cells), flush=True)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"cores": os.cpu_count(), "characters_per_second": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
