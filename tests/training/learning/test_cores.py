"""The cores that training uses: those of the affinity mask, within a container's CPU quota."""

from pathlib import Path

import pytest
import tensorflow as tf

from training.config import TrainConfig
from training.learning import step
from training.learning.cores import cores
from training.learning.step import TensorFlowTrainer, use_one_core_per_replica
from training.network.network import Network


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(4)))


def write(cgroup: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (cgroup / name).parent.mkdir(exist_ok=True)
        (cgroup / name).write_text(content)
    return cgroup


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "900000 100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "nonsense\n"}, 4),
    ],
)
def test_cores_are_those_of_the_mask_within_the_quota(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert cores(write(tmp_path, files)) == expected


@pytest.mark.usefixtures("four_cores")
def test_replicas_and_threads_are_as_many_as_the_quota_has_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = write(tmp_path, {"cpu.max": "200000 100000\n"})
    monkeypatch.setattr(step, "cores", lambda: cores(cgroup))
    config = TrainConfig(layers=1, units=2, embedding=2, batch_size=5, window=3)
    assert TensorFlowTrainer(Network(config, 4), config).rows == [3, 2]
    threads: list[int] = []
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", threads.append)
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", threads.append)
    monkeypatch.setenv("XLA_FLAGS", "")
    use_one_core_per_replica()
    assert threads == [2, 2]
