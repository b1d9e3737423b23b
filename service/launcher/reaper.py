"""Ends what a service leaves behind that had no time to do it itself.

`polyhead serve` ends all it started. When it is killed, most of Ray dies with it, but not its
agents, nor a front that still holds the port. So a small process waits for its end, whatever that
is, and then ends everybody who has to do with its folder, and removes the folder.

It is run as a file, by `reaped_on_death`, and imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["main", "reaped_on_death"]

_SECONDS = 30.0
"""Until then everybody must have gone."""
_PAUSE_SECONDS = 0.1


@contextlib.contextmanager
def reaped_on_death(directory: Path) -> Iterator[None]:
    """Should this process be killed meanwhile, nothing of `directory` stays, nor who works there.

    On an orderly way out nothing is done: that is for those who entered.
    """
    command = [sys.executable, "-I", __file__, str(directory)]
    with subprocess.Popen(
        command,
        # Held by this process alone, it ends with it.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # What a terminal sends to all in front of it is not for this one.
        start_new_session=True,
    ) as waiting:
        try:
            yield
        finally:
            waiting.kill()


def main() -> None:
    """Waits for the end of standard input, then cleans up after the directory's owner."""
    directory = Path(sys.argv[1])
    sys.stdin.buffer.read()
    deadline = time.monotonic() + _SECONDS
    # One that dies may just have started another one.
    while (left := _at_work_in(directory)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_PAUSE_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)


def _at_work_in(directory: Path) -> list[psutil.Process]:
    """Who has a file of it open, or has been told of it on the command line, but for this one."""
    found = []
    for process in psutil.process_iter():
        # Those of other users do not show their files, and cannot be ended either.
        with contextlib.suppress(psutil.Error):
            names = [*process.cmdline(), *(file.path for file in process.open_files())]
            if any(str(directory) in name for name in names) and process.pid != os.getpid():
                found.append(process)
    return found


if __name__ == "__main__":
    main()
