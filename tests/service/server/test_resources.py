"""Limits of the system that are high enough, can be raised, or stop the start."""

import resource
from pathlib import Path

import pytest

from service.config import Config, ConfigError
from service.server import resources


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(models=tmp_path)


@pytest.fixture(autouse=True)
def open_files(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    """The limits of this process, which the test may set and `check` may raise."""
    limits = dict.fromkeys(
        (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_AS),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    )
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return limits


def write(cgroup: Path, **files: str) -> Path:
    for name, content in files.items():
        (cgroup / name.replace("_", ".")).write_text(content)
    return cgroup


def test_the_limit_of_open_files_is_raised_as_far_as_useful(config: Config, open_files: dict, tmp_path: Path) -> None:
    open_files[resource.RLIMIT_NOFILE] = (1024, 100_000)
    connections = resources.check(config, 400, cgroup=tmp_path)
    assert connections == 400 + resources.WANTED_CONNECTIONS
    assert open_files[resource.RLIMIT_NOFILE] == (connections + resources.SPARE_FILES, 100_000)


@pytest.mark.parametrize("hard", [64, 200, 256, 783])
def test_too_few_open_files_are_refused_in_one_sentence(
    config: Config, open_files: dict, tmp_path: Path, hard: int
) -> None:
    open_files[resource.RLIMIT_NOFILE] = (hard, hard)
    with pytest.raises(ConfigError, match=rf"needs 784 open files, and the limit is {hard}: .*CHARLOOM_QUEUE"):
        resources.check(config, 400, cgroup=tmp_path)
    open_files[resource.RLIMIT_NOFILE] = (784, 784)
    assert resources.check(config, 400, cgroup=tmp_path) == 400 + resources.SPARE_CONNECTIONS


def test_too_few_threads_are_refused_in_one_sentence(config: Config, open_files: dict, tmp_path: Path) -> None:
    write(tmp_path, pids_max="463\n")
    with pytest.raises(ConfigError, match=r"needs 464 threads.*--pids-limit.*The limit is 463\."):
        resources.check(config, 400, cgroup=tmp_path)
    write(tmp_path, pids_max="max\n")
    open_files[resource.RLIMIT_NPROC] = (150, 150)
    with pytest.raises(ConfigError, match=r"The limit is 150\."):
        resources.check(config, 400, cgroup=tmp_path)
    open_files[resource.RLIMIT_NPROC] = (464, 464)
    resources.check(config, 400, cgroup=tmp_path)


def test_too_little_memory_is_refused_in_one_sentence(config: Config, tmp_path: Path) -> None:
    write(tmp_path, memory_max=str(600 * 2**20))
    with pytest.raises(ConfigError, match=r"656 MB of memory .*CHARLOOM_CACHE_MB=256.*the limit is 600 MB"):
        resources.check(config, 400, cgroup=tmp_path)
    write(tmp_path, memory_max=str(700 * 2**20))
    resources.check(config, 400, cgroup=tmp_path)
