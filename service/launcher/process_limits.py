"""Limits that the kernel puts on this process, and on all that it starts: see getrlimit(2)."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import psutil

from model.engine.cgroups import own_cgroups, words_of

__all__ = ["forbid_core_dumps", "free_threads", "raise_open_files"]


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


def free_threads(root: Path = Path("/")) -> int | None:
    """How many threads this user, and this process's cgroups, may start once limits are raised.

    Processes count as one thread at least. None: as many as the machine bears.

    Args:
        root: where /proc and the cgroup file systems are looked for.
    """
    rooms = []
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
        if os.geteuid():  # root is exempt
            rooms.append(hard - _threads_of_this_user())
    for cgroup in own_cgroups("pids", root):
        most, current = words_of(cgroup / "pids.max"), words_of(cgroup / "pids.current")
        if most and current and most[0].isdecimal():  # not "max"
            rooms.append(int(most[0]) - int(current[0]))
    return min(rooms, default=None)


def _threads_of_this_user() -> int:
    threads = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid():
                threads += process.num_threads()
    return threads
