"""The processes of a service, found in /proc by their session and their title."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["kill_session", "pids", "wait_for"]

_END_SECONDS = 10.0


def pids(session: int, title: str = "") -> list[int]:
    """Of one session, those whose command line or name contains `title`, the oldest first."""
    found: list[tuple[int, int]] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # What stands after the name, which may hold spaces and brackets.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] == "Z" or int(fields[3]) != session:
                continue
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if title in line or title == (entry / "comm").read_text().strip():
                found.append((int(fields[19]), int(entry.name)))
    return [pid for _, pid in sorted(found)]


def kill_session(session: int) -> None:
    """SIGKILL for all of it, until nothing is left."""
    deadline = time.monotonic() + _END_SECONDS
    while (left := pids(session)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
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
