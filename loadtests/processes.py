"""Processes of a service on this machine: whose they are, what they are, and what they use."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import psutil

__all__ = [
    "CpuTimes",
    "cpu_times",
    "end",
    "family",
    "kill_session",
    "kind_of",
    "pids",
    "spent",
    "start_python",
    "wait_for",
]

_ROOT = Path(__file__).parents[1]
_END_SECONDS = 10.0
_KINDS = (
    (":Gateway", "gateway"),
    ("ray::ServeReplica", "model replica"),
    ("ray::HAProxyManager", "Serve's HAProxy manager"),
    ("ray::ProxyActor", "Serve's proxy"),
    ("ray::ServeController", "Serve's controller"),
    ("ray::MetricsHub", "metrics hub"),
    ("polyhead fork server", "fork server"),
    ("haproxy", "HAProxy"),
    ("gcs_server", "GCS"),
    ("raylet/raylet", "raylet"),
    ("log_monitor", "log monitor"),
)
"""What the command line of a process holds, and what it is called; the first that fits."""
_OTHER = "other Ray processes"


CpuTimes = Mapping[tuple[int, float], tuple[str, float]]
"""Kind and CPU seconds so far, by id and time of creation: ids are given again."""


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


def cpu_times(root: psutil.Process, kind: str) -> CpuTimes:
    """User and system time of a family, of those that still run."""
    read = {}
    for process, its_kind in family(root, kind):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            read[process.pid, process.create_time()] = its_kind, times.user + times.system
    return read


def spent(before: CpuTimes, after: CpuTimes) -> dict[str, float]:
    """CPU seconds between two readings, by kind of process; who has ended since is left out."""
    found: dict[str, float] = {}
    for key, (kind, seconds) in after.items():
        found[kind] = found.get(kind, 0.0) + seconds - before.get(key, (kind, 0.0))[1]
    return found


def start_python(
    arguments: Sequence[str],
    log: Path,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    stdin: int = subprocess.DEVNULL,
    starter: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """This Python with our packages, in a session of its own; what it prints is added to `log`.

    Args:
        arguments: of Python.
        log: a file in the folder where it runs.
        variables: of the environment, beside those of this process.
        stdin: as `subprocess` has it.
        starter: a command that becomes the one behind it.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [*starter, sys.executable, *arguments],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=os.environ | {"PYTHONPATH": str(_ROOT)} | dict(variables),
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Waits so long for a process to end by itself, then kills all of its session."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    kill_session(process.pid)
    process.wait()


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
