"""The CPU cores that this process may use: their number and their instructions. Knows nothing of the settings."""

import os
import sys
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86 and ARM


def available_cpus(cgroup: Path = CGROUP) -> int:
    """The cores in the process's affinity mask, or fewer if the quota of its Linux control group is lower.

    A quota of 2.5 cores gives 2, since a third thread would be throttled. The result is at least 1.
    """
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(mask, int(_quota(cgroup))))


def computes_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor has instructions for products in bfloat16. False where Linux does not say so."""
    with suppress(OSError):
        return not BFLOAT16_FLAGS.isdisjoint(cpuinfo.read_text().split())
    return False


def _quota(cgroup: Path) -> float:
    """The quota in cores (control groups version 2, else 1), or a number above any machine's if there is none."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return int(quota) / int(period)
    return sys.maxsize
