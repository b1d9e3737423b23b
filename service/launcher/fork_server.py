"""A fork server: Ray's workers begin as copies of one process that has imported what they need.

Ray starts a Python for each worker, which imports Ray twice, then Serve and the application. That
takes two seconds of a CPU, and 80 MB that no other process shares; and a service has seven of them.

The raylet starts `service.launcher.fork_client` in place of a worker. That hands all that a child
would have inherited to this process, which forks one that goes on as Ray's own program of a worker.
Where that is not possible, the client becomes what Ray would have started.

Run as a file, by `fork_server`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
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

_IMPORTED = (
    "jinja2",
    "model.checkpoints.checkpoint",
    "model.engine.native.runner",
    "model.engine.warm_up",
    "model.translator",
    "ray._private.workers.default_worker",
    "ray._private.workers.setup_worker",
    "ray.serve._private.controller",
    "service.app",
)
_NO_JOB = "ffffffff"
"""Ray's word for it: workers that it starts before there is work have it, and take any."""
_THREAD_SECONDS = 10.0
_REQUEST_SECONDS = 10.0
_MOST_BYTES = 2**20
"""Most of a request: more than the kernel lets through at once."""


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
        # Ray's library reads these when it is imported. A worker ends when the process named by the
        # first one has ended: the raylet, which does not run yet, ends with this process.
        variables = {"RAY_RAYLET_PID": str(os.getpid()), "RAY_JOB_ID": _NO_JOB}
        # Titles must not be written over the variables, by which a reaper knows its processes.
        variables["SPT_NOENV"] = "1"
        # Few of a worker's thirty threads allocate: an arena for each keeps 3 MB for nothing.
        variables["MALLOC_ARENA_MAX"] = os.environ.get("MALLOC_ARENA_MAX", "2")
        server = subprocess.Popen(
            [*command, json.dumps(sys.path)],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Threads do not survive a fork.
            env=os.environ | variables | {"OPENBLAS_NUM_THREADS": "1"},
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
    gc.disable()  # imports make many objects, and little garbage
    _import_all()
    _prepare_to_fork(place)
    with socket.socket(fileno=int(descriptor)) as listener:
        program, *arguments = _serve(listener)
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


def worker_arguments(command: Sequence[str]) -> list[str] | None:
    """The program of a worker and its arguments, from Ray's command to set one up.

    None for a worker that needs more set up than that.
    """
    from ray._private.workers import setup_worker

    known, rest = setup_worker.parser.parse_known_args(command[2:])
    context = json.loads(known.serialized_runtime_env_context or "{}")
    return rest if known.language == "PYTHON" and not context else None


def _serve(listener: socket.socket) -> list[str]:
    """Answers requests; returns in each worker, with its program and arguments."""
    while True:
        connection, _ = listener.accept()
        connection.settimeout(_REQUEST_SECONDS)
        with connection, contextlib.suppress(TimeoutError):  # a client that was stopped
            content, streams, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
            request = json.loads(content or "null")
            arguments = request and worker_arguments(request["command"])
            if arguments and _fork_or_not() == 0:
                _adopt(request, streams)
                try:
                    connection.send(b"started")
                except OSError:  # the client has ended, or became the worker
                    os._exit(0)
                return arguments
            for stream in streams:
                os.close(stream)


def _fork_or_not() -> int | None:
    """`os.fork`; None, and the client is not answered, at a limit of processes or of memory."""
    try:
        return os.fork()
    except OSError:
        return None


def _import_all() -> None:
    """Imports without a call of Ray's generator of random ids, which seeds itself at the first one.

    Workers would have its state from here, and all make the same ids.
    """
    actor: Any = importlib.import_module("ray.actor")
    drawn = actor.ActorClassID

    class SystemRandom:
        @staticmethod
        def from_random() -> Any:
            return drawn(os.urandom(drawn.size()))

    actor.ActorClassID = SystemRandom
    for name in _IMPORTED:
        importlib.import_module(name)
    actor.ActorClassID = drawn
    importlib.import_module("service.launcher.steady_time").give_steady_time("ray.serve")


def _prepare_to_fork(place: str) -> None:
    """RuntimeError where workers could not live after a fork.

    Other threads would not survive it; one that has ended is seen for a moment longer.
    """
    compiled = _compiled()
    compiled.setproctitle(f"polyhead fork server {place}")
    deadline = time.monotonic() + _THREAD_SECONDS
    while (count := len(os.listdir("/proc/self/task"))) > 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"a fork server must have one thread, but has {count}")
        time.sleep(0.01)
    if _id_of_a_child() == _id_of_a_child():
        raise RuntimeError("the workers of a fork server must have ids of their own")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    # Else each line that Serve cannot write to its own log, on a full disk, is twenty of ours.
    logging.raiseExceptions = False
    gc.collect()
    gc.freeze()  # a collection in a worker would copy all pages
    gc.enable()


def _compiled() -> Any:
    from ray import _raylet

    return _raylet  # has no types


def _id_of_a_child() -> bytes:
    """What Ray's generator gives a forked process first."""
    read_end, write_end = os.pipe()
    if not (child := os.fork()):
        os.write(write_end, _compiled().UniqueID.from_random().binary())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        drawn = pipe.read()
    os.waitpid(child, 0)
    return drawn


def _adopt(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Takes over what the client had."""
    # The raylet ends a worker's whole process group with it.
    os.setpgid(0, 0)
    os.setpriority(os.PRIO_PROCESS, 0, request["niceness"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked_signals"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    # One may be in a folder that one may not enter.
    if os.getcwd() != request["directory"]:
        os.chdir(request["directory"])


if __name__ == "__main__":
    main()
