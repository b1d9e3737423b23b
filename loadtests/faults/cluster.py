"""Services to do harm to: `polyhead serve`, and a Ray cluster of several nodes on this machine."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import httpx
import yaml

from loadtests.faults.network import Machine, Network
from loadtests.processes import end, kill_session, pids, start_python, wait_for
from service.launcher.haproxy import HAProxyOptions, serve_variables
from service.launcher.ports import free_port

__all__ = [
    "APPLICATION",
    "TRANSLATOR_CPUS",
    "Cluster",
    "LocalService",
    "RedisServer",
    "Service",
    "ServiceError",
]

_GATEWAYS_CPUS = 1
TRANSLATOR_CPUS = 2
"""As Ray counts them: more than what gateways leave, so that each translator has a node."""
_START_SECONDS = 180.0
_REDIS_SECONDS = 30.0
_TAIL = 2000
_WORKER_CPUS = TRANSLATOR_CPUS + _GATEWAYS_CPUS
"""A worker's, by default: while replicas are replaced, Serve may put both gateways where a
translator has just ended, and the next one must find room there all the same."""
APPLICATION = "polyhead"
_END_SECONDS = 20.0
_RESTART_SECONDS = 1.0
"""From the end of a node to the next start of it."""
_REPLICAS = 2


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
    """`polyhead serve` with two gateways, and two translators of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            *("-m", "loadtests.faults.fragile_serve"),
            *("serve", "--port", str(port), "--model", "en-de", "--replicas", str(_REPLICAS)),
        ]
        variables = {"POLYHEAD_GATEWAY_REPLICAS": str(_REPLICAS), "POLYHEAD_SABOTAGE": str(folder)}
        self.process = start_python(command, folder / "log", variables)
        if not wait_for(self._ready_or_ended, _START_SECONDS) or self.process.poll() is not None:
            self.close()
            raise ServiceError(f"it did not start: {(folder / 'log').read_text()[-_TAIL:]}")

    def pids(self, title: str) -> list[int]:
        """Its processes with that in their title."""
        return [pid for pid in pids(self.process.pid, title) if pid != self.process.pid]

    def close(self) -> None:
        """As Ctrl-C does, and then whatever is left."""
        self.process.send_signal(signal.SIGINT)
        end(self.process, _END_SECONDS)

    def _ready_or_ended(self) -> bool:
        return "Ctrl-C" in (self.folder / "log").read_text() or self.process.poll() is not None


class RedisServer:
    """A Redis of our own, on loopback, with a password; in memory only."""

    PROGRAM: ClassVar[str] = "redis-server"
    """To be found on the PATH."""

    def __init__(self, folder: Path) -> None:
        """Comes back when it takes connections.

        Raises:
            RuntimeError: it did not start.
        """
        program = shutil.which(self.PROGRAM)
        if program is None:
            raise RuntimeError(f"{self.PROGRAM} must be on the PATH, but is not")
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.namespace = f"faults-{secrets.token_hex(4)}"
        """Prefix of this cluster's keys."""
        settings = (
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'save ""\nappendonly no\ndir {folder}\n'
        )
        with (folder / "redis").open("wb") as output:
            # Not as arguments, where everybody could read the password.
            self._process = subprocess.Popen(
                [program, "-"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(settings.encode())
        self._process.stdin.close()
        if not wait_for(self._listens, _REDIS_SECONDS):
            self.close()
            raise RuntimeError("Redis did not start")

    @property
    def variables(self) -> dict[str, str]:
        """What Ray's head must find in its environment."""
        return {
            "RAY_REDIS_ADDRESS": f"127.0.0.1:{self.port}",
            "RAY_external_storage_namespace": self.namespace,
        }

    def close(self) -> None:
        """Ends it."""
        end(self._process, 0.0)

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True


@dataclass
class _Node:
    """One of Ray's nodes, and what it was started with."""

    arguments: list[str]
    variables: dict[str, str]
    log: Path
    machine: Machine | None
    process: subprocess.Popen[bytes]

    def has_started(self) -> bool:
        """Whether it is there, with its raylet."""
        return "Ray runtime started" in self.log.read_text()


class Cluster:
    """A head that holds the front and the gateways, and workers with room for one translator each.

    It is deployed to as an operator does it: `serve deploy` with a file.
    """

    def __init__(
        self, folder: Path, *, redis: RedisServer | None = None, network: Network | None = None
    ) -> None:
        """Without workers yet.

        Args:
            folder: of all its files.
            redis: keeps what the head knows; the head then holds neither gateways nor translators,
                and every node has a front.
            network: each node is a machine there; the head then holds neither, either. It ends
                with the cluster.
        """
        self.folder = folder
        self.port = free_port()
        self._network = network
        self._nodes: list[_Node] = []
        self._head_machine = self._new_machine()
        host = "127.0.0.1" if self._head_machine is None else self._head_machine.address
        self.url = f"http://{host}:{self.port}"
        self._dashboard = f"http://{host}:{free_port()}"
        self._variables = _cluster_variables() | self._front_variables(host)
        self._closing = threading.Event()
        self._supervisor: threading.Thread | None = None
        self.restarts = 0
        """Nodes that have ended and were started again."""
        own = _own_address() if self._head_machine is None else host
        self._address = f"{own}:{free_port()}"
        self._client_port = free_port()
        self._redis = redis
        try:
            self.start_head()
        except BaseException:
            self.close()
            raise

    def start_head(self) -> None:
        """Comes back when it can be deployed to; once more after the head was killed.

        Raises:
            ServiceError: it did not start.
        """
        options = [
            *("--head", f"--port={self._address.rpartition(':')[2]}"),
            f"--dashboard-port={self._dashboard.rpartition(':')[2]}",
            f"--ray-client-server-port={self._client_port}",
            f"--temp-dir={self.folder / 'ray'}",
        ]
        machine = self._head_machine
        if machine is not None:
            options.append(f"--dashboard-host={machine.address}")
        if self._redis is not None:
            options.append(f"--redis-password={self._redis.password}")
        leads_only = self._redis is not None or machine is not None
        options.append(f"--num-cpus={0 if leads_only else _GATEWAYS_CPUS}")
        variables = {} if self._redis is None else self._redis.variables
        self._head = self._start_node(*options, variables=variables, machine=machine)
        if not wait_for(
            lambda: self._head.has_started() and self._dashboard_answers(), _START_SECONDS
        ):
            raise ServiceError("the head did not start")

    def add_worker(self, *, cpus: int = _WORKER_CPUS, front: str | None = None) -> None:
        """One more node; comes back when it has joined.

        Args:
            cpus: as Ray counts them.
            front: address of a HAProxy of its own, which `url` then names.

        Raises:
            ServiceError: it has not. Two that join at the same moment get in each other's way.
        """
        variables: dict[str, str] = {}
        machine = self._new_machine()
        if machine is not None:
            variables = self._front_variables(machine.address)
        elif front is not None:
            variables = self._front_variables(front)
            self.url = f"http://{front}:{self.port}"
        options = [f"--address={self._address}", f"--num-cpus={cpus}"]
        node = self._start_node(*options, variables=variables, machine=machine)
        if not wait_for(node.has_started, _START_SECONDS):
            raise ServiceError("a worker did not join")

    def supervise(self) -> None:
        """From now on a node that has ended is started again: all of it, as a container is."""
        self._supervisor = threading.Thread(target=self._restart_ended)
        self._supervisor.start()

    def deploy(self, **settings: Any) -> None:
        """`serve deploy`, with these settings of the application; comes back before it is done."""
        config = {
            "proxy_location": "HeadOnly" if self._redis is None else "EveryNode",
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
        self._deploy(config)

    def deploy_file(self, file: Path, **settings: Any) -> None:
        """As `deploy`, with what a file says beside these settings."""
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        config["http_options"]["port"] = self.port
        [application] = config["applications"]
        application["args"] |= settings
        self._deploy(config)

    def _deploy(self, config: dict[str, Any]) -> None:
        file = self.folder / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "ray.serve.scripts", "deploy", str(file)]
        ran = subprocess.run(
            [*command, f"--address={self._dashboard}"],
            # It would ask a proxy of the environment for loopback, too.
            env=os.environ | self._variables | {"no_proxy": "*"},
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

    @property
    def nodes(self) -> list[subprocess.Popen[bytes]]:
        """All nodes, the head first."""
        return [node.process for node in self._nodes]

    @property
    def head(self) -> subprocess.Popen[bytes]:
        """The node that leads."""
        return self._head.process

    def node_of(self, pid: int) -> subprocess.Popen[bytes]:
        """The node that a process runs on."""
        return next(node for node in self.nodes if pid in pids(node.pid))

    def machine_of(self, pid: int) -> Machine:
        """The machine that a process runs on, where there are several."""
        machine = next(node.machine for node in self._nodes if pid in pids(node.process.pid))
        assert machine is not None
        return machine

    def close(self) -> None:
        """Kills all nodes."""
        self._closing.set()
        if self._supervisor is not None:
            self._supervisor.join()
        for node in reversed(self.nodes):
            end(node, 0.0)
        if self._redis is not None:
            self._redis.close()
        if self._network is not None:
            self._network.close()

    def _new_machine(self) -> Machine | None:
        """The next node's machine, with files of Ray for itself; None without a network."""
        if self._network is None:
            return None
        files = self.folder / "ray"
        files.mkdir(exist_ok=True)
        return self._network.add([files])

    def _front_variables(self, host: str) -> dict[str, str]:
        """What a node must have for a HAProxy at that address."""
        directory = self.folder / host
        directory.mkdir()
        return serve_variables(directory, HAProxyOptions(host=host, admin_host="")) | {
            # As Ray has it by default, longer than HAProxy takes to hear that a gateway ends.
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "15",
        }

    def _start_node(
        self,
        *arguments: str,
        variables: Mapping[str, str] = MappingProxyType({}),
        machine: Machine | None = None,
    ) -> _Node:
        command = [
            *("-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *("--object-store-memory", str(100 * 2**20)),
            *("--min-worker-port=0", "--max-worker-port=0", *arguments),
        ]
        if machine is not None:
            command.append(f"--node-ip-address={machine.address}")
        log = self.folder / f"node{len(self._nodes)}"
        own = self._variables | dict(variables)
        process = self._started(command, own, log, machine)
        node = _Node(command, own, log, machine, process)
        self._nodes.append(node)
        return node

    def _started(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
        machine: Machine | None,
    ) -> subprocess.Popen[bytes]:
        if "--head" in command:
            # By this file, and the other node's raylet, Ray would take a head that was killed for
            # one that runs. On a machine or in a pod of its own there is neither.
            (self.folder / "ray" / "ray_current_cluster").unlink(missing_ok=True)
        starter = () if machine is None else machine.command
        return start_python(command, log, variables, starter=starter)

    def _restart_ended(self) -> None:
        while not self._closing.wait(_RESTART_SECONDS):
            for node in self._nodes:
                if node.process.poll() is not None:
                    kill_session(node.process.pid)
                    node.process = self._started(
                        node.arguments, node.variables, node.log, node.machine
                    )
                    self.restarts += 1

    def is_running(self) -> bool:
        """Whether Serve leads: the application runs, and each node's front is healthy."""
        status = self._ask_dashboard("/api/serve/applications/").json()
        fronts = [front["status"] for front in status["proxies"].values()]
        running: bool = status["applications"][APPLICATION]["status"] == "RUNNING"
        return running and fronts == ["HEALTHY"] * len(self._nodes)

    def _dashboard_answers(self) -> bool:
        return self._ask_dashboard("/api/version").is_success

    def _ask_dashboard(self, path: str) -> httpx.Response:
        token = {"Authorization": f"Bearer {self._variables['RAY_AUTH_TOKEN']}"}
        return httpx.get(
            f"{self._dashboard}{path}", headers=token, timeout=5, trust_env=False, verify=False
        )


def _own_address() -> str:
    """Address of this machine, as Ray finds it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 1))  # nothing is sent
        address: str = probe.getsockname()[0]
        return address


def _cluster_variables() -> dict[str, str]:
    """What every node must have in its environment."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        # As KubeRay has it. After Ray's minute, nodes would end for a head that is slow to start.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "service.gateway.proxy_headers:middlewares",
    }
