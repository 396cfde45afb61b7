"""Medians, ratios and percentiles of the rounds of all contenders, and their table. Measures nothing."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.contender import Sample

PRODUCTS, MEMORY = "limit: matrix products", "limit: reading weights"
ENGINE, HTTP = "engine alone", "through HTTP"
HTTP_GUESSES = "through HTTP, 5 guesses"
ENGINE_BFLOAT16, HTTP_BFLOAT16 = "engine alone, bfloat16", "through HTTP, bfloat16"
PEER_ENGINE, PEER_HTTP = "PyTorch, batched", "PyTorch, FastAPI"
LLAMA = "llama.cpp, batched"
PROMPT_ALONE, PROMPT_BESIDE = "prompt alone", "prompt beside streams"

# Name, above, below.
RATIOS = (
    ("engine ÷ matrix products", ENGINE, PRODUCTS),
    ("engine ÷ reading weights", ENGINE, MEMORY),
    ("HTTP ÷ matrix products", HTTP, PRODUCTS),
    ("HTTP ÷ engine", HTTP, ENGINE),
    ("HTTP, 5 guesses ÷ HTTP", HTTP_GUESSES, HTTP),
    ("engine, bfloat16 ÷ engine", ENGINE_BFLOAT16, ENGINE),
    ("HTTP, bfloat16 ÷ HTTP", HTTP_BFLOAT16, HTTP),
    ("HTTP ÷ PyTorch, FastAPI", HTTP, PEER_HTTP),
    ("engine ÷ PyTorch, batched", ENGINE, PEER_ENGINE),
    ("engine ÷ llama.cpp, batched", ENGINE, LLAMA),
    ("prompt alone ÷ matrix products", PROMPT_ALONE, PRODUCTS),
    ("prompt beside streams ÷ matrix products", PROMPT_BESIDE, PRODUCTS),
)

Rounds = Sequence[dict[str, Sample]]
"""For each round the sample of every contender."""


def of_streams(rounds: Rounds, streams: int) -> dict[str, Any]:
    """The results of the rounds with so many streams.

    A ratio is the median of the rounds' ratios, because both contenders of a round ran under the same load.
    """
    speeds = {name: [round_[name].characters_per_second for round_ in rounds] for name in rounds[0]}
    ratios = {
        ratio: statistics.median(a / b for a, b in zip(speeds[above], speeds[below], strict=True))
        for ratio, above, below in RATIOS
        if above in speeds and below in speeds and (below != MEMORY or streams == 1)
    }
    timed = [name for name in rounds[0] if rounds[0][name].first_char_ms]
    return {
        "characters_per_second": {name: statistics.median(found) for name, found in speeds.items()},
        "rounds": speeds,
        "ratios": ratios,
        "first_char_ms": {name: percentiles(_pooled(rounds, name, "first_char_ms")) for name in timed},
        "gap_ms": {name: percentiles(_pooled(rounds, name, "gap_ms")) for name in timed},
        "client_cpu": {name: statistics.median(round_[name].client_cpu or 0 for round_ in rounds) for name in timed},
    }


def percentiles(milliseconds: Sequence[float]) -> dict[str, float | int | None]:
    """p50, p99 and the number of values."""
    if not milliseconds:
        return {"p50": None, "p99": None, "count": 0}
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "count": len(milliseconds)}


def table(results: dict[str, Any]) -> str:
    """The results of `bench.serve` as text."""
    title = "one more arrives, to its first character, ms: p50 / p99"
    arrivals = _latencies(title, results["one_more_arrives"], heads=True)
    return "\n".join([by_value("streams", results["streams"]), *arrivals])


def by_value(name: str, results: dict[str, Any]) -> str:
    """The results of `of_streams` for each value of `name`, as text."""
    empty = ["" for _ in results]
    lines = [_line(name, results), _line("characters/s", empty)]
    for contender in next(iter(results.values()))["characters_per_second"]:
        cells = [f"{at['characters_per_second'][contender]:,.0f}" for at in results.values()]
        lines.append(_line(f"  {contender}", cells))
    lines.append(_line("ratios, medians of the rounds'", empty))
    for ratio, *_ in RATIOS:
        found = [at["ratios"].get(ratio) for at in results.values()]
        if any(found):
            lines.append(_line(f"  {ratio}", ["" if cell is None else f"{cell:.2f}" for cell in found]))
    for key, title in (("first_char_ms", "to the first character, ms: p50 / p99"), ("gap_ms", "gaps, ms: p50 / p99")):
        lines += _latencies(title, {value: at[key] for value, at in results.items()})
    return "\n".join(lines)


def _latencies(title: str, by_streams: dict[str, Any], *, heads: bool = False) -> list[str]:
    if not by_streams:
        return []
    lines = [_line(title, list(by_streams) if heads else ["" for _ in by_streams])]
    for name in next(iter(by_streams.values())):
        if any(at[name]["count"] for at in by_streams.values()):
            lines.append(_line(f"  {name}", [_both(at[name]) for at in by_streams.values()]))
    return lines


def _both(found: dict[str, Any]) -> str:
    return f"{found['p50']:.0f} / {found['p99']:.0f}" if found["count"] else "none"


def _line(name: str, cells: Any) -> str:
    return f"{name:58}" + "".join(f"{cell:>14}" for cell in cells)


def _pooled(rounds: Rounds, name: str, field: str) -> list[float]:
    return [value for round_ in rounds for value in getattr(round_[name], field)]
