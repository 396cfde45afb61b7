"""Training on a GPU in ten minutes: Charloom on JAX beside PyTorch's cuDNN LSTM, then a model for the minutes left.

    python -m bench.gpu --corpus corpora/tinyshakespeare.txt [--minutes 10] [-- FLAGS OF TRAIN]

Needs JAX and no TensorFlow; without PyTorch, only Charloom is measured. As in bench.train, each contender is a process
that trains in turns: the same network, Adam, the gradient's norm clipped to 1, the state carried from window to window,
float32 with TF32 products. No step waits for the device; a turn ends when its last step is computed. The run is packed
into `<out>/<name>.tar.gz`, with the command that publishes it on a machine with TensorFlow.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.train import Contender, text

SIZES = [(2, 512, 100, 100), (3, 1024, 100, 100)]  # layers, units, streams, window
REHEARSED = [(2, 8, 4, 10), (3, 8, 4, 10)]
SYMBOLS, EMBEDDING = 66, 64
OURS, PEER, PEER_BFLOAT16 = "Charloom", "PyTorch nn.LSTM", "PyTorch nn.LSTM, bfloat16"
NAME = "shakespeare"
SECONDS_TO_PACK, MIN_MINUTES = 15, 0.5
ENVIRONMENT = {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
STARTED_TOGETHER = 16  # steps; then the host waits, so that it is never far ahead of the device

StepAndWait = tuple[Callable[[], Any], Callable[[], Any]]
"""(start one step, wait for all steps)."""


def ours(layers: int, units: int, streams: int, window: int) -> StepAndWait:
    """The step of `python -m training train` with KERAS_BACKEND=jax."""
    from training.config import TrainConfig
    from training.data.windows import Window
    from training.learning.backend import make_trainer, use_devices
    from training.network.network import state_shape

    use_devices()
    off = {"dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0, "optimizer": "adam", "weight_decay": 0.0}
    config = TrainConfig(layers=layers, units=units, embedding=EMBEDDING, batch_size=streams, window=window, **off)
    trainer = make_trainer(config, SYMBOLS)
    print(trainer.network.recurrence, file=sys.stderr)
    ids = text(streams, window + 1)
    windows = Window(ids[:, :-1].copy(), ids[:, 1:].copy(), np.zeros(streams, bool))
    state: Any = np.zeros(state_shape(config, streams), np.float32)
    loss: Any = 0.0

    def step() -> None:
        nonlocal state, loss
        loss, _, state = trainer.train(windows, state, rate=2e-3, step=0)

    return step, lambda: float(loss)


def pytorch(layers: int, units: int, streams: int, window: int, *, bfloat16: bool = False) -> StepAndWait:
    """nn.LSTM, which runs on cuDNN where there is a GPU."""
    import torch

    torch.set_float32_matmul_precision("high")  # TF32, as JAX
    device = "cuda" if torch.cuda.is_available() else "cpu"
    embedding, output = torch.nn.Embedding(SYMBOLS, EMBEDDING).to(device), torch.nn.Linear(units, SYMBOLS).to(device)
    lstm = torch.nn.LSTM(EMBEDDING, units, layers, batch_first=True).to(device)
    parameters = [*embedding.parameters(), *lstm.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(parameters, 2e-3, fused=device == "cuda")
    ids = torch.from_numpy(text(streams, window + 1).astype(np.int64)).to(device)
    state = (torch.zeros(layers, streams, units, device=device), torch.zeros(layers, streams, units, device=device))
    loss = torch.zeros(())

    def step() -> None:
        nonlocal state, loss
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            x, state = lstm(embedding(ids[:, :-1]), tuple(part.detach() for part in state))
            logits = output(x).reshape(-1, SYMBOLS).float()
        loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step, lambda: loss.item()


CONTENDERS: dict[str, Callable[..., StepAndWait]] = {
    OURS: ours,
    PEER: pytorch,
    PEER_BFLOAT16: lambda *size: pytorch(*size, bfloat16=True),
}


def contend(name: str, size: tuple[int, ...], seconds: float) -> None:
    """The process of one contender: for each line on stdin it trains for `seconds` and prints its characters/s."""
    step, wait = CONTENDERS[name](*size)
    for _ in range(3):
        step()
    wait()
    print("ready", flush=True)
    for _ in sys.stdin:
        steps, started_s = 0, time.perf_counter()
        while time.perf_counter() - started_s < seconds:
            for _ in range(STARTED_TOGETHER):
                step()
            wait()
            steps += STARTED_TOGETHER
        print(steps * size[2] * size[3] / (time.perf_counter() - started_s), flush=True)


def measure(names: list[str], size: tuple[int, ...], rounds: int, seconds: float) -> dict[str, float]:
    """Median characters/s of each contender that started."""
    started = [Contender("bench.gpu", name, size, seconds, environment=ENVIRONMENT) for name in names]
    try:
        ready = [process for process in started if process.is_ready()]
        table = [{process.name: process.round() for process in ready} for _ in range(rounds)]
    finally:
        for process in started:
            process.stop()
    return {process.name: statistics.median(row[process.name] for row in table) for process in ready}


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every size, and print a line for each."""
    has_torch = importlib.util.find_spec("torch") is not None
    if not has_torch:
        print("PyTorch is not installed: only Charloom is measured.", flush=True)
    names, results = [OURS, PEER, PEER_BFLOAT16] if has_torch else [OURS], {}
    for size in REHEARSED if arguments.rehearse else SIZES:
        layers, units, streams, window = size
        found = measure(names, size, arguments.rounds, arguments.seconds)
        title = f"{layers} x {units}, {streams} x {window}"
        cells = [f"{name} {speed:,.0f} ({speed / found.get(PEER, speed):.2f}x)" for name, speed in found.items()]
        print(f"{title}, characters/s: {', '.join(cells) or 'no contender started'}", flush=True)
        results[title] = found
    return results


def train(arguments: argparse.Namespace, minutes: float) -> None:
    """Train the model for `minutes`, and pack its run."""
    runs = arguments.out / "runs"
    small = ["--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "10"] if arguments.rehearse else []
    command = [
        sys.executable,
        "-m",
        "training",
        "train",
        "--name",
        NAME,
        "--corpus",
        str(arguments.corpus),
        "--restart",
    ]
    command += ["--runs", str(runs), "--models", str(arguments.out / "models"), "--minutes", f"{minutes:.2f}"]
    command += ["--ema", "0.998", *small, *arguments.flags]
    subprocess.run(command, check=True, env=os.environ | ENVIRONMENT)
    packed = arguments.out / f"{NAME}.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=1) as archive:
        archive.add(runs / NAME, f"runs/{NAME}")
    print(f"The run is in {packed}. Where TensorFlow is installed:\ntar xzf {packed.name}")
    print(f"python -m training publish {NAME} --from runs/{NAME}", flush=True)


def main() -> None:
    """Measure, write the JSON, train, pack."""
    began_s = time.monotonic()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="text to train on; without it, nothing is trained")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the whole command")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one contender in one round")
    parser.add_argument("--out", type=Path, default=Path("bench/results/gpu"))
    parser.add_argument("--rehearse", action="store_true", help="small sizes, for a CPU")
    parser.add_argument("flags", nargs="*", metavar="FLAGS OF TRAIN", help="after --, for the model that is trained")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        contend(arguments.contender, tuple(arguments.size), arguments.seconds)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {"characters_per_second": compare(arguments)}
    (arguments.out / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    if arguments.corpus:
        minutes = arguments.minutes - (time.monotonic() - began_s + SECONDS_TO_PACK) / 60
        if minutes < MIN_MINUTES:
            raise SystemExit(f"Only {minutes:.1f} minutes are left: nothing is trained in less than {MIN_MINUTES}.")
        train(arguments, minutes)


if __name__ == "__main__":
    main()
