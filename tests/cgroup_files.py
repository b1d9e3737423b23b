"""Files of Linux's control groups, as a process finds them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["system_with"]

_V2 = "30 23 0:26 / /cgroup rw shared:9 - cgroup2 cgroup2 rw"
_V1 = "31 24 0:27 / /cgroup/memory rw - cgroup cgroup rw,memory"


def system_with(folder: Path, own: str, files: dict[str, str]) -> Path:
    """A root directory with /proc/self and files of cgroups, by path below /cgroup."""
    proc = folder / "proc/self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(f"{own}\n")
    (proc / "mountinfo").write_text(f"{_V2}\n{_V1}\n")
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder
