"""What the process needs of the system: threads, open files and memory. A start without them ends with a sentence."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from service.config import Config, ConfigError

SPARE_THREADS = 64  # beside those that serve requests: probes, engines, the store, TensorFlow's own
SPARE_FILES = 256  # beside connections: libraries, the models' files, pipes
SPARE_CONNECTIONS = 128  # that wait for their request, beside those that a thread serves
WANTED_CONNECTIONS = 16_384  # a connection that waits takes a few KB, and one that finds no place costs another its own
BASE_MEMORY_MB = 400  # of a service with a small model, measured
CGROUP = Path("/sys/fs/cgroup")


def check(config: Config, threads: int, *, cgroup: Path = CGROUP) -> int:
    """Raise the limit of open files as far as it helps, and check every limit.

    Returns:
        How many connections may be open.

    Raises:
        ConfigError: a limit of the system is too low for the settings.
    """
    allowed_threads = min(_rlimit(resource.RLIMIT_NPROC), _cgroup_limit(cgroup, "pids.max", "pids/pids.max"))
    if allowed_threads < threads + SPARE_THREADS:
        raise ConfigError(f"{too_few_threads(threads)} The limit is {allowed_threads:.0f}.")
    needed_mb = BASE_MEMORY_MB + config.cache_mb
    memory_files = "memory.max", "memory/memory.limit_in_bytes"
    memory_bytes = min(_rlimit(resource.RLIMIT_AS), _cgroup_limit(cgroup, *memory_files), _physical_memory())
    if memory_bytes < needed_mb * 2**20:
        raise ConfigError(
            f"it needs about {needed_mb} MB of memory ({BASE_MEMORY_MB} and CHARLOOM_CACHE_MB={config.cache_mb}), and "
            f"the limit is {memory_bytes / 2**20:.0f} MB: raise the limit or lower CHARLOOM_CACHE_MB."
        )
    needed_files = threads + SPARE_CONNECTIONS + SPARE_FILES
    allowed_files = _raise_open_files(threads + WANTED_CONNECTIONS + SPARE_FILES)
    if allowed_files < needed_files:
        raise ConfigError(
            f"it needs {needed_files} open files, and the limit is {allowed_files}: raise it (ulimit -n) or lower "
            "CHARLOOM_SLOTS or CHARLOOM_QUEUE."
        )
    return int(allowed_files) - SPARE_FILES


def too_few_threads(threads: int) -> str:
    """The sentence for a limit of threads that is too low."""
    return (
        f"it needs {threads + SPARE_THREADS} threads, one for each stream that may run or wait and some more: raise "
        "the limit of processes (ulimit -u, --pids-limit) or lower CHARLOOM_SLOTS or CHARLOOM_QUEUE."
    )


def _rlimit(kind: int) -> float:
    soft, _ = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY or (kind == resource.RLIMIT_NPROC and os.geteuid() == 0):  # root has no limit
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
    """The container's own limit (control groups version 2, else 1); without one, infinity."""
    for name in files:
        with suppress(OSError, ValueError):
            return float(int((cgroup / name).read_text()))  # "max" is no number
    return float("inf")


def _physical_memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
