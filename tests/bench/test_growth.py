"""Cost growth: the services of each axis, and the results of a run."""

import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import growth, summary
from bench.contender import Sample, Turn
from bench.serve import Setup
from service.config import Config
from service.cpus import available_cpus


class Served:
    """A server that needs 2 ms for a character of a prompt, and runs beside streams."""

    def __init__(self) -> None:
        self.seeds: set[int] = set()

    def __call__(self, turn: Turn) -> Sample:
        return Sample(100.0 * turn.streams, [20.0, 30.0], [5.0], client_cpu=0.1)

    def arrivals(self, turn: Turn, probes: int, prompt_chars: int) -> Sample:
        assert turn.seed not in self.seeds, "the prefix cache would know the prompts"
        self.seeds.add(turn.seed)
        gaps = [7.0] if turn.streams else []
        return Sample(0.0, [2.0 * (prompt_chars + 1)] * probes, gaps, client_cpu=0.1)


@contextmanager
def started(arguments: Namespace, folder: Path) -> Iterator[Setup]:
    served = Served()
    contenders = {summary.PRODUCTS: lambda turn: Sample(1000.0), summary.ENGINE: served, summary.HTTP: served}
    facts = {"layers": arguments.layers, "units": arguments.units, "symbols": arguments.symbols}
    yield Setup(contenders, {summary.HTTP: served}, facts)  # type: ignore[dict-item, arg-type]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setattr(growth, "started", started)
    return tmp_path / "growth.json", tmp_path / "growth.svg"


def run(files: tuple[Path, Path], *flags: str) -> dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]:
    growth.main(["--rounds", "2", "--json", str(files[0]), "--plot", str(files[1]), *flags])
    results: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]] = json.loads(files[0].read_text())
    return results


def test_more_streams_than_slots_have_a_service_of_their_own() -> None:
    slots = Config.slots * available_cpus()
    found = list(growth.services("streams", [4 * slots, 1, slots, 2 * slots]))
    assert found == [
        ({"streams": [slots]}, [1, slots]),
        ({"streams": [2 * slots]}, [2 * slots]),
        ({"streams": [4 * slots]}, [4 * slots]),
    ]


def test_each_vocabulary_has_a_service_and_all_prompts_share_one() -> None:
    assert list(growth.services("symbols", [66, 256])) == [
        ({"symbols": 66, "streams": [32]}, [66]),
        ({"symbols": 256, "streams": [32]}, [256]),
    ]
    assert list(growth.services("prompt", [0, 10])) == [({"streams": [32]}, [0, 10])]


def test_a_prompt_is_measured_alone_and_beside_streams(files: tuple[Path, Path]) -> None:
    at = run(files, "--axis", "prompt", "--values", "9,99")["prompt"]["values"]["99"]
    assert at["characters_per_second"] == {
        summary.PRODUCTS: 1000,
        summary.PROMPT_ALONE: 500,
        summary.PROMPT_BESIDE: 500,
    }
    assert at["first_char_ms"][summary.PRODUCTS]["p50"] == 100
    assert at["first_char_ms"][summary.PROMPT_ALONE]["p50"] == 200
    assert at["gap_ms"][summary.PROMPT_BESIDE]["p50"] == 7
    assert at["gap_ms"][summary.PROMPT_ALONE]["count"] == 0


def test_a_run_of_one_axis_keeps_the_others_and_draws_all(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(files)
    assert list(first) == list(growth.AXES)
    assert all([int(value) for value in first[axis]["values"]] == list(values) for axis, values in growth.AXES.items())
    second = run(files, "--axis", "streams", "--values", "2")
    assert list(second["streams"]["values"]) == ["2"]
    assert second["units"] == first["units"]
    drawing = files[1].read_text()
    assert drawing.count("<g ") == 2 * len(growth.AXES)
    assert "Milliseconds: 2 × 512, V = symbols, 32 streams" in drawing
    assert "units" in capsys.readouterr().out


def test_values_need_an_axis(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(files, "--values", "2")
    assert "--values needs --axis." in capsys.readouterr().err
