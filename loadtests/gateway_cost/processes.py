"""The CPU time of a process and of all it has started, by what they are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

__all__ = ["CpuTime", "kind_of", "read_cpu", "spent"]

_KINDS = (
    (":Gateway", "gateway"),
    ("ray::ServeReplica", "model replica"),
    ("ray::HAProxyManager", "Serve's HAProxy manager"),
    ("ray::ProxyActor", "Serve's proxy"),
    ("ray::ServeController", "Serve's controller"),
    ("ray::MetricsHub", "metrics hub"),
    ("haproxy", "HAProxy"),
    ("gcs_server", "GCS"),
    ("raylet/raylet", "raylet"),
    ("log_monitor", "log monitor"),
)
"""What the command line of a process holds, and what it is called; the first that fits."""
_OTHER = "other Ray processes"


@dataclass(frozen=True, kw_only=True)
class CpuTime:
    """Of one process, so far."""

    kind: str
    seconds: float


ProcessKey = tuple[int, float]
"""Id and time of creation, for ids are given again."""


def kind_of(command_line: str) -> str:
    """What a process that a service started is."""
    return next((kind for part, kind in _KINDS if part in command_line), _OTHER)


def read_cpu(root: psutil.Process, kind: str) -> dict[ProcessKey, CpuTime]:
    """Of `root` and everything it has started that still runs, user and system time together.

    `kind` is what `root` is called; the others' command lines tell.
    """
    family = {root: kind}
    for process in root.children(recursive=True):
        with suppress(psutil.Error):
            family[process] = kind_of(" ".join(process.cmdline()))
    read = {}
    for process, kind in family.items():
        with suppress(psutil.Error):
            times = process.cpu_times()
            key = (process.pid, process.create_time())
            read[key] = CpuTime(kind=kind, seconds=times.user + times.system)
    return read


def spent(
    before: Mapping[ProcessKey, CpuTime], after: Mapping[ProcessKey, CpuTime]
) -> dict[str, float]:
    """Seconds by kind between two readings; a process that has ended since is not counted."""
    seconds: dict[str, float] = {}
    for key, now in after.items():
        then = before[key].seconds if key in before else 0.0
        seconds[now.kind] = seconds.get(now.kind, 0.0) + now.seconds - then
    return seconds
