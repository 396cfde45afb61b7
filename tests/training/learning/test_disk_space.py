"""The disk space that a run needs, computed before its network is made."""

from pathlib import Path

import pytest

from training.config import TrainConfig
from training.errors import InputError
from training.learning import disk_space
from training.learning.disk_space import BYTES_PER_NUMBER, GRAPH_BYTES, parameters_of, require_disk_space
from training.network.network import Network
from training.network.weights import weights_of


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("embedding", [0, 3])
def test_parameters_are_counted_without_a_network(cell: str, embedding: int) -> None:
    config = TrainConfig(cell=cell, layers=2, units=5, embedding=embedding)
    assert parameters_of(config, 7) == weights_of(Network(config, 7)).parameters


@pytest.mark.parametrize(("ema", "saved", "copies"), [(0.0, True, 4), (0.9, True, 5), (0.0, False, 8)])
def test_a_run_needs_copies_of_its_weights(
    monkeypatch: pytest.MonkeyPatch, ema: float, saved: bool, copies: int
) -> None:
    needs: list[dict[Path, int]] = []
    monkeypatch.setattr(disk_space, "require_space", lambda folders, content: needs.append(folders))
    config = TrainConfig(units=8, ema=ema)
    require_disk_space(config, 9, Path("store"), Path("run"), saved=saved)
    size = BYTES_PER_NUMBER * parameters_of(config, 9)
    assert needs == [{Path("store"): size + GRAPH_BYTES, Path("run"): copies * size}]


def test_more_than_is_free_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"A network of 12,.* parameters needs about .* are free"):
        require_disk_space(TrainConfig(units=1_000_000), 9, tmp_path / "models", tmp_path / "runs")
