"""The shares of generated lines."""

from types import SimpleNamespace
from typing import Any

import pytest

from bench.names import generated, groups, shares


def test_the_groups_of_a_line_include_its_ends() -> None:
    assert groups("Anna") == {"\nAn", "Ann", "nna", "na\n"}
    assert groups("A") == {"\nA\n"}


def test_lines_are_new_plausible_or_held_out() -> None:
    training, held_out = ["Anna", "Hanna", "Annabel"], ["Hannabel", "Zoe"]
    found = shares(["Anna", "Hannabel", "Xanna", "Hannabel"], training, held_out)
    assert found == {
        "new": 0.75,
        "plausible": 0.75,  # Anna, and Hannabel twice
        "new and plausible": 0.5,
        "in the held-out part": 0.5,
        "different from each other": 0.75,
        "plausible among the held-out lines": 0.5,
    }


@pytest.mark.parametrize("pieces", [["Ann", "a\n\nBo", "b\nCar", "l\nDo\n"], ["Anna\nBob\nCarl\nDo\n"]])
def test_only_complete_lines_are_counted(pieces: list[str]) -> None:
    model: Any = SimpleNamespace(generate=lambda prompt, **rule: iter(pieces))
    assert list(generated(model, 3, temperature=1.0, seed=1)) == ["Anna", "Bob", "Carl"]
    assert list(generated(model, 9, temperature=1.0, seed=1)) == ["Anna", "Bob", "Carl", "Do"]
