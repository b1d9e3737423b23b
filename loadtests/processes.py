"""Processes of a service on this machine: whose they are, what they are, and what they use."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import psutil

__all__ = [
    "CpuTime",
    "ProcessKey",
    "cpu_times",
    "family",
    "kill_session",
    "kind_of",
    "pids",
    "spent",
    "wait_for",
]

_END_SECONDS = 10.0
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
    """What a process has used so far."""

    kind: str
    seconds: float


ProcessKey = tuple[int, float]
"""Id and time of creation, for ids are given again."""


def kind_of(command_line: str) -> str:
    """What a process that a service started is."""
    return next((kind for part, kind in _KINDS if part in command_line), _OTHER)


def family(root: psutil.Process, kind: str) -> Iterator[tuple[psutil.Process, str]]:
    """A process, which is called `kind`, and all that it has started, with what they are."""
    yield root, kind
    with contextlib.suppress(psutil.Error):
        for process in root.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                yield process, kind_of(" ".join(process.cmdline()))


def cpu_times(root: psutil.Process, kind: str) -> dict[ProcessKey, CpuTime]:
    """User and system time of a family, of those that still run."""
    read = {}
    for process, its_kind in family(root, kind):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            key = (process.pid, process.create_time())
            read[key] = CpuTime(kind=its_kind, seconds=times.user + times.system)
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


def pids(session: int, title: str = "") -> list[int]:
    """Processes of a session whose command line or name contains `title`, the oldest first."""
    found = []
    for process in psutil.process_iter():
        # Another user's process has no command line for us, and is of another session.
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) != session or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if title in " ".join(process.cmdline()) or title == process.name():
                found.append((process.create_time(), process.pid))
    return [pid for _, pid in sorted(found)]


def kill_session(session: int) -> None:
    """SIGKILL for all of it, until nothing is left."""
    deadline = time.monotonic() + _END_SECONDS
    while (left := pids(session)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
        time.sleep(0.05)


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Whether `condition` became true within that time; what it raises means not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if condition():
                return True
        time.sleep(0.1)
    return False
