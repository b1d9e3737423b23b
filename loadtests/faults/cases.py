"""What can be done to a service, one thing at a time."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from time import sleep
from typing import Any

from loadtests.faults.cluster import (
    APPLICATION,
    TRANSLATOR_CPUS,
    Cluster,
    LocalService,
    RedisServer,
    Service,
    ServiceError,
)
from loadtests.faults.network import PROGRAMS, Network
from loadtests.processes import end, pids, wait_for
from model.checkpoints.embedded import model_directory

__all__ = ["CASES", "Case"]

TRANSLATOR = ":Translator"
GATEWAY = f"ray::ServeReplica:{APPLICATION}:Gateway"
_CONTROLLER = "ray::ServeController"
_STOPPED_SECONDS = 15.0
_LONG_STOPPED_SECONDS = 60.0
_AWAY_SECONDS = 10.0
_PLACING_SECONDS = 120.0
_PULLED_SECONDS = 20.0
_LONG_PULLED_SECONDS = 120.0
"""More than Ray's head waits for a node before it gives it up."""
_MACHINES = 3
"""With room for a gateway and a translator each, beside the head's."""
_SERVE_FILE = Path(__file__).parents[2] / "deploy" / "serve.yaml"
_FAILED_LOADS = 4
"""More than the starts that a deployment is given in its settings."""


@dataclass(frozen=True)
class Case:
    """One fault, and what there must be again afterwards."""

    title: str
    inject: Callable[[Any], None]
    """Does it to the service that has been started."""
    start: Callable[[Path], Service] = LocalService
    _: KW_ONLY
    ends_service: bool = False
    """What was sent before it is answered; what comes later may be refused."""
    one_front: bool = False
    """The fault hits the one process that clients are connected to."""
    lasting: bool = False
    """Nothing repairs it."""
    replaces_all: bool = False
    """It is over when none of the replicas is left that were there before."""
    over: Callable[[Any], bool] = lambda _: True
    """Whether all of it has happened."""
    needs: Sequence[str] = ()
    """Programs that must be on the PATH."""
    translators: int = 2
    """There must be so many before it."""
    translators_after: int = 2
    """And so many when it is over."""


def _kill(title: str) -> Callable[[Service], None]:
    """SIGKILL for the oldest process with that title."""
    return lambda service: os.kill(service.pids(title)[0], signal.SIGKILL)


def _stop(pid: int, seconds: float, still_there: Callable[[], bool] = lambda: True) -> None:
    """SIGSTOP, and SIGCONT after a while, unless it was killed meanwhile, as hopeless."""
    os.kill(pid, signal.SIGSTOP)
    sleep(seconds)
    if still_there():
        os.kill(pid, signal.SIGCONT)


def _hang(title: str) -> Callable[[Service], None]:
    """Stops the youngest process with that title for a while."""

    def inject(service: Service) -> None:
        pid = service.pids(title)[-1]
        _stop(pid, _STOPPED_SECONDS, lambda: pid in service.pids(title))

    return inject


def _break_step(service: Service) -> None:
    (service.folder / "break-step").touch()


def _has_broken(service: Service) -> bool:
    return not (service.folder / "break-step").exists()


def _run_out_of_memory(service: Service) -> None:
    """One translator dies, and those that should take its place cannot load."""
    (service.folder / "break-load").write_text(str(_FAILED_LOADS))
    os.kill(service.pids(TRANSLATOR)[0], signal.SIGKILL)


def _has_run_out_of_memory(service: Service) -> bool:
    return (service.folder / "break-load").read_text() == "0"


def _end(service: LocalService) -> None:
    service.process.send_signal(signal.SIGTERM)


def _kill_node(service: Cluster) -> None:
    """All processes of a worker at once, as when its plug is pulled; another one comes."""
    end(service.node_of(service.pids(TRANSLATOR)[0]), 0.0)
    service.add_worker()


def _leave_node(service: Cluster) -> None:
    """A worker is told to end, as before an upgrade of its machine."""
    os.kill(service.node_of(service.pids(TRANSLATOR)[0]).pid, signal.SIGTERM)
    service.add_worker()


def _hang_raylet(service: Cluster) -> None:
    [raylet, *_] = pids(service.node_of(service.pids(TRANSLATOR)[0]).pid, "raylet")
    _stop(raylet, _STOPPED_SECONDS)


def _restart_head(service: Cluster) -> None:
    """All of the head is killed, and comes back to what Redis has kept.

    Then a translator is killed as well: that another one follows shows that the cluster is led.
    """
    end(service.head, 0.0)
    sleep(_AWAY_SECONDS)
    service.start_head()
    if not wait_for(lambda: service.pids(_CONTROLLER), _PLACING_SECONDS):
        raise ServiceError("Serve's controller did not come back with the head")
    os.kill(service.pids(TRANSLATOR)[0], signal.SIGKILL)


def _kill_of(node: int, title: str) -> Callable[[Cluster], None]:
    """SIGKILL for the process of that node; the head is node 0."""

    def inject(service: Cluster) -> None:
        [pid, *_] = pids(service.nodes[node].pid, title)
        os.kill(pid, signal.SIGKILL)

    return inject


def _hang_of(node: int, title: str) -> Callable[[Cluster], None]:
    """Stops the process of that node for a minute."""

    def inject(service: Cluster) -> None:
        [pid, *_] = pids(service.nodes[node].pid, title)
        _stop(pid, _LONG_STOPPED_SECONDS)

    return inject


def _is_led_anew(service: Cluster) -> bool:
    """Whether the node whose process was killed has ended, is back, and Serve leads."""
    return service.restarts > 0 and service.is_running()


def _redeploy(service: Cluster) -> None:
    """Another size of the engines. All replicas are replaced: settings are part of a version."""
    service.deploy(**(_CLUSTER | {"engine": {"num_threads": 1, "max_slots": 48}}))


_CLUSTER: dict[str, Any] = {
    "models": ["en-de"],
    "gateway_replicas": 2,
    "replicas": 2,
    "num_cpus_per_replica": TRANSLATOR_CPUS,
    "engine": {"num_threads": 1},
    "num_cpus_per_gateway": 0.5,
    "graceful_shutdown_seconds": 60,
}


@contextmanager
def _started(
    folder: Path, *, with_redis: bool = False, with_network: bool = False
) -> Iterator[Cluster]:
    """A cluster that is closed, with its Redis and its network, unless all goes well."""
    with ExitStack() as stack:
        redis = RedisServer(folder) if with_redis else None
        if redis is not None:
            stack.callback(redis.close)
        network = Network() if with_network else None
        if network is not None:
            stack.callback(network.close)
        cluster = Cluster(folder, redis=redis, network=network)
        stack.callback(cluster.close)
        yield cluster
        stack.pop_all()


def _cluster(folder: Path) -> Service:
    with _started(folder) as cluster:
        cluster.deploy(**_CLUSTER)
        # Only now, for where there is room, Serve would put gateways as well.
        if not wait_for(lambda: len(cluster.pids(GATEWAY)) == 2, _PLACING_SECONDS):
            raise ServiceError("the gateways did not start")
        for _ in range(2):
            cluster.add_worker()
    return cluster


def _cluster_with_redis(folder: Path) -> Service:
    """A head that only leads, and a worker with everything else, its own front included."""
    with _started(folder, with_redis=True) as cluster:
        cluster.add_worker(cpus=1 + 2 * TRANSLATOR_CPUS, front="127.0.0.2")
        cluster.deploy(**_CLUSTER)
    return cluster


def _supervised_cluster(folder: Path) -> Service:
    """A head that only leads, with Redis behind it, and two workers, each with a front, a gateway
    and a translator. What ends is started again. The load goes to the last worker's front.
    """
    with _started(folder, with_redis=True) as cluster:
        for host in ("127.0.0.2", "127.0.0.3"):
            cluster.add_worker(cpus=1 + TRANSLATOR_CPUS, front=host)
        cluster.deploy(**(_CLUSTER | {"gateways_per_node": 1}))
        cluster.supervise()
    return cluster


def _machines(translators: int) -> Callable[[Path], Service]:
    """A head and three workers on machines of a network, with deploy/serve.yaml.

    Models are in a folder that all machines have. The load goes to the head's front.
    """

    def start(folder: Path) -> Service:
        with _started(folder, with_network=True) as cluster:
            shutil.copytree(model_directory("en-de"), folder / "models" / "en-de")
            for _ in range(_MACHINES):
                cluster.add_worker(cpus=1 + TRANSLATOR_CPUS)
            cluster.supervise()
            cluster.deploy_file(_SERVE_FILE, **_of_machines(cluster, translators))
        return cluster

    return start


def _of_machines(cluster: Cluster, translators: int, **engine: int) -> dict[str, Any]:
    """What is changed in deploy/serve.yaml for a cluster of machines with two CPUs in all."""
    return {
        "models": [str(cluster.folder / "models" / "en-de")],
        "gateways_per_node": 1,
        "num_cpus_per_gateway": 0.5,
        "num_cpus_per_replica": TRANSLATOR_CPUS,
        "engine": {"num_threads": 1, **engine},
        "autoscaling": {"min_replicas": translators, "max_replicas": translators},
        "graceful_shutdown_seconds": 60,
    }


def _scale_machines(service: Cluster) -> None:
    service.deploy_file(_SERVE_FILE, **_of_machines(service, _MACHINES))


def _redeploy_machines(service: Cluster) -> None:
    service.deploy_file(_SERVE_FILE, **_of_machines(service, _MACHINES, max_slots=48))


def _pull_cable(seconds: float) -> Callable[[Cluster], None]:
    """Takes a machine with a gateway and a translator off the network for a while."""

    def inject(service: Cluster) -> None:
        machine = service.machine_of(service.pids(GATEWAY)[0])
        machine.pull()
        sleep(seconds)
        machine.plug()

    return inject


def _on_machines(title: str, inject: Callable[[Cluster], None], **options: Any) -> Case:
    start = _machines(options.get("translators", _MACHINES))
    options = {"translators": _MACHINES, "translators_after": _MACHINES} | options
    return Case(title, inject, start, needs=PROGRAMS, **options)


def _supervised(
    title: str, inject: Callable[[Cluster], None], over: Callable[[Cluster], bool]
) -> Case:
    return Case(title, inject, _supervised_cluster, over=over, needs=[RedisServer.PROGRAM])


CASES: dict[str, Case] = {
    "translator-killed": Case("a translator is killed", _kill(TRANSLATOR)),
    "gateway-killed": Case("a gateway is killed", _kill(GATEWAY)),
    "engine-error": Case("a step of an engine fails", _break_step, over=_has_broken),
    "load-out-of-memory": Case(
        "a translator is killed, and four that follow cannot load",
        _run_out_of_memory,
        over=_has_run_out_of_memory,
    ),
    "translator-hung": Case("a translator hangs for 15 s", _hang(TRANSLATOR)),
    "gateway-hung": Case("a gateway hangs for 15 s", _hang(GATEWAY)),
    "controller-killed": Case("Serve's controller is killed", _kill(_CONTROLLER)),
    "haproxy-killed": Case("HAProxy is killed", _kill("haproxy"), one_front=True),
    "haproxy-manager-killed": Case(
        "HAProxy's manager is killed", _kill("ray::HAProxyManager"), one_front=True
    ),
    "service-ended": Case("SIGTERM for the service", _end, ends_service=True),
    "node-killed": Case("a node is killed", _kill_node, _cluster),
    "node-leaves": Case("SIGTERM for a node", _leave_node, _cluster),
    "raylet-hung": Case("a raylet hangs for 15 s", _hang_raylet, _cluster),
    "head-killed": Case(
        "the head's GCS is killed, and with it the head",
        _kill("gcs_server"),
        _cluster,
        one_front=True,
        lasting=True,
    ),
    "head-restarted": Case(
        "the head is killed and comes back after 10 s, with Redis behind it",
        _restart_head,
        _cluster_with_redis,
        needs=[RedisServer.PROGRAM],
    ),
    "gcs-killed": _supervised("the GCS is killed", _kill_of(0, "gcs_server"), _is_led_anew),
    "gcs-hung": _supervised(
        "the GCS hangs for a minute", _hang_of(0, "gcs_server"), Cluster.is_running
    ),
    "head-raylet-killed": _supervised(
        "the head's raylet is killed", _kill_of(0, "raylet"), _is_led_anew
    ),
    "head-raylet-hung": _supervised(
        "the head's raylet hangs for a minute", _hang_of(0, "raylet"), Cluster.is_running
    ),
    "worker-raylet-killed": _supervised(
        "a worker's raylet is killed", _kill_of(1, "raylet"), _is_led_anew
    ),
    "worker-raylet-hung": _supervised(
        "a worker's raylet hangs for a minute", _hang_of(1, "raylet"), Cluster.is_running
    ),
    "redeploy": Case("`serve deploy` with other settings", _redeploy, _cluster, replaces_all=True),
    "machines-added-to": _on_machines(
        "deploy/serve.yaml on machines: three translators instead of one",
        _scale_machines,
        translators=1,
    ),
    "machines-redeployed": _on_machines(
        "deploy/serve.yaml on machines: other settings", _redeploy_machines, replaces_all=True
    ),
    "cable-pulled": _on_machines("a machine has no network for 20 s", _pull_cable(_PULLED_SECONDS)),
    "cable-pulled-for-long": _on_machines(
        "a machine has no network for two minutes", _pull_cable(_LONG_PULLED_SECONDS)
    ),
}
"""All cases, by the names of the command line."""
