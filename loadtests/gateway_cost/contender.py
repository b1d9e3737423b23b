"""The parent's end of a contender's process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from loadtests.bench.errors import BenchError
from loadtests.gateway_cost.load import generate_load
from loadtests.gateway_cost.options import Front
from loadtests.processes import CpuTime, ProcessKey, cpu_times, kill_session
from service.launcher.ports import free_port

__all__ = ["Contender"]

_ROOT = Path(__file__).parents[2]
_READY_SECONDS = 150.0
"""A busy machine takes its time to start Ray."""
_SETTLE_SECONDS = 1.0
"""HAProxy begins anew, and closes connections, as long as Serve tells it of new replicas."""
_END_SECONDS = 20.0
_LAST_WORDS = 2000


class Contender:
    """Started at once; `with` ends it and everything it has started.

    Args:
        front: which one.
        folder: gets what it writes to stdout and stderr, request log lines included.
    """

    def __init__(self, front: Front, folder: Path) -> None:
        self.front = front
        self.port = free_port()
        self._output = folder / f"{front}.log"
        self._ready = folder / f"{front}.ready"
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "loadtests.gateway_cost.server"),
                    *(front, str(self.port), str(self._ready)),
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": path},
                # Ctrl-C is for the parent, who ends this one by its pipe.
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)

    def wait_until_ready(self) -> None:
        """Returns once the right answers come, one after the other.

        Raises:
            BenchError: it has ended, or does not answer, or not right.
        """
        deadline = time.monotonic() + _READY_SECONDS
        problem = "it did not say that it serves"
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
            if not self._ready.exists():
                continue
            try:
                if not generate_load(self.port, clients=1, seconds=_SETTLE_SECONDS).reconnections:
                    return
                problem = "it kept closing connections"
            except BenchError as error:
                problem = str(error)
        said = self._output.read_text(errors="replace")[-_LAST_WORDS:]
        raise BenchError(f"{self.front} did not get ready: {problem}; it said:\n{said}")

    def cpu(self) -> dict[ProcessKey, CpuTime]:
        """CPU times of all its processes until now."""
        with_ray = self.front in (Front.HAPROXY, Front.PYTHON_PROXY)
        # With Ray, it writes the others' log lines to its own stderr.
        return cpu_times(self._root, "launcher" if with_ray else "uvicorn")

    def close(self) -> None:
        """Asks it to end, and sees to it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)
        kill_session(self._process.pid)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
