"""A fork server: Ray's workers begin as copies of one process that has imported what they need.

Ray starts a Python for each worker, which imports Ray twice, then Serve and the application. That
takes seconds of a CPU, and 80 MB that no other process shares; and a service has seven of them.

Run as a file, by `fork_server`. See also `service.launcher.fork_client`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["fork_server", "main", "worker_arguments"]

_AT_ONCE = (
    "grpc",
    "model.checkpoints.checkpoint",
    "model.engine.engine",
    "model.engine.native.runner",
    "model.engine.warm_up",
    "model.translator",
    "service.gateway.application",
    "uvicorn",
)
"""Imported without Ray."""
_WITH_RAY = (
    "ray._private.workers.default_worker",
    "ray.serve._private.controller",
    "ray.serve._private.proxy",
    "ray.serve._private.replica",
    "service.app",
)
_NO_JOB = "ffffffff"
"""Ray's word for it: workers that it starts before there is work have it, and take any."""
_THREAD_SECONDS = 10.0
_MOST_BYTES = 2**20
"""Of a request: more than the kernel lets through at once."""


@contextlib.contextmanager
def fork_server(directory: Path) -> Iterator[Path]:
    """Starts a server, with this process's environment, and ends it after the `with` block.

    Args:
        directory: private; for its socket.

    Yields:
        The socket, which takes requests at once: they wait until the server has imported all.
    """
    place = directory / "workers"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(place))
        listener.listen()
        command = [sys.executable, __file__, str(place), str(listener.fileno())]
        server = subprocess.Popen(
            [*command, json.dumps(sys.path)],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Threads do not survive a fork.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            # Signals of the terminal must not reach it.
            process_group=0,
        )
    # Only the server holds the socket now: when it dies, nobody waits for it.
    with server:
        try:
            yield place
        finally:
            server.kill()


def main() -> None:
    """Imports, then forks a worker for each request, until it is killed."""
    place, descriptor, path = sys.argv[1:]
    sys.path[:] = json.loads(path)
    _import(_AT_ONCE)
    with socket.socket(fileno=int(descriptor)) as listener:
        command = _serve(listener, place)
    program, *arguments = worker_arguments(command)
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


def worker_arguments(command: Sequence[str]) -> list[str]:
    """The program of a worker and its arguments, from Ray's command to set one up."""
    from ray._private.workers import setup_worker

    _, rest = setup_worker.parser.parse_known_args(command[2:])
    return rest


def _serve(listener: socket.socket, place: str) -> list[str]:
    """Answers requests; returns in each worker, with its command."""
    ready = False
    while True:
        connection, _ = listener.accept()
        with connection:
            content, streams, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
            if not content:
                continue
            request = json.loads(content)
            if not ready:
                _import_ray(request["environment"]["RAY_RAYLET_PID"], place)
                ready = True
            worker = os.fork()
            if not worker:
                break
            for stream in streams:
                os.close(stream)
            with contextlib.suppress(OSError):  # the client is gone
                connection.send(str(worker).encode())
    _adopt(request["environment"], request["directory"], streams)
    command: list[str] = request["command"]
    return command


def _import(names: Sequence[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _import_ray(raylet: str, place: str) -> None:
    """Imports Ray, which then reads variables that only workers have, and prepares to fork.

    Raises:
        RuntimeError: there are other threads, which would not survive that.
    """
    os.environ.update({"RAY_RAYLET_PID": raylet, "RAY_JOB_ID": _NO_JOB})
    _import(_WITH_RAY)
    from ray import _raylet

    compiled: Any = _raylet  # has no types
    compiled.setproctitle(f"polyhead fork server {place}")
    _wait_until_alone()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    gc.collect()
    gc.freeze()  # a collection in a worker would copy all pages


def _wait_until_alone() -> None:
    """RuntimeError where other threads go on; one that has ended is seen for a moment longer."""
    deadline = time.monotonic() + _THREAD_SECONDS
    while (count := len(os.listdir("/proc/self/task"))) > 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"a fork server must have one thread, but has {count}")
        time.sleep(0.01)


def _adopt(environment: dict[str, str], directory: str, streams: Sequence[int]) -> None:
    """Takes over what the client had."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)


if __name__ == "__main__":
    main()
