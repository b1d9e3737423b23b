"""What the parts of deploy/kubernetes owe each other, read as plain YAML.

`make check-deploy` renders them and holds the result against Kubernetes's schemas.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

KUBERNETES = Path(__file__).parents[3] / "deploy/kubernetes"
BASE = KUBERNETES / "base"
SIZED = ("cpu", "gpu")
OVERLAYS = (*SIZED, "autoscaling")
# What KubeRay adds to the pods' labels.
NODE_TYPE = "ray.io/node-type"


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _load_all(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.fixture
def cluster() -> dict[str, Any]:
    """`rayClusterConfig` of the base."""
    config: dict[str, Any] = _load(BASE / "rayservice.yaml")["spec"]["rayClusterConfig"]
    return config


def _pods(cluster: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Labels and specification of the head's and the workers' pods."""
    groups = {"head": cluster["headGroupSpec"], "worker": cluster["workerGroupSpecs"][0]}
    for node_type, group in groups.items():
        template = group["template"]
        yield {**template["metadata"]["labels"], NODE_TYPE: node_type}, template["spec"]


def _ports(cluster: dict[str, Any]) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"]
        for _, pod in _pods(cluster)
        for port in pod["containers"][0]["ports"]
    }


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return bool(selector["matchLabels"].items() <= labels.items())


def test_the_cluster_runs_the_ray_that_is_installed(cluster: dict[str, Any]) -> None:
    assert cluster["rayVersion"] == metadata.version("ray")
    assert cluster["authOptions"] == {"mode": "token"}


def test_pods_may_as_little_as_they_can(cluster: dict[str, Any]) -> None:
    for _, pod in _pods(cluster):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"/tmp", "/home/polyhead"} == {
            mount["mountPath"] for mount in container["volumeMounts"]
        }
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_user_is_the_one_of_the_image(cluster: dict[str, Any]) -> None:
    dockerfile = (KUBERNETES.parents[1] / "Dockerfile").read_text(encoding="utf-8")
    for _, pod in _pods(cluster):
        user = pod["securityContext"]["runAsUser"]
        assert f"--uid {user}" in dockerfile
        assert f"USER {user}" in dockerfile


def test_a_pod_has_the_time_that_its_requests_have(cluster: dict[str, Any]) -> None:
    from service.settings import Settings

    [pod] = [pod for labels, pod in _pods(cluster) if labels[NODE_TYPE] == "worker"]
    [container] = pod["containers"]
    [*_, script] = container["lifecycle"]["preStop"]["exec"]["command"]
    pause, grace = map(int, re.findall(r"\b\d+\b", script))
    assert pause > Settings().limits.request_timeout_seconds
    assert pod["terminationGracePeriodSeconds"] > pause + grace
    service = _load(BASE / "rayservice.yaml")["spec"]
    longest = Settings().limits.request_timeout_seconds
    assert service["rayClusterDeletionDelaySeconds"] > longest


@pytest.mark.parametrize("kind", ["livenessProbe", "readinessProbe"])
def test_probes_ask_ports_that_are_there(cluster: dict[str, Any], kind: str) -> None:
    agent = 52365  # Ray's agent on each node, which no container names as a port
    for _, pod in _pods(cluster):
        [container] = pod["containers"]
        assert container[kind]["httpGet"]["port"] in {agent, *_ports(cluster)}


def test_policies_and_budgets_select_the_pods(cluster: dict[str, Any]) -> None:
    policies = _load_all(BASE / "network-policy.yaml")
    budgets = _load_all(BASE / "disruption-budget.yaml")
    for labels, _ in _pods(cluster):
        [everyones, *_] = policies
        assert _selects(everyones["spec"]["podSelector"], labels)
        assert sum(_selects(budget["spec"]["selector"], labels) for budget in budgets) == 1
    for policy in policies:
        selector = policy["spec"]["podSelector"]
        assert any(_selects(selector, labels) for labels, _ in _pods(cluster))


def test_the_dashboard_is_for_the_operator_alone(cluster: dict[str, Any]) -> None:
    ports = _ports(cluster)
    open_to: dict[int, list[str]] = {}
    for rule in _load_all(BASE / "network-policy.yaml")[0]["spec"]["ingress"]:
        for port in rule.get("ports", []):
            names = [str(peer.get("namespaceSelector", "own")) for peer in rule["from"]]
            open_to.setdefault(port["port"], []).extend(names)
        if "ports" not in rule:
            [peer] = rule["from"]
            assert all(_selects(peer["podSelector"], labels) for labels, _ in _pods(cluster))
    assert set(open_to) == {ports["serve"], ports["metrics"], ports["dashboard"], 52365}
    assert all("kuberay-system" in name for name in open_to[ports["dashboard"]])
    assert all("monitoring" in name for name in open_to[ports["metrics"]])
    assert ports["gcs-server"] not in open_to
    assert ports["client"] not in open_to


def test_the_head_runs_no_replica(cluster: dict[str, Any]) -> None:
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert _load(BASE / "rayservice.yaml")["spec"]["excludeHeadPodFromServeSvc"]


def test_the_images_haproxy_is_the_one_that_is_named() -> None:
    project = tomllib.loads((KUBERNETES.parents[1] / "pyproject.toml").read_text())["project"]
    patches = _load(KUBERNETES / "haproxy/environment.patch.yaml")
    named = {one["value"]["value"] for one in patches if "BINARY" in one["value"]["name"]}
    assert {Path(path).name for path in named} <= set(project["scripts"])
    assert {Path(path).parent for path in named} == {Path("/opt/polyhead/bin")}


def test_redis_is_for_the_head_alone(cluster: dict[str, Any]) -> None:
    [gcs] = _load(KUBERNETES / "redis/gcs.patch.yaml")
    service, redis = _load_all(KUBERNETES / "redis/redis.yaml")
    host, _, port = gcs["value"]["redisAddress"].partition(":")
    assert (host, int(port)) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
    pod = redis["spec"]["template"]
    assert _selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    [container] = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    [password] = container["env"]
    assert password["valueFrom"] == gcs["value"]["redisPassword"]["valueFrom"]
    into, out_of = _load_all(KUBERNETES / "redis/network-policy.yaml")
    assert _selects(into["spec"]["podSelector"], pod["metadata"]["labels"])
    [rule] = into["spec"]["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"] == out_of["spec"]["podSelector"]
    [who] = peer["podSelector"]["matchExpressions"]
    # The second one is the job with which KubeRay removes what a deleted cluster has left.
    assert (who["key"], who["values"]) == (NODE_TYPE, ["head", "redis-cleanup"])
    for policy in _load_all(BASE / "network-policy.yaml"):
        assert not _selects(policy["spec"]["podSelector"], pod["metadata"]["labels"])


def _patches(overlay: str) -> dict[str, Any]:
    path = KUBERNETES / overlay / "rayservice.patch.yaml"
    return {one["path"]: one["value"] for one in _load(path)} if path.exists() else {}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_replicas_find_room_on_the_workers(cluster: dict[str, Any], overlay: str) -> None:
    [workers] = cluster["workerGroupSpecs"]
    patched = _patches(overlay)
    prefix = "/spec/rayClusterConfig/workerGroupSpecs/0"
    count = patched.get(f"{prefix}/maxReplicas", workers["maxReplicas"])
    room = patched.get(
        f"{prefix}/template/spec/containers/0/resources",
        workers["template"]["spec"]["containers"][0]["resources"],
    )["requests"]
    [application] = _load(KUBERNETES / overlay / "serve.yaml")["applications"]
    wanted = application["args"]
    of_a_model = wanted.get("autoscaling", {}).get("max_replicas", wanted.get("replicas"))
    replicas = len(wanted["models"]) * of_a_model
    # Beside all gateways, should they end up together.
    cpus = float(room["cpu"]) - wanted["gateway_replicas"] * wanted["num_cpus_per_gateway"]
    fit = int(cpus // wanted["num_cpus_per_replica"])
    if gpus := wanted.get("num_gpus_per_replica"):
        fit = min(fit, int(float(room["nvidia.com/gpu"]) // gpus))
    assert count * fit >= replicas


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_gateway_has_a_worker_of_its_own(cluster: dict[str, Any], overlay: str) -> None:
    [workers] = cluster["workerGroupSpecs"]
    least = _patches(overlay).get(
        "/spec/rayClusterConfig/workerGroupSpecs/0/minReplicas", workers["minReplicas"]
    )
    [application] = _load(KUBERNETES / overlay / "serve.yaml")["applications"]
    assert application["args"]["gateways_per_node"] == 1
    # One for which there is no worker would keep the application from ever being healthy.
    assert 2 <= application["args"]["gateway_replicas"] <= least


@pytest.mark.parametrize(
    "overlay", [*OVERLAYS, "incremental-upgrade", "base", "monitoring", "haproxy", "redis"]
)
def test_kustomizations_name_files_that_are_there(overlay: str) -> None:
    folder = KUBERNETES / overlay
    kustomization = _load(folder / "kustomization.yaml")
    named = [
        *kustomization.get("resources", []),
        *(patch["path"] for patch in kustomization.get("patches", [])),
        *(f for one in kustomization.get("configMapGenerator", []) for f in one["files"]),
    ]
    assert [name for name in named if not (folder / name).exists()] == []
    if kustomization["kind"] == "Kustomization":
        assert kustomization["namespace"] == _load(BASE / "namespace.yaml")["metadata"]["name"]


def test_prometheus_asks_the_service_that_kuberay_makes(cluster: dict[str, Any]) -> None:
    service = _load(BASE / "rayservice.yaml")["metadata"]["name"]
    namespace = _load(BASE / "namespace.yaml")["metadata"]["name"]
    [static] = _load(KUBERNETES / "monitoring/scrape-config.yaml")["spec"]["staticConfigs"]
    port = _ports(cluster)["serve"]
    assert static["targets"] == [f"{service}-serve-svc.{namespace}.svc:{port}"]
    for name, kinds in (("pod-monitor", {"head", "worker"}), ("haproxy", {"worker"})):
        monitor = _load(KUBERNETES / f"monitoring/{name}.yaml")["spec"]
        [endpoint] = monitor["podMetricsEndpoints"]
        assert endpoint["port"] in _ports(cluster)
        pods = [labels for labels, _ in _pods(cluster) if _selects(monitor["selector"], labels)]
        assert {labels[NODE_TYPE] for labels in pods} == kinds
