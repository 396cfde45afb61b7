"""Characters per second of the engine and of its HTTP path, beside the limits of the machine and two peers.

    python -m bench.serve [--units 512 --layers 2 --symbols 65] [--streams 1,8,32,64,128]

All contenders have the same weights and the same work (workload.py), and take turns in several rounds, so that other
load on a shared machine affects all of them. Clients run on the same cores as the servers, as they would on a laptop.
docs/performance.md describes each contender.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import plot, subject, summary
from bench.contender import Contender, Sample, Turn
from bench.servers import ONE_THREAD, Server, ThroughHttp, Worker, service
from training.files import write_atomically
from training.terminal import quietly

with quietly():
    from bench.engine import Engine
    from bench.limits import MatrixProducts, WeightReads
    from service.config import Config
    from service.engine.prefix_cache import PrefixCache
    from service.engine.scheduler import Scheduler
    from service.model.guesses import MAX_GUESSES
    from service.model.model import Model
from service.model.saved_model import configure_threads

WARM_S = 0.5
ARRIVAL_STREAMS, ARRIVAL_S = (32, 64, 127), 60.0  # with one more, 127 take all default slots of two cores
PACKAGES = ("tensorflow-cpu", "torch", "fastapi", "uvicorn", "gunicorn", "llama-cpp-python")


@dataclass(frozen=True)
class Setup:
    """The running contenders."""

    contenders: dict[str, Contender]
    served: dict[str, ThroughHttp]
    facts: dict[str, Any]


@contextmanager
def started(arguments: argparse.Namespace, folder: Path) -> Iterator[Setup]:
    """Make the model, start every process and check the peers; stop them at the end."""
    version = subject.make(folder, arguments)
    config = Config(models=folder / "models")
    slots = max(config.slots, -(-max(arguments.streams) // config.engines))
    configure_threads(config.engines)
    model = Model(version)
    with ExitStack() as stack:
        cache = PrefixCache(config.cache_mb * 2**20)
        scheduler = Scheduler(
            engines=config.engines,
            slots=slots,
            queue=config.queue,
            chunk=config.chunk,
            cache=cache,
            call_s=config.call_ms / 1000,
        )
        stack.callback(scheduler.close)
        ours = service(config.models, folder / "service.log", engines=config.engines, slots=slots)
        stack.callback(ours.stop)
        clients = Worker(["-m", "bench.client"])
        stack.callback(clients.stop)
        alphabet = "".join(str(symbol) for symbol in model.manifest.vocabulary[1:])
        served = {summary.HTTP: ThroughHttp(ours, clients, alphabet)}
        if arguments.guesses:
            served[summary.HTTP_GUESSES] = ThroughHttp(ours, clients, alphabet, top_guesses=MAX_GUESSES)
        contenders: dict[str, Contender] = {
            summary.PRODUCTS: MatrixProducts(model, config.engines),
            summary.MEMORY: WeightReads(model.manifest),
            summary.ENGINE: Engine(model, scheduler),
        }
        if arguments.bfloat16:
            settings = {"engines": config.engines, "slots": slots, "precision": "bfloat16"}
            in_bfloat16 = service(config.models, folder / "bfloat16.log", **settings)
            stack.callback(in_bfloat16.stop)
            served[summary.HTTP_BFLOAT16] = ThroughHttp(in_bfloat16, clients, alphabet)
            contenders[summary.ENGINE_BFLOAT16] = Engine(Model(version, "bfloat16"), scheduler)
        facts = _facts(model, config.engines, slots)
        if not arguments.no_peers:
            theirs, batched = _peers(stack, folder, config.engines)
            served[summary.PEER_HTTP] = ThroughHttp(theirs, clients, alphabet)
            facts["peer_nats_apart"] = batched.ask({"ready": True})["nats_apart"]
            contenders[summary.PEER_ENGINE] = lambda turn: Sample(**batched.ask(turn.to_json()))
            if importlib.util.find_spec("llama_cpp"):  # see requirements-llama.txt
                llama = Worker(["-m", "bench.peers.llama", "--threads", str(config.engines)])
                stack.callback(llama.stop)
                contenders[summary.LLAMA] = lambda turn: Sample(**llama.ask(turn.to_json()))
        yield Setup(contenders | served, served, facts)


def _peers(stack: ExitStack, folder: Path, engines: int) -> tuple[Server, Worker]:
    weights = str(folder / subject.WEIGHTS)
    command = ["-m", "bench.peers.fastapi_server", "--weights", weights, "--port", "{port}"]
    theirs = Server(command, ONE_THREAD, folder / "fastapi.log")
    stack.callback(theirs.stop)
    command = ["-m", "bench.peers.batched", "--weights", weights, "--engines", str(engines)]
    batched = Worker(command, ONE_THREAD)
    stack.callback(batched.stop)
    return theirs, batched


def _facts(model: Model, engines: int, slots: int) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "layers": manifest.layers,
        "units": manifest.units,
        "symbols": manifest.symbols,
        "parameters": manifest.fields["parameters"],
        "row_multiple": model.row_multiple,
        "engines": engines,
        "slots": slots,
        "machine": f"{platform.machine()} {_processor()}",
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def measure(
    contenders: dict[str, Contender], streams: int, rounds: int, seconds: float, *, warm_up: bool = True
) -> list[dict[str, Sample]]:
    """The samples of each round, after one round for compilation and allocation (`warm_up`) that does not count."""
    found = []
    for number in range(0 if warm_up else 1, rounds + 1):
        turn = Turn(streams, seconds if number else min(seconds, 0.5), WARM_S, seed=1000 * streams + number)
        found.append({name: contender(turn) for name, contender in contenders.items()})
    return found[-rounds:]


def one_more_arrives(setup: Setup, streams: int, probes: int) -> dict[str, Any]:
    """Milliseconds to the first character of a request that arrives while so many streams run."""
    turn = Turn(streams, ARRIVAL_S, warm_s=1, seed=streams)
    found = {name: server.arrivals(turn, probes).first_char_ms for name, server in setup.served.items()}
    return {name: summary.percentiles(times) for name, times in found.items()}


def numbers(text: str) -> list[int]:
    """Numbers of at least 1, separated by commas."""
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise ValueError
    return found


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    subject.add_options(parser)
    parser.add_argument("--streams", type=numbers, default=[1, 8, 32, 64, 128], help="how many at once: 1,8,32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one contender in one round")
    parser.add_argument("--probes", type=int, default=100, help="requests that arrive while streams run")
    parser.add_argument("--no-peers", action="store_true", help="only ours and the limits; needs no PyTorch")
    parser.add_argument("--guesses", action="store_true", help="streams with top_guesses: 5 too")
    parser.add_argument("--bfloat16", action="store_true", help="ours with products in bfloat16 too")
    parser.add_argument("--json", type=Path, default=Path("bench/results/serve.json"))
    parser.add_argument("--plot", type=Path, help="where to draw the speeds, as SVG")
    return parser.parse_args(given)


def main() -> None:
    """Measure, print the table, write the JSON and the plot."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder, started(arguments, Path(folder)) as setup:
        results: dict[str, Any] = setup.facts | {"rounds": arguments.rounds, "seconds": arguments.seconds}
        results["streams"], results["one_more_arrives"] = {}, {}
        for streams in sorted(arguments.streams):
            rounds = measure(setup.contenders, streams, arguments.rounds, arguments.seconds)
            results["streams"][str(streams)] = summary.of_streams(rounds, streams)
        for streams in ARRIVAL_STREAMS if arguments.probes else ():
            results["one_more_arrives"][str(streams)] = one_more_arrives(setup, streams, arguments.probes)
    title = f"{results['layers']} x {results['units']}, V = {results['symbols']}, float32, {results['engines']} cores"
    print(f"{title}\n{summary.table(results)}")
    write_json(arguments.json, results)
    if arguments.plot:
        chart = plot.Chart(f"Characters/s: {title}", "streams", _curves(results))
        write_atomically(arguments.plot, plot.svg([chart], chart.title).encode())


def write_json(path: Path, results: dict[str, Any]) -> None:
    """Write the results, into a folder that is made if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())


def _curves(results: dict[str, Any]) -> plot.Curves:
    """The speeds by contender; reading the weights limits a single stream only."""
    curves: plot.Curves = {}
    for streams, found in results["streams"].items():
        for name, speed in found["characters_per_second"].items():
            if name != summary.MEMORY or streams == "1":
                curves.setdefault(name, {})[int(streams)] = speed
    return curves


if __name__ == "__main__":
    main()
