"""The number of cores that this process may use, which decides how many replicas and threads train."""

import os
import sys
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores(cgroup: Path = CGROUP) -> int:
    """The cores of the process's affinity mask, or fewer where its container has a CPU quota; at least 1."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(mask, int(_quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """The CPU quota of a Linux control group, in cores (version 2, else 1); `sys.maxsize` where there is none."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return int(quota) / int(period)
    return sys.maxsize
