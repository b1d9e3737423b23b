"""What kubectl renders from deploy/kubernetes, against the schemas that a cluster would apply.

The schema of RayService is read from the file that KUBERAY_RAYSERVICE_CRD names: KubeRay's custom
resource definition, which `kubectl get crd rayservices.ray.io -o yaml` prints of a cluster.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.conftest import Tools

KUBERNETES = Path(__file__).parents[2] / "deploy/kubernetes"
OVERLAYS = ("cpu", "gpu", "autoscaling", "incremental-upgrade")
_CRD = "KUBERAY_RAYSERVICE_CRD"


@pytest.fixture(scope="module")
def rayservice_schema() -> dict[str, Any]:
    """The schema of ray.io/v1, closed: a field that it does not name is refused, not dropped."""
    path = os.environ.get(_CRD)
    if not path:
        pytest.fail(f"{_CRD} must name the file of KubeRay's RayService CRD, but is not set")
    versions = yaml.safe_load(Path(path).read_text())["spec"]["versions"]
    [schema] = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1"]
    _close(schema)
    return dict(schema)


def test_the_schema_refuses_what_it_does_not_know(rayservice_schema: dict[str, Any]) -> None:
    wrong = {"spec": {"rayClusterConfig": {"headGroupSpec": {"template": {}}, "workers": []}}}
    with pytest.raises(jsonschema.ValidationError, match="'workers' was unexpected"):
        jsonschema.validate(wrong, rayservice_schema)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_fits_its_definition(
    overlay: str, rayservice_schema: dict[str, Any], tools: Tools
) -> None:
    [service] = [
        one for one in _rendered(tools, KUBERNETES / overlay) if one["kind"] == "RayService"
    ]
    jsonschema.validate(service, rayservice_schema)
    assert service["spec"]["serveConfigV2"] == _serve_config(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(overlay: str, tools: Tools, tmp_path: Path) -> None:
    objects = [one for one in _rendered(tools, KUBERNETES / overlay) if one["kind"] != "RayService"]
    # Not the ConfigMap, from which the service took its configuration.
    assert sorted(one["kind"] for one in objects) == [
        "Namespace", "NetworkPolicy", "NetworkPolicy", "PodDisruptionBudget", "PodDisruptionBudget",
        "ServiceAccount",
    ]  # fmt: skip
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(yaml.safe_dump_all(objects))
    _run(tools["kubernetes-validate"], "--strict", str(rendered))


def test_haproxy_comes_as_a_component(
    rayservice_schema: dict[str, Any], tools: Tools, tmp_path: Path
) -> None:
    [service] = [one for one in _with(tools, "haproxy", tmp_path) if one["kind"] == "RayService"]
    jsonschema.validate(service, rayservice_schema)
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        [container] = group["template"]["spec"]["containers"]
        environment = {variable["name"]: variable["value"] for variable in container["env"]}
        assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
        assert environment["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]


def test_redis_comes_as_a_component(
    rayservice_schema: dict[str, Any], tools: Tools, tmp_path: Path
) -> None:
    objects = _with(tools, "redis", tmp_path)
    [service] = [one for one in objects if one["kind"] == "RayService"]
    jsonschema.validate(service, rayservice_schema)
    address = service["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisAddress"]
    [redis] = [one for one in objects if one["kind"] == "Service"]
    assert address == f"{redis['metadata']['name']}:{redis['spec']['ports'][0]['port']}"
    budgets = [one for one in objects if one["kind"] == "PodDisruptionBudget"]
    assert [one["metadata"]["name"] for one in budgets] == ["polyhead-workers"]
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(yaml.safe_dump_all(one for one in objects if one is not service))
    _run(tools["kubernetes-validate"], "--strict", str(rendered))


def test_monitoring_can_be_rendered(tools: Tools) -> None:
    kinds = {one["kind"] for one in _rendered(tools, KUBERNETES / "monitoring")}
    assert kinds == {"ScrapeConfig", "PodMonitor"}


def _close(schema: Any) -> None:
    """Makes JSON Schema of Kubernetes's dialect, in place, and forbids unknown properties."""
    if isinstance(schema, list):
        for one in schema:
            _close(one)
    elif isinstance(schema, dict):
        if schema.pop("nullable", False) is True:
            schema["type"] = [schema["type"], "null"]
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for one in schema.values():
            _close(one)


def _serve_config(overlay: str) -> str:
    folder = "autoscaling" if overlay == "incremental-upgrade" else overlay
    return (KUBERNETES / folder / "serve.yaml").read_text()


def _with(tools: Tools, component: str, folder: Path) -> list[dict[str, Any]]:
    """What the cpu overlay becomes with a component, in a kustomization as a user would have it."""
    for name in ("base", "cpu", component):
        shutil.copytree(KUBERNETES / name, folder / name)
    (folder / "own").mkdir()
    (folder / "own/kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["../cpu"], "components": [f"../{component}"]})
    )
    return _rendered(tools, folder / "own")


def _rendered(tools: Tools, overlay: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(_run(tools["kubectl"], "kustomize", str(overlay))))


def _run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
