"""The gaps of good streams, and probes, beside clients that send or read almost nothing; one service, one run.

    python -m bench.crowds [--models FOLDER] [--streams 64] [--clients 200] [--seconds 15] [--rounds 2]

A row is one part of the run: without other clients; with 200 that send one byte a second, half of them of a head and
half of a body; with 200 that request a long stream and never read it; with all 400. Each round has all four, in a
random order. Other processes keep the good streams and request GET /livez every 20 ms (as in `bench.attack`). A long
stream that is never read is computed like any other, so the rows with them also show a larger batch. Clients and
service share the cores of this machine. Needs Linux.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.attack import percentile, probe, raise_open_files
from bench.attacks import Crowd, post
from bench.servers import ROOT, Server, Worker, service

UNREAD_CHARS = 20_000  # more than a megabyte of events
WARM_S = 3.0
QUEUE = 1024  # a refused stream would be no measurement
KINDS = ("without", "byte a second", "never read", "both")


def crowds(kind: str, clients: int) -> list[Crowd]:
    """The hostile clients of a row."""
    slow = [
        Crowd(clients - clients // 2, b"POST /generate HTTP/1.1\r\nX-Slow: ", drip=b"a", drip_s=1),
        Crowd(clients // 2, post("{", length=10_000), drip=b" ", drip_s=1),
    ]
    unread = [Crowd(clients, post(json.dumps({"length": UNREAD_CHARS})), reads=False)]
    return {"without": [], "byte a second": slow, "never read": unread, "both": slow + unread}[kind]


class Run:
    """The service with its good streams, probes and crowds."""

    def __init__(
        self, server: Server, clients: Worker, pool: ProcessPoolExecutor, arguments: argparse.Namespace
    ) -> None:
        self._server, self._clients, self._pool, self._arguments = server, clients, pool, arguments

    def row(self, kind: str, seed: int) -> str:
        """Run one part; one line of the table."""
        until = time.monotonic() + WARM_S + self._arguments.seconds
        running = [
            self._pool.submit(crowd, self._server.port, until) for crowd in crowds(kind, self._arguments.clients)
        ]
        probes = self._pool.submit(probe, self._server.port, until)
        turn = {"streams": self._arguments.streams, "seconds": self._arguments.seconds, "warm_s": WARM_S, "seed": seed}
        sample = self._clients.ask({"port": self._server.port, "alphabet": "", "probes": 0} | turn)
        answers = sum((one.result() for one in running), Counter[str]())
        times = [_of(sample["gap_ms"]), _of(sample["first_char_ms"]), _of(probes.result())]
        self._server.rest()
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(answers.items()) if count)
        return f"{kind:15}{sample['characters_per_second']:9,.0f}  {'  '.join(times)}  {said}"


def _of(times: list[float]) -> str:
    return f"{percentile(times, 50):7.1f} {percentile(times, 99):7.1f} {max(times):7.1f}"


def main() -> None:
    """Run all rows, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="the store that the service serves")
    parser.add_argument("--streams", type=int, default=64, help="good streams")
    parser.add_argument("--clients", type=int, default=200, help="hostile clients of each kind")
    parser.add_argument("--seconds", type=float, default=15, help="measurement of each row")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    raise_open_files()
    groups = "  ".join(f"{name:>23}" for name in ("gap ms p50, p99, max", "first char ms", "/livez ms"))
    print(f"{'clients':15}{'chars/s':>9}  {groups}  outcomes", flush=True)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(4, context) as pool:
        server = service(arguments.models.resolve(), Path(folder) / "log", queue=QUEUE)
        clients = Worker(["-m", "bench.client"])
        try:
            run = Run(server, clients, pool, arguments)
            for number in range(arguments.rounds):
                for kind in random.Random(number).sample(KINDS, len(KINDS)):
                    print(run.row(kind, number), flush=True)
        finally:
            clients.stop()
            server.stop()


if __name__ == "__main__":
    main()
