"""Characters a second of the engine alone and through HTTP, beside PyTorch's nn.LSTM stepping the same sizes.

`make bench`. The three take turns, several rounds each; the table shows the median of the rounds and its ratio to
PyTorch's. The clients run on the same cores as the server, as they would on a laptop.
"""

import argparse
import http.client
import json
import os
import platform
import queue
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.artifact.model import Model, configure_threads
from service.config import Config
from service.generation.batch import Row
from service.generation.scheduler import Scheduler

STREAMS = (1, 8, 64)
RULE: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


class Inbox:
    """Counts what the engine samples for one row."""

    def __init__(self, length: int) -> None:
        self._missing = length
        self._done: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def started(self) -> None:
        """Nothing to note."""

    def sampled(self, symbols: Any, logprobs: Any) -> None:
        """Count them."""
        self._missing -= len(symbols)
        if not self._missing:
            self._done.put(None)

    def failed(self, error: Exception) -> None:
        """Pass it to whoever waits."""
        self._done.put(error)

    def wait(self) -> None:
        """Return when all characters are there."""
        if error := self._done.get():
            raise error


def engine_alone(scheduler: Scheduler, model: Model, streams: int, length: int) -> None:
    """Every stream samples `length` characters; nobody turns them into text."""
    inboxes = [Inbox(length) for _ in range(streams)]
    for seed, inbox in enumerate(inboxes):
        prompt = np.zeros(0, np.int32)
        scheduler.submit(model, Row(prompt, length=length, seed=seed, listener=inbox, **RULE))
    for inbox in inboxes:
        inbox.wait()


def through_http(port: int, streams: int, length: int) -> None:
    """Every stream is a client that reads an SSE event a character."""

    def read(seed: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        body = json.dumps({"length": length, "seed": seed})
        connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
        content = connection.getresponse().read()
        assert content.count(b"data: ") == length + 1, content[-200:]
        connection.close()

    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(read, range(streams)))


class TorchStepper:
    """The same sizes in PyTorch, one step a call, all streams in one batch: the loop that people write."""

    def __init__(self, symbols: int, embedding: int, layers: int, units: int) -> None:
        self._symbols, self._layers, self._units = symbols, layers, units
        self._embedding = torch.nn.Embedding(symbols, embedding)
        self._lstm = torch.nn.LSTM(embedding, units, layers, batch_first=True)
        self._output = torch.nn.Linear(units, symbols)

    @torch.no_grad()
    def sample(self, streams: int, length: int) -> None:
        """Every stream samples `length` characters."""
        previous = torch.zeros(streams, 1, dtype=torch.long)
        state = tuple(torch.zeros(self._layers, streams, self._units) for _ in range(2))
        for _ in range(length):
            hidden, state = self._lstm(self._embedding(previous), state)
            probabilities = torch.softmax(self._output(hidden[:, -1]), dim=1)
            previous = torch.multinomial(probabilities, 1)


def measure(contenders: dict[str, Callable[[int, int], None]], rounds: int, chars: int) -> dict[str, dict[int, float]]:
    """Median characters a second by contender and number of streams; the contenders take turns in each round."""
    speeds: dict[str, dict[int, list[float]]] = {name: {n: [] for n in STREAMS} for name in contenders}
    for streams in STREAMS:
        length = max(100, chars // (8 + streams))  # a lone stream is slower: keep the rounds about equally long
        for round_ in range(rounds + 1):
            for name, sample in contenders.items():
                start = time.perf_counter()
                sample(streams, length)
                if round_:  # the first one warms up
                    speeds[name][streams].append(streams * length / (time.perf_counter() - start))
    return {name: {n: statistics.median(found) for n, found in by.items()} for name, by in speeds.items()}


def start_server(models: Path) -> tuple[subprocess.Popen[bytes], int]:
    """gunicorn with the service on a free port, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", "service/gunicorn.conf.py"],
        env=os.environ | {"PORT": str(port), "CHARLOOM_MODELS": str(models)},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return process, port
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The server did not start; `make serve` says why.")


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/shakespeare/1"), help="version folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chars", type=int, default=40_000, help="about how many characters a round samples")
    parser.add_argument("--json", type=Path, default=Path("bench/results/serve.json"))
    arguments = parser.parse_args()

    config = Config()
    configure_threads(config.engines)
    model = Model(arguments.model)
    manifest = model.manifest
    scheduler = Scheduler(engines=config.engines, slots=config.slots, queue=config.queue, chunk=config.chunk)
    peer = TorchStepper(manifest.symbols, manifest.fields["config"]["embedding"], manifest.layers, manifest.units)
    server, port = start_server(arguments.model.parent.parent)
    try:
        speeds = measure(
            {
                "engine alone": lambda streams, length: engine_alone(scheduler, model, streams, length),
                "through HTTP": lambda streams, length: through_http(port, streams, length),
                "PyTorch nn.LSTM": peer.sample,
            },
            arguments.rounds,
            arguments.chars,
        )
    finally:
        server.terminate()
        scheduler.close()

    print(
        f"{manifest.layers} x {manifest.units}, V = {manifest.symbols}, float32, {os.cpu_count()} cores; characters/s"
    )
    print(f"{'':18}" + "".join(f"{f'{n} streams':>20}" for n in STREAMS))
    for name, by_streams in speeds.items():
        cells = [f"{by_streams[n]:,.0f} ({by_streams[n] / speeds['PyTorch nn.LSTM'][n]:.2f}x)" for n in STREAMS]
        print(f"{name:18}" + "".join(f"{cell:>20}" for cell in cells))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    facts = {"layers": manifest.layers, "units": manifest.units, "symbols": manifest.symbols, "cores": os.cpu_count()}
    about = {"torch": torch.__version__, "tensorflow": manifest.fields["tensorflow"], "machine": platform.processor()}
    arguments.json.write_text(json.dumps(facts | about | {"characters_per_second": speeds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
