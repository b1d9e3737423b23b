"""Limits that the kernel puts on this process, and on all that it starts: see getrlimit(2)."""

from __future__ import annotations

import resource

__all__ = ["forbid_core_dumps", "raise_open_files"]


def forbid_core_dumps() -> None:
    """Keeps the memory of crashing processes, users' texts in it, off the disk.

    At a limit of one byte Linux writes no file, and starts no program that collects dumps either;
    at zero it starts that program all the same: see core(5) and `do_coredump` in Linux's sources.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def raise_open_files() -> int:
    """Raises the limit of open files as far as this user may.

    Returns:
        The limit of each process, at least; what counts as unlimited is a million.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 2**20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
