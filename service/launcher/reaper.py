"""A reaper process, which cleans up after a service that was killed.

`polyhead serve` ends all it started. When it is killed, some processes of Ray survive, and HAProxy,
which holds the port. The reaper waits for the death of its parent, ends all processes that use the
service's private directory, and removes it.

Run as a file, by `reaped_on_death`; imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

__all__ = ["kill_until_gone", "main", "reaped_on_death"]

_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.02
_EMPTY_SCANS = 5


@contextlib.contextmanager
def reaped_on_death(directory: Path) -> Iterator[None]:
    """Starts a reaper for `directory`, in case this process is killed within the `with` block.

    On an orderly exit nothing is cleaned up.
    """
    command = [sys.executable, "-I", __file__, str(directory)]
    with subprocess.Popen(
        command,
        # A pipe that only this process holds is closed by its death.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # Signals of the terminal must not reach it.
        start_new_session=True,
    ) as reaper:
        try:
            yield
        finally:
            reaper.kill()


def kill_until_gone(find: Callable[[], list[psutil.Process]], *, seconds: float) -> None:
    """Sends SIGKILL to the processes that `find` returns, until there are none, `seconds` at most.

    A dying process may just have started another one, which a single scan can miss.
    """
    deadline = time.monotonic() + seconds
    empty_scans = 0
    while empty_scans < _EMPTY_SCANS and time.monotonic() < deadline:
        left = find()
        empty_scans = 0 if left else empty_scans + 1
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Waits for the end of standard input, then ends the directory's users and removes it."""
    directory = Path(sys.argv[1])
    sys.stdin.buffer.read()
    kill_until_gone(lambda: _users_of(directory), seconds=_TIMEOUT_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)


def _open_names(pid: int) -> list[str]:
    """What a process holds open, by name.

    psutil's `open_files` leaves out folders, FIFOs and deleted files, and asks the file system of
    each file, which may not answer.
    """
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(descriptor))
    return names


def _users_of(directory: Path) -> list[psutil.Process]:
    """Other processes with an open file, an argument or a variable in `directory`."""
    found = []
    for process in psutil.process_iter():
        # Processes of other users cannot be inspected, nor ended.
        with contextlib.suppress(psutil.Error, OSError):
            # What Ray starts may hold no file, but its environment names HAProxy's.
            variables = process.environ().values()
            names = [*process.cmdline(), *_open_names(process.pid), *variables]
            if any(str(directory) in name for name in names) and process.pid != os.getpid():
                found.append(process)
    return found


if __name__ == "__main__":
    main()
