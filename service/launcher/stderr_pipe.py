"""Standard error of this process and of Ray's, without what only means something to Ray."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import select
import sys
import threading
from collections.abc import Iterator

__all__ = ["filtered_stderr", "is_marker"]

_MARKER = re.compile(
    # For Ray's log monitor, which is not there; and each process once, whatever its level.
    rb":(?:job_id|actor_name|task_name):|\[[^\]]* I \d+ \d+\] logging\.cc:\d+: Set ray log level "
)
_STDERR = 2
_MOST_LINES = 10_000
"""Lines that wait while this process's standard error takes none; more are dropped."""
_LONGEST_LINE = select.PIPE_BUF
"""What a pipe takes in one piece, bytes."""
_PIPE_BYTES = 2**20
_FLUSH_SECONDS = 1.0


@contextlib.contextmanager
def filtered_stderr() -> Iterator[None]:
    """Makes standard error a pipe, whose lines are written to what it was before.

    For this process and all that it starts. Whoever writes to it does not wait for who reads
    standard error. Lines of up to 4,096 bytes stay whole. Those that only mean something to Ray are
    left out.
    """
    sys.stderr.flush()
    original = os.dup(_STDERR)
    read_end, write_end = os.pipe()
    _enlarge(read_end)
    os.dup2(write_end, _STDERR)
    os.close(write_end)
    lines: queue.Queue[bytes | None] = queue.Queue(_MOST_LINES)
    threads = [
        threading.Thread(target=_read, args=(read_end, lines), daemon=True),
        threading.Thread(target=_write, args=(lines, original), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        # The others who could write have ended by now.
        os.dup2(original, _STDERR)
        for thread in threads:
            thread.join(_FLUSH_SECONDS)
        if not any(thread.is_alive() for thread in threads):
            os.close(original)


def is_marker(line: bytes) -> bool:
    """Whether a line of a Ray process is for Ray itself."""
    return _MARKER.match(line) is not None


def _enlarge(pipe: int) -> None:
    """Makes room for some seconds of log lines, should this process be stopped."""
    with contextlib.suppress(OSError):  # a user has a quota
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _read(read_end: int, lines: queue.Queue[bytes | None]) -> None:
    with open(read_end, "rb") as pipe:
        for line in iter(lambda: pipe.readline(_LONGEST_LINE), b""):
            if not is_marker(line):
                with contextlib.suppress(queue.Full):
                    lines.put_nowait(line)
    with contextlib.suppress(queue.Full):
        lines.put(None, timeout=_FLUSH_SECONDS)


def _write(lines: queue.Queue[bytes | None], target: int) -> None:
    while (line := lines.get()) is not None:
        with contextlib.suppress(OSError):  # a terminal or a pipe that was closed
            while line:
                line = line[os.write(target, line) :]
