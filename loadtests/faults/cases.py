"""What can be done to a service, one thing at a time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

from loadtests.faults.cluster import TRANSLATOR_CPUS, Cluster
from loadtests.faults.redis_server import RedisServer
from loadtests.faults.services import APPLICATION, LocalService, Service, ServiceError
from loadtests.processes import wait_for

__all__ = ["CASES", "Case"]

TRANSLATOR = f"ray::ServeReplica:{APPLICATION}:Translator"
GATEWAY = f"ray::ServeReplica:{APPLICATION}:Gateway"
_CONTROLLER = "ray::ServeController"
_STOPPED_SECONDS = 15.0
_AWAY_SECONDS = 10.0
_PLACING_SECONDS = 120.0
_FAILED_LOADS = 4
"""More than the starts that a deployment is given in its settings."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault, and what there must be again afterwards."""

    title: str
    start: Callable[[Path], Service]
    inject: Callable[[Service], None]
    ends_service: bool = False
    """What was sent before it is answered; what comes later may be refused."""
    one_front: bool = False
    """The fault hits the one process that clients are connected to."""
    lasting: bool = False
    """Nothing repairs it."""
    replaces_all: bool = False
    """It is over when none of the replicas is left that were there before."""
    over: Callable[[Service], bool] = lambda _: True
    """Whether all of it has happened."""
    needs: str | None = None
    """A program that must be on the PATH."""
    translators: int = 2
    gateways: int = 2


def _kill(title: str) -> Callable[[Service], None]:
    """SIGKILL for the oldest process with that title."""

    def inject(service: Service) -> None:
        os.kill(service.pids(title)[0], signal.SIGKILL)

    return inject


def _stop_and_continue(title: str) -> Callable[[Service], None]:
    """A process that hangs: SIGSTOP, and SIGCONT after a while."""

    def inject(service: Service) -> None:
        pid = service.pids(title)[-1]
        os.kill(pid, signal.SIGSTOP)
        sleep(_STOPPED_SECONDS)
        if pid in service.pids(title):  # else it was killed meanwhile, as hopeless
            os.kill(pid, signal.SIGCONT)

    return inject


def _break_step(service: Service) -> None:
    (service.folder / "break-step").touch()


def _run_out_of_memory(service: Service) -> None:
    """One translator dies, and those that should take its place cannot load."""
    (service.folder / "break-load").write_text(str(_FAILED_LOADS))
    os.kill(service.pids(TRANSLATOR)[0], signal.SIGKILL)


def _has_run_out_of_memory(service: Service) -> bool:
    return (service.folder / "break-load").read_text() == "0"


def _end(service: Service) -> None:
    assert isinstance(service, LocalService)
    service.process.send_signal(signal.SIGTERM)


def _kill_node(service: Service) -> None:
    """All processes of a worker at once, as when its plug is pulled; another one comes."""
    assert isinstance(service, Cluster)
    service.kill_node(service.node_of(service.pids(TRANSLATOR)[0]))
    service.add_worker()


def _leave_node(service: Service) -> None:
    """A worker is told to end, as before an upgrade of its machine."""
    assert isinstance(service, Cluster)
    os.kill(service.node_of(service.pids(TRANSLATOR)[0]).pid, signal.SIGTERM)
    service.add_worker()


def _stop_raylet(service: Service) -> None:
    assert isinstance(service, Cluster)
    raylet = service.raylet_of(service.node_of(service.pids(TRANSLATOR)[0]))
    os.kill(raylet, signal.SIGSTOP)
    sleep(_STOPPED_SECONDS)
    os.kill(raylet, signal.SIGCONT)


def _restart_head(service: Service) -> None:
    """All of the head is killed, and comes back to what Redis has kept.

    Then a translator is killed as well: that another one follows shows that the cluster is led.
    """
    assert isinstance(service, Cluster)
    service.kill_node(service.head)
    sleep(_AWAY_SECONDS)
    service.start_head()
    if not wait_for(lambda: service.pids(_CONTROLLER), _PLACING_SECONDS):
        raise ServiceError("Serve's controller did not come back with the head")
    os.kill(service.pids(TRANSLATOR)[0], signal.SIGKILL)


def _redeploy(service: Service) -> None:
    """Another size of the engines. All replicas are replaced: settings are part of a version."""
    assert isinstance(service, Cluster)
    service.deploy(**(_CLUSTER | {"engine": {"num_threads": 1, "max_slots": 48}}))


_CLUSTER: dict[str, Any] = {
    "models": ["en-de"],
    "gateway_replicas": 2,
    "replicas": 2,
    "num_cpus_per_replica": TRANSLATOR_CPUS,
    "engine": {"num_threads": 1},
    "num_cpus_per_gateway": 0.5,
    "graceful_shutdown_seconds": 20,
}


def _cluster(folder: Path) -> Service:
    cluster = Cluster(folder)
    try:
        cluster.deploy(**_CLUSTER)
        # Only now, for where there is room, Serve would put gateways as well.
        if not wait_for(lambda: len(cluster.pids(GATEWAY)) == 2, _PLACING_SECONDS):
            raise ServiceError("the gateways did not start")
        for _ in range(2):
            cluster.add_worker()
    except BaseException:
        cluster.close()
        raise
    return cluster


def _cluster_with_redis(folder: Path) -> Service:
    """A head that only leads, and a worker with everything else, its own front included."""
    redis = RedisServer(folder)
    try:
        cluster = Cluster(folder, redis=redis)
    except BaseException:
        redis.close()
        raise
    try:
        cluster.add_worker(cpus=1 + 2 * TRANSLATOR_CPUS, front="127.0.0.2")
        cluster.deploy(**_CLUSTER)
    except BaseException:
        cluster.close()
        raise
    return cluster


CASES: dict[str, Case] = {
    "translator-killed": Case(
        title="a translator is killed", start=LocalService, inject=_kill(TRANSLATOR)
    ),
    "gateway-killed": Case(title="a gateway is killed", start=LocalService, inject=_kill(GATEWAY)),
    "engine-error": Case(title="a step of an engine fails", start=LocalService, inject=_break_step),
    "load-out-of-memory": Case(
        title="a translator is killed, and four that follow cannot load",
        start=LocalService,
        inject=_run_out_of_memory,
        over=_has_run_out_of_memory,
    ),
    "translator-hung": Case(
        title="a translator hangs for 15 s",
        start=LocalService,
        inject=_stop_and_continue(TRANSLATOR),
    ),
    "gateway-hung": Case(
        title="a gateway hangs for 15 s", start=LocalService, inject=_stop_and_continue(GATEWAY)
    ),
    "controller-killed": Case(
        title="Serve's controller is killed",
        start=LocalService,
        inject=_kill(_CONTROLLER),
    ),
    "haproxy-killed": Case(
        title="HAProxy is killed", start=LocalService, inject=_kill("haproxy"), one_front=True
    ),
    "haproxy-manager-killed": Case(
        title="HAProxy's manager is killed",
        start=LocalService,
        inject=_kill("ray::HAProxyManager"),
        one_front=True,
    ),
    "service-ended": Case(
        title="SIGTERM for the service",
        start=LocalService,
        inject=_end,
        ends_service=True,
    ),
    "node-killed": Case(title="a node is killed", start=_cluster, inject=_kill_node),
    "node-leaves": Case(title="SIGTERM for a node", start=_cluster, inject=_leave_node),
    "raylet-hung": Case(title="a raylet hangs for 15 s", start=_cluster, inject=_stop_raylet),
    "head-killed": Case(
        title="the head's GCS is killed, and with it the head",
        start=_cluster,
        inject=_kill("gcs_server"),
        one_front=True,
        lasting=True,
    ),
    "head-restarted": Case(
        title="the head is killed and comes back after 10 s, with Redis behind it",
        start=_cluster_with_redis,
        inject=_restart_head,
        needs=RedisServer.PROGRAM,
    ),
    "redeploy": Case(
        title="`serve deploy` with other settings",
        start=_cluster,
        inject=_redeploy,
        replaces_all=True,
    ),
}
"""All cases, by the names of the command line."""
