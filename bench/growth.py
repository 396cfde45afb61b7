"""How the cost of serving grows: characters/s and latency by streams, vocabulary, units and length of the prompt.

    python -m bench.growth [--axis streams [--values 1,32,512]] [--rounds 3]

Each point has its limit in the same rounds: a step's matrix products, for a prompt those of one row (limits.py). An
axis that is not run keeps its results in the JSON file, so that the plots can be drawn after several short runs.
docs/performance.md describes the axes.
"""

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import plot, subject, summary
from bench.contender import Contender, Sample, Turn
from bench.serve import Setup, measure, numbers, started, write_json
from service.config import Config
from service.cpus import available_cpus
from training.files import write_atomically

STREAMS = 32  # while another axis than that of the streams grows
AXES: dict[str, Sequence[int]] = {
    "streams": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    "symbols": (66, 256, 1000, 2000, 5000),
    "units": (128, 256, 512, 1024),
    "prompt": (0, 10, 100, 1000, 10_000, 100_000),
}
MAX_PROMPT = 10**6  # more than any prompt; makes seeds unique
CONTENDERS = (summary.PRODUCTS, summary.ENGINE, summary.HTTP)
ALONE, BESIDE = summary.PROMPT_ALONE, summary.PROMPT_BESIDE

# Of a chart of latencies: name of the curve, field of the results, contender, percentile.
SERVED = (
    ("first character, p50", "first_char_ms", summary.HTTP, "p50"),
    ("first character, p99", "first_char_ms", summary.HTTP, "p99"),
    ("between arrivals, p50", "gap_ms", summary.HTTP, "p50"),
    ("between arrivals, p99", "gap_ms", summary.HTTP, "p99"),
)
PROMPTS = (
    (summary.PRODUCTS, "first_char_ms", summary.PRODUCTS, "p50"),
    (ALONE, "first_char_ms", ALONE, "p50"),
    (BESIDE, "first_char_ms", BESIDE, "p50"),
    ("gaps of the streams, p99", "gap_ms", BESIDE, "p99"),
)


def grow(axis: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one axis; the results of each of its values, and the facts of the service that the others share."""
    results: dict[str, Any] = {"rounds": arguments.rounds, "seconds": arguments.seconds, "values": {}}
    for settings, values in services(axis, arguments.values or AXES[axis]):
        service_arguments = argparse.Namespace(**vars(arguments) | settings)
        with tempfile.TemporaryDirectory() as folder, started(service_arguments, Path(folder)) as setup:
            results |= {name: fact for name, fact in setup.facts.items() if name != axis}
            for value in values:
                results["values"][str(value)] = _point(setup, axis, value, arguments)
    return results


def services(axis: str, values: Sequence[int]) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """The settings of each service that must be started, and the values that are measured on it.

    One service has all numbers of streams that the default number of slots takes; each larger number has its own, with
    as many slots as it needs. A vocabulary and a number of units need a model of their own.
    """
    if axis == "prompt":
        yield {"streams": [STREAMS]}, list(values)
    elif axis == "streams":
        slots = Config.slots * available_cpus()
        for most, group in itertools.groupby(sorted(values), key=lambda streams: max(streams, slots)):
            yield {"streams": [most]}, list(group)
    else:
        for value in values:
            yield {axis: value, "streams": [STREAMS]}, [value]


def _point(setup: Setup, axis: str, value: int, arguments: argparse.Namespace) -> dict[str, Any]:
    streams = value if axis == "streams" else STREAMS
    if axis == "prompt":
        contenders = _with_prompt(setup, value, arguments.probes)
    else:
        contenders = {name: setup.contenders[name] for name in CONTENDERS}
    rounds = measure(contenders, streams, arguments.rounds, arguments.seconds, warm_up=axis != "prompt")
    return summary.of_streams(rounds, streams)


def _with_prompt(setup: Setup, chars: int, probes: int) -> dict[str, Contender]:
    """Contenders whose speed is that of a prompt and its first character, from the request on."""

    def limit(turn: Turn) -> Sample:
        speed = setup.contenders[summary.PRODUCTS](replace(turn, streams=1)).characters_per_second
        return Sample(speed, first_char_ms=[1000 * (chars + 1) / speed])

    def beside(turn: Turn) -> Sample:
        # Prompts of one seed begin alike, and the prefix cache would know them.
        seed = 2 * (turn.seed * MAX_PROMPT + chars) + bool(turn.streams)
        sample = setup.served[summary.HTTP].arrivals(replace(turn, seed=seed), probes, chars)
        return replace(sample, characters_per_second=1000 * (chars + 1) / statistics.median(sample.first_char_ms))

    return {summary.PRODUCTS: limit, ALONE: lambda turn: beside(replace(turn, streams=0)), BESIDE: beside}


def charts(results: dict[str, Any]) -> list[plot.Chart]:
    """Speeds and latencies of each axis."""
    found = []
    for axis, of_axis in results.items():
        speeds: plot.Curves = {}
        latencies: plot.Curves = {}
        for value, at in of_axis["values"].items():
            for name, speed in at["characters_per_second"].items():
                speeds.setdefault(name, {})[int(value)] = speed
            for name, field, contender, percentile in PROMPTS if axis == "prompt" else SERVED:
                if at[field][contender]["count"]:
                    latencies.setdefault(name, {})[int(value)] = at[field][contender][percentile]
        words = _words(axis, of_axis)
        found += [
            plot.Chart(f"Characters/s: {words}", axis, speeds),
            plot.Chart(f"Milliseconds: {words}", axis, latencies),
        ]
    return found


def _words(axis: str, of_axis: dict[str, Any]) -> str:
    """The growing quantity, and the ones that stay the same."""
    fixed = f"{of_axis['layers']} × {of_axis.get('units', 'units')}, V = {of_axis.get('symbols', 'symbols')}"
    return {"streams": fixed, "prompt": f"{fixed}, prompt of one request"}.get(axis, f"{fixed}, {STREAMS} streams")


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    subject.add_sizes(parser)
    parser.add_argument("--axis", choices=AXES, help="only this one")
    parser.add_argument("--values", type=numbers, help="values of the axis, instead of all: 1,32,512")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one contender in one round")
    parser.add_argument("--probes", type=int, default=20, help="at most so many prompts of a length in one round")
    parser.add_argument("--json", type=Path, default=Path("bench/results/growth.json"))
    parser.add_argument("--plot", type=Path, default=Path("bench/results/growth.svg"))
    parser.set_defaults(model=None, no_peers=True, guesses=False, bfloat16=False)  # of `serve.started`
    arguments = parser.parse_args(given)
    if arguments.values and not arguments.axis:
        parser.error("--values needs --axis.")
    return arguments


def main(given: Sequence[str] | None = None) -> None:
    """Measure each axis, print its table, and write the JSON and the plots of all axes measured so far."""
    arguments = _arguments(given)
    results = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    for axis in [arguments.axis] if arguments.axis else AXES:
        results[axis] = grow(axis, arguments)
        results = {name: results[name] for name in AXES if name in results}
        print(f"{_words(axis, results[axis])}\n{summary.by_value(axis, results[axis]['values'])}", flush=True)
        write_json(arguments.json, results)
        write_atomically(arguments.plot, plot.svg(charts(results), "Cost growth of the service").encode())


if __name__ == "__main__":
    main()
