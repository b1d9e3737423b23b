"""How many CPUs the kernel grants this process: its affinity, and the quotas of its cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

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
    for directory in _cgroups(root):
        quota = _read(directory / "cpu.max")  # v2
        if not quota:  # v1
            quota = [
                *_read(directory / "cpu.cfs_quota_us"),
                *_read(directory / "cpu.cfs_period_us"),
            ]
        # Without a limit the first word is "max" in v2, and "-1" in v1.
        if len(quota) == 2 and all(word.isdecimal() for word in quota) and int(quota[1]):
            yield int(quota[0]) // int(quota[1])


def _cgroups(root: Path) -> Iterator[Path]:
    """The directories of this process' cgroups that can have a quota, and of those around them."""
    paths = _cgroup_paths(root)
    for line in _lines(root / "proc/self/mountinfo"):
        # ID PARENT DEVICE ROOT MOUNT_POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS
        before, _, after = line.partition(" - ")
        place, mount = before.split(), after.split()
        if len(place) < 5 or len(mount) < 3:
            continue
        controller = "cpu" if "cpu" in mount[2].split(",") else None
        kind = {"cgroup2": "", "cgroup": controller}.get(mount[0])
        if kind is None or kind not in paths:
            continue
        mount_point = root / place[4].lstrip("/")
        own = PurePosixPath(paths[kind])
        # A container may see its own cgroup only, as the root of what is mounted.
        inside = own.relative_to(place[3]) if own.is_relative_to(place[3]) else PurePosixPath()
        yield mount_point
        for depth in range(len(inside.parts)):
            yield mount_point.joinpath(*inside.parts[: depth + 1])


def _cgroup_paths(root: Path) -> dict[str, str]:
    """Controller of v1, or "" for v2, to this process' path in its hierarchy."""
    paths = {}
    for line in _lines(root / "proc/self/cgroup"):  # NUMBER:CONTROLLERS:PATH
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def _read(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    """The lines of a file; none where there is no such file."""
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
