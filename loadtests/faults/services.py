"""Services to do harm to: `polyhead serve`, and a Ray cluster of several nodes on this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from loadtests.faults.processes import kill_session, pids, wait_for

__all__ = ["APPLICATION", "Cluster", "LocalService", "Service", "ServiceError", "free_port"]

APPLICATION = "polyhead"
_ROOT = Path(__file__).parents[2]
_GATEWAYS_CPUS = 1
TRANSLATOR_CPUS = 2
"""As Ray counts them: more than what gateways leave, so that each translator has a node."""
_START_SECONDS = 180.0
_REPLICAS = 2
_TAIL = 2000


class ServiceError(RuntimeError):
    """A service did not start, or did not become whole again."""


class Service(Protocol):
    """What a case needs to know of either."""

    url: str
    folder: Path

    def pids(self, title: str) -> list[int]:
        """Its processes with that in their title."""
        ...

    def close(self) -> None:
        """Ends all of it."""
        ...


class LocalService:
    """`polyhead serve` with two gateways and two translators."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            *("-m", "loadtests.faults.fragile_serve"),
            *("serve", "--port", str(port), "--replicas", str(_REPLICAS)),
        ]
        variables = {"POLYHEAD_GATEWAY_REPLICAS": str(_REPLICAS), "POLYHEAD_SABOTAGE": str(folder)}
        self.process = _start(command, folder / "log", variables)
        if not wait_for(self._ready_or_ended, _START_SECONDS) or self.process.poll() is not None:
            self.close()
            raise ServiceError(f"it did not start: {(folder / 'log').read_text()[-_TAIL:]}")

    def pids(self, title: str) -> list[int]:
        """Its processes with that in their title."""
        return [pid for pid in pids(self.process.pid, title) if pid != self.process.pid]

    def close(self) -> None:
        """As Ctrl-C does, and then whatever is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=20)
        kill_session(self.process.pid)

    def _ready_or_ended(self) -> bool:
        return "Ctrl-C" in (self.folder / "log").read_text() or self.process.poll() is not None


class Cluster:
    """A head that holds the front and the gateways, and workers with room for one translator each.

    It is deployed to as an operator does it: `serve deploy` with a file.
    """

    def __init__(self, folder: Path, *, haproxy: bool = True) -> None:
        """Without workers yet."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._dashboard = f"http://127.0.0.1:{free_port()}"
        self._variables = _cluster_variables(folder, haproxy=haproxy)
        self.nodes: list[subprocess.Popen[bytes]] = []
        self._address = f"{_own_address()}:{free_port()}"
        try:
            self._start_node(
                "--head", f"--port={self._address.rpartition(':')[2]}",
                f"--num-cpus={_GATEWAYS_CPUS}",
                f"--dashboard-port={self._dashboard.rpartition(':')[2]}",
                f"--ray-client-server-port={free_port()}",
                f"--temp-dir={folder / 'ray'}",
            )  # fmt: skip
            if not wait_for(self._dashboard_answers, _START_SECONDS):
                raise ServiceError("the head did not start")
        except BaseException:
            self.close()
            raise

    def add_worker(self) -> None:
        """One more node; comes back when it has joined.

        Raises:
            ServiceError: it has not. Two that join at the same moment get in each other's way.
        """
        log = self._start_node(f"--address={self._address}", f"--num-cpus={TRANSLATOR_CPUS}")
        if not wait_for(lambda: "Ray runtime started" in log.read_text(), _START_SECONDS):
            raise ServiceError("a worker did not join")

    def deploy(self, **settings: Any) -> None:
        """`serve deploy`, with these settings of the application; comes back before it is done."""
        config = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": "127.0.0.1", "port": self.port},
            "logging_config": {"log_level": "WARNING", "enable_access_log": False},
            "applications": [
                {
                    "name": APPLICATION,
                    "route_prefix": "/",
                    "import_path": "service.app:build",
                    "args": settings,
                }
            ],
        }
        file = self.folder / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "ray.serve.scripts", "deploy", str(file)]
        ran = subprocess.run(
            [*command, f"--address={self._dashboard}"],
            env=os.environ | self._variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )
        if ran.returncode:
            raise ServiceError(f"`serve deploy` failed: {(ran.stdout + ran.stderr)[-_TAIL:]}")

    def pids(self, title: str) -> list[int]:
        """Its processes with that in their title, of all nodes."""
        return [pid for node in self.nodes for pid in pids(node.pid, title)]

    def node_of(self, pid: int) -> subprocess.Popen[bytes]:
        """The node that a process runs on."""
        return next(node for node in self.nodes if pid in pids(node.pid))

    def raylet_of(self, node: subprocess.Popen[bytes]) -> int:
        """The process that stands for the node in the cluster."""
        return pids(node.pid, "raylet")[0]

    def kill_node(self, node: subprocess.Popen[bytes]) -> None:
        """All of its processes, at once."""
        kill_session(node.pid)

    def close(self) -> None:
        """Kills all nodes."""
        for node in reversed(self.nodes):
            kill_session(node.pid)
            node.wait()

    def _start_node(self, *arguments: str) -> Path:
        """Where its output goes."""
        command = [
            *("-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *("--object-store-memory", str(100 * 2**20)),
            *("--min-worker-port=0", "--max-worker-port=0", *arguments),
        ]
        log = self.folder / f"node{len(self.nodes)}"
        self.nodes.append(_start(command, log, self._variables))
        return log

    def _dashboard_answers(self) -> bool:
        request = urllib.request.Request(
            f"{self._dashboard}/api/version",
            headers={"Authorization": f"Bearer {self._variables['RAY_AUTH_TOKEN']}"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _own_address() -> str:
    """Of this machine, as Ray finds it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 1))  # nothing is sent
        address: str = probe.getsockname()[0]
        return address


def _start(
    arguments: Sequence[str], log: Path, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=os.environ | {"PYTHONPATH": str(_ROOT)} | dict(variables),
            start_new_session=True,
        )


def _cluster_variables(folder: Path, *, haproxy: bool) -> dict[str, str]:
    """What every node must have in its environment."""
    variables = {
        "PYTHONPATH": str(_ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "service.proxy_headers:middlewares",
    }
    if haproxy:
        # In a process of its own, for the module is the service's: variables come over stdout.
        code = (
            "import json, sys; from pathlib import Path; from service.haproxy import "
            "serve_variables; print(json.dumps(serve_variables(Path(sys.argv[1]), "
            "host='127.0.0.1')))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        variables |= yaml.safe_load(ran.stdout)
    return variables
