"""Models of a Ray cluster that come, change and go with `serve deploy`, while 16 clients use it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.faults.cluster import Cluster
from tests.integration.clients import ask, busy
from tests.integration.service_process import wait_for

pytestmark = pytest.mark.timeout(1200)
_TOKEN = "an-operator-of-the-test"
_SECONDS = 240
"""For what an idle machine does in some seconds."""


@pytest.fixture(scope="module")
def models(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of one model under several names; "news2" is where another revision would be."""
    folder = tmp_path_factory.mktemp("deployed")
    for name in ("base", "small", "news", "news2"):
        shutil.copytree(tiny_model, folder / name)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with room for everything."""
    # A short path: Ray's sockets are in it.
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        started = Cluster(Path(folder))
        try:
            yield started
        finally:
            started.close()


def _deploy(cluster: Cluster, *models: dict[str, Any] | str, **settings: Any) -> None:
    cluster.deploy(
        models=list(models), gateway_replicas=2, num_cpus_per_gateway=0, num_cpus_per_replica=0.1,
        admin_token=_TOKEN, graceful_shutdown_seconds=60, **settings,
    )  # fmt: skip


def _ids(cluster: Cluster) -> set[str]:
    try:
        answer = httpx.get(f"{cluster.url}/v1/models", timeout=60, trust_env=False, verify=False)
        return {model["name"] for model in answer.json()["models"]}
    except (httpx.HTTPError, ValueError):  # before there is a gateway
        return set()


def _is_settled(cluster: Cluster, *ids: str) -> bool:
    """Whether these are the models, and no others have replicas any more."""
    replicas = [each for each in ids if each != "small"]
    running = cluster.pids(":Translator-")
    return cluster.is_running() and _ids(cluster) == set(ids) and len(running) == len(replicas)


def _problem(cluster: Cluster, model: str) -> str:
    """Why a model is not what it was to become, as an operator is told."""
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    answer = httpx.get(
        f"{cluster.url}/v1/models/{model}",
        headers=headers,
        timeout=60,
        trust_env=False,
        verify=False,
    )
    return str(answer.json().get("problem"))


def test_no_request_fails_while_serve_deploy_adds_changes_and_removes_models(
    cluster: Cluster, models: Path
) -> None:
    base = {"model": str(models / "base"), "placement": "dedicated"}
    small = {"model": str(models / "small"), "placement": "shared"}
    news = {"model": str(models / "news"), "id": "news", "placement": "dedicated"}
    _deploy(cluster, base, small)
    wait_for(lambda: _is_settled(cluster, "base", "small"), _SECONDS)
    with busy(cluster.url, None, "base", "small"):
        _deploy(cluster, base, small, news)
        wait_for(lambda: _is_settled(cluster, "base", "small", "news"), _SECONDS)
    assert ask(cluster.url, "news").json()["model"] == "news"
    before = cluster.pids(":Translator-news")
    with busy(cluster.url, None, "small", "news"):
        _deploy(cluster, small, {**news, "model": str(models / "news2")})
        wait_for(lambda: _is_settled(cluster, "small", "news"), _SECONDS)
        wait_for(lambda: not set(cluster.pids(":Translator-news")) & set(before), _SECONDS)


def test_a_damaged_model_in_serve_yaml_keeps_what_is_served(cluster: Cluster, models: Path) -> None:
    (models / "base" / "tokenizer.model").write_bytes(b"damaged")
    before = _ids(cluster)
    with busy(cluster.url, None):
        _deploy(cluster, str(models / "base"), max_models=100)
        wait_for(lambda: "must have SHA-256" in _problem(cluster, "base"), _SECONDS)
        wait_for(cluster.is_running, _SECONDS)
    assert _ids(cluster) == before
