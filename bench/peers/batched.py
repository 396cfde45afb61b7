"""A peer without HTTP: PyTorch with continuous batching, an engine thread for each core and one step per call.

    python -m bench.peers.batched --weights weights.npz --engines 2     a turn on each line of stdin, a result on stdout

All rows of an engine are one batch; a row whose text is complete is replaced between two steps.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.peers.network import RESERVED, TorchNetwork, draw
from bench.workload import lengths


class Engine:
    """The batch of one thread, which counts its samples."""

    def __init__(self, network: TorchNetwork, rows: int, seed: int) -> None:
        self.characters = 0
        self._network = network
        self._lengths: Iterator[int] = lengths(seed)
        self._missing = [next(self._lengths) for _ in range(rows)]
        self._previous = torch.full((rows,), RESERVED)
        self._state = network.initial_state(rows)
        self._generator = torch.Generator().manual_seed(seed)

    def run(self, stop: threading.Event) -> None:
        """Step until `stop` is set."""
        torch.set_num_threads(1)
        while not stop.is_set():
            self.step()

    @torch.inference_mode()
    def step(self) -> None:
        """One symbol for every row."""
        logits, self._state = self._network.read(self._previous[None], self._state)
        self._previous, logprobs = draw(logits[-1], self._generator)
        delivered = list(zip(self._previous.tolist(), logprobs.tolist(), strict=True))
        self.characters += len(delivered)
        for row in range(len(self._missing)):
            self._missing[row] -= 1
            if not self._missing[row]:
                self._replace(row)

    def _replace(self, row: int) -> None:
        self._missing[row] = next(self._lengths)
        self._previous[row] = RESERVED
        for part in self._state:
            part[:, row] = 0


def turn(network: TorchNetwork, engines: int, job: dict[str, Any]) -> dict[str, Any]:
    """Characters/s of all engines together."""
    used = min(engines, job["streams"])
    shares = [job["streams"] // used + (number < job["streams"] % used) for number in range(used)]
    network.choose_kernels(shares[0])
    running = [Engine(network, rows, job["seed"] + number) for number, rows in enumerate(shares)]
    stop = threading.Event()
    threads = [threading.Thread(target=engine.run, args=(stop,)) for engine in running]
    for thread in threads:
        thread.start()
    time.sleep(job["warm_s"])
    warmed, counted = sum(engine.characters for engine in running), time.perf_counter()
    time.sleep(job["seconds"])
    characters, passed = sum(engine.characters for engine in running) - warmed, time.perf_counter() - counted
    stop.set()
    for thread in threads:
        thread.join()
    return {"characters_per_second": characters / passed}


def main() -> None:
    """Run the turn on each line of stdin."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--engines", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # of each engine
    network = TorchNetwork(arguments.weights)
    for line in sys.stdin:
        job = json.loads(line)
        result = {"nats_apart": network.nats_apart} if "ready" in job else turn(network, arguments.engines, job)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
