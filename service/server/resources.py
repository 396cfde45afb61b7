"""Checks at the start that the system allows the threads, open files and memory that the settings need."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from service.config import Config, ConfigError

SPARE_THREADS = 64  # for probes, engines, the store and TensorFlow
SPARE_FILES = 256  # for libraries, the models' files and pipes
SPARE_CONNECTIONS = 128  # that wait for their request, beside those that a thread serves
WANTED_CONNECTIONS = 16_384  # that wait: each takes a few KB, and at the limit a new one closes another
BASE_MEMORY_MB = 400  # measured on a service with a small model
CGROUP = Path("/sys/fs/cgroup")


def check(config: Config, threads: int, *, cgroup: Path = CGROUP) -> int:
    """Raise the limit of open files as far as useful, and check every limit.

    Returns:
        The number of connections that may be open.

    Raises:
        ConfigError: a limit of the system is too low for the settings.
    """
    _check_threads(threads, cgroup)
    _check_memory(config, cgroup)
    return _check_open_files(threads)


def too_few_threads(threads: int) -> str:
    """The message for a limit of threads that is too low."""
    return (
        f"it needs {threads + SPARE_THREADS} threads, one for each stream that may run or wait and some more: raise "
        "the limit of processes (ulimit -u, --pids-limit) or lower CHARLOOM_SLOTS or CHARLOOM_QUEUE."
    )


def _check_threads(threads: int, cgroup: Path) -> None:
    allowed = min(_rlimit(resource.RLIMIT_NPROC), _cgroup_limit(cgroup, "pids.max", "pids/pids.max"))
    if allowed < threads + SPARE_THREADS:
        raise ConfigError(f"{too_few_threads(threads)} The limit is {allowed:.0f}.")


def _check_memory(config: Config, cgroup: Path) -> None:
    needed_mb = BASE_MEMORY_MB + config.cache_mb
    container_bytes = _cgroup_limit(cgroup, "memory.max", "memory/memory.limit_in_bytes")
    allowed_bytes = min(_rlimit(resource.RLIMIT_AS), container_bytes, _physical_memory())
    if allowed_bytes < needed_mb * 2**20:
        raise ConfigError(
            f"it needs about {needed_mb} MB of memory ({BASE_MEMORY_MB} and CHARLOOM_CACHE_MB={config.cache_mb}), and "
            f"the limit is {allowed_bytes / 2**20:.0f} MB: raise the limit or lower CHARLOOM_CACHE_MB."
        )


def _check_open_files(threads: int) -> int:
    """The number of connections that the limit of open files allows."""
    needed = threads + SPARE_CONNECTIONS + SPARE_FILES
    allowed = _raise_open_files(threads + WANTED_CONNECTIONS + SPARE_FILES)
    if allowed < needed:
        raise ConfigError(
            f"it needs {needed} open files, and the limit is {allowed}: raise it (ulimit -n) or lower "
            "CHARLOOM_SLOTS or CHARLOOM_QUEUE."
        )
    return int(allowed) - SPARE_FILES


def _rlimit(kind: int) -> float:
    soft, _ = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY or (kind == resource.RLIMIT_NPROC and os.geteuid() == 0):  # root is exempt
        return float("inf")
    return soft


def _raise_open_files(wanted: int) -> float:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return min(wanted, soft) if soft != resource.RLIM_INFINITY else wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def _cgroup_limit(cgroup: Path, *files: str) -> float:
    """The limit of the container's control group (version 2, else 1); infinity without one."""
    for name in files:
        with suppress(OSError, ValueError):
            return float(int((cgroup / name).read_text()))  # "max" raises ValueError
    return float("inf")


def _physical_memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
