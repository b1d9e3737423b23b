"""How many CPUs the kernel grants this process: its affinity, and the quotas of its cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from model.engine.cgroups import own_cgroups, words_of

__all__ = ["granted_cpus"]


def granted_cpus(root: Path = Path("/")) -> int:
    """The CPUs that this process may use at a time.

    The least of those in its affinity mask (which cpusets narrow) and of the quotas of its cgroups,
    v1 and v2, on the way up to the outermost one that can be seen. Of 2.5 CPUs two count: a third
    thread would be stopped for half of every period, and with it those that wait for it. Shares and
    weights grant nothing, so they limit nothing.

    Args:
        root: where /proc and the cgroup file systems are looked for.

    Returns:
        Whole CPUs, at least 1.
    """
    return max(1, min([_affinity(), *_quotas(root)]))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[int]:
    """The quota of every cgroup that has one, in CPUs, rounded down."""
    for directory in own_cgroups("cpu", root):
        quota = words_of(directory / "cpu.max")  # v2
        if not quota:  # v1
            quota = [
                *words_of(directory / "cpu.cfs_quota_us"),
                *words_of(directory / "cpu.cfs_period_us"),
            ]
        # Without a limit the first word is "max" in v2, and "-1" in v1.
        if len(quota) == 2 and all(word.isdecimal() for word in quota) and int(quota[1]):
            yield int(quota[0]) // int(quota[1])
