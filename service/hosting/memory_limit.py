"""How much memory this process and all it starts may have."""

from __future__ import annotations

from pathlib import Path

import psutil

from model.engine.cgroups import own_cgroups, words_of

__all__ = ["free_memory", "memory_limit"]


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes that this process and all it starts may have: the machine's, or a cgroup's.

    Args:
        root: where /proc and the cgroup file systems are looked for.
    """
    limits = [int(psutil.virtual_memory().total)]
    for cgroup in own_cgroups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += [int(word) for word in words_of(cgroup / name) if word.isdecimal()]
    return min(limits)


def free_memory(root: Path = Path("/")) -> int:
    """Bytes of that which are left; what caches hold counts as left.

    Args:
        root: as for `memory_limit`.
    """
    left = [int(psutil.virtual_memory().available)]
    for cgroup in own_cgroups("memory", root):
        for most, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            sizes = [*words_of(cgroup / most), *words_of(cgroup / used)]
            if len(sizes) == 2 and all(size.isdecimal() for size in sizes):
                left.append(int(sizes[0]) - int(sizes[1]) + _cached(cgroup))
    return max(0, min(left))


def _cached(cgroup: Path) -> int:
    """Bytes of files that a cgroup's memory holds and can drop."""
    words = words_of(cgroup / "memory.stat")
    values = dict(zip(words[::2], words[1::2], strict=False))
    for name in ("inactive_file", "total_inactive_file"):
        if values.get(name, "").isdecimal():
            return int(values[name])
    return 0
