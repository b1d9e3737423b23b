"""Limits that the kernel puts on this process, and on all that it starts: see getrlimit(2)."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import psutil

__all__ = ["forbid_core_dumps", "free_threads", "memory_limit", "raise_open_files"]

_CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Control group of a container: of the whole machine it has no limits."""
_OWN_GROUPS = Path("/proc/self/cgroup")


def forbid_core_dumps() -> None:
    """Keeps the memory of crashing processes, users' texts in it, off the disk.

    At a limit of one byte Linux writes no file, and starts no program that collects dumps either;
    at zero it starts that program all the same: see core(5) and `do_coredump` in Linux's sources.
    Where the hard limit is zero, only a privileged user may have the byte; for others it stays.
    """
    with contextlib.suppress(ValueError):  # not privileged
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def raise_open_files() -> int:
    """Raises the limit of each process's open files as far as this user may.

    Returns:
        The limit; a million where there is none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 2**20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_threads() -> int | None:
    """How many threads this user, and this process's control group, may still start.

    Processes count as one thread at least. None: as many as the machine bears.
    """
    rooms = []
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
        if os.geteuid():  # root is exempt
            rooms.append(hard - _threads_of_this_user())
    with contextlib.suppress(OSError, ValueError):  # no control group of its own, or "max"
        most = int((_CONTROL_GROUP / "pids.max").read_text())
        rooms.append(most - int((_CONTROL_GROUP / "pids.current").read_text()))
    return min(rooms, default=None)


def memory_limit() -> int:
    """Bytes that this process and all it starts may have: the machine's, or a control group's."""
    limits = [psutil.virtual_memory().total]
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                # In a container the path may be the host's, and the group is the root's.
                root = _CONTROL_GROUP / controllers
                for group in (root / path.strip("/") / "leaf").parents:
                    if group.is_relative_to(root):
                        limits += _limits_of(group)
    return min(limits)


def _limits_of(group: Path) -> list[int]:
    limits = []
    for name in ("memory.max", "memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int((group / name).read_text()))
    return limits


def _threads_of_this_user() -> int:
    threads = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid():
                threads += process.num_threads()
    return threads
