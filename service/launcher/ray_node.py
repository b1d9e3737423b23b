"""Ray's node without the processes that a service on one machine does not use.

`ray.init` starts five Python processes beside Ray's directory (GCS) and its scheduler (raylet): the
monitor of its cluster autoscaler, the dashboard's head and agent, the runtime environments' agent,
and the log monitor. None of them takes part in a request. They cost memory and time
at the start, listen on ports, and the raylet ends, and with it the service, when an agent dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ray import _raylet
from ray._private import node as ray_node
from ray._private import services

from service.launcher import fork_client

__all__ = ["few_processes", "forbid_signal_handlers", "with_fork_server", "without_agents"]

_compiled: Any = _raylet  # has no types
_AGENT = re.compile(r"--(dashboard|runtime_env)_agent_command=.*", re.DOTALL)
_WORKER = re.compile(r"^--python_worker_command=")
_AGENTS_PORTS = (
    _compiled.METRICS_AGENT_PORT_NAME,
    _compiled.METRICS_EXPORT_PORT_NAME,
    _compiled.DASHBOARD_AGENT_LISTEN_PORT_NAME,
    _compiled.RUNTIME_ENV_AGENT_PORT_NAME,
)
_NOT_IN_USE = -1
"""What Ray's agents write where they listen on no port."""
_HANDLERS_INSTALLED = "_ZN3ray6RayLog36is_failure_signal_handler_installed_E"
"""ray::RayLog::is_failure_signal_handler_installed_, a bool."""


@contextlib.contextmanager
def few_processes(directory: Path, workers: Path | None) -> Iterator[None]:
    """Makes `ray.init` start GCS and raylet alone, within the `with` block.

    The raylet insists on agents: it gets two processes that sleep. Its workers come from a fork
    server, if there is one. All inherit standard error; their standard output is discarded.

    Args:
        directory: for the program of those that sleep.
        workers: the fork server's socket; None for workers that Ray starts by itself.

    Raises:
        AttributeError: Ray is not as expected.
    """
    sleeper = directory / "sleep"
    # The raylet appends arguments of its own.
    # Whatever PATH the service was started with.
    sleeper.write_text("#!/bin/sh\nPATH=$PATH:/usr/bin:/bin\nexec sleep infinity\n")
    sleeper.chmod(0o700)
    start = services.start_ray_process

    def start_without_agents(command: list[str], *arguments: Any, **options: Any) -> Any:
        options |= {"stdout_file": subprocess.DEVNULL}
        command = without_agents(command, sleeper)
        if workers is not None:
            command = with_fork_server(command, workers)
        return start(command, *arguments, **options)

    with (
        _replaced(services, "start_ray_process", start_without_agents),
        _replaced(ray_node, "Node", _Node),
    ):
        yield


def forbid_signal_handlers() -> None:
    """Keeps Ray from installing handlers of its own, in C, in this process; not in its children.

    That of SIGTERM aborts the process.

    Raises:
        ValueError: Ray is not as expected.
    """
    library = ctypes.CDLL(_compiled.__file__)
    ctypes.c_bool.in_dll(library, _HANDLERS_INSTALLED).value = True


def without_agents(command: list[str], sleeper: Path) -> list[str]:
    """The command that starts a process of Ray, with `sleeper` for each agent of a raylet."""
    return [
        f"--{match[1]}_agent_command={sleeper}" if (match := _AGENT.fullmatch(word)) else word
        for word in command
    ]


def with_fork_server(command: list[str], socket: Path) -> list[str]:
    """The command that starts a process of Ray, with a client of the fork server for workers."""
    client = subprocess.list2cmdline(
        [sys.executable, "-I", "-S", fork_client.__file__, str(socket)]
    )
    return [_WORKER.sub(lambda match: f"{match[0]}{client} ", word) for word in command]


class _Node(ray_node.Node):
    def start_api_server(self, **_: Any) -> None:
        """Starts no dashboard."""

    def start_log_monitor(self) -> None:
        """Starts no log monitor."""

    def start_monitor(self) -> None:
        """Starts no monitor of the autoscaler."""

    def start_raylet(self, *arguments: Any, **options: Any) -> None:
        """Starts the raylet, which would wait for its agents to write these files."""
        for name in _AGENTS_PORTS:
            _compiled.persist_port(self._session_dir, self._node_id, name, _NOT_IN_USE)
        super().start_raylet(*arguments, **options)


@contextlib.contextmanager
def _replaced(owner: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
