"""The control groups of this process, which limit its CPUs, memory and threads: see cgroups(7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["own_cgroups", "words_of"]


def own_cgroups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """The directories of this process' cgroups, v1 and v2, and of those around them.

    Args:
        controller: what must have a hierarchy of its own in v1: "cpu", "memory", "pids".
        root: where /proc and the cgroup file systems are looked for.
    """
    paths = _cgroup_paths(root)
    for line in _lines(root / "proc/self/mountinfo"):
        # ID PARENT DEVICE ROOT MOUNT_POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS
        before, _, after = line.partition(" - ")
        place, mount = before.split(), after.split()
        if len(place) < 5 or len(mount) < 3:
            continue
        v1 = controller if controller in mount[2].split(",") else None
        kind = {"cgroup2": "", "cgroup": v1}.get(mount[0])
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


def words_of(path: Path) -> list[str]:
    """The words of a file; none where there is no such file."""
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
