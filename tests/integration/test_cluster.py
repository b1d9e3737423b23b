"""Several Ray nodes on this machine: replicas come under load, one is killed, no request fails."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.service_process import (
    Samples,
    free_port,
    parse_samples,
    processes,
    replicas,
    title_of,
    total,
    wait_for,
)
from tests.ray_serve import ray, serve

_CLIENTS = 12


@pytest.fixture
def cluster() -> Iterator[None]:
    """A head without CPUs for replicas, and two workers with one each."""
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"object_store_memory": 100 * 2**20}
    started = Cluster(
        initialize_head=True, head_node_args={**node, "num_cpus": 0, "include_dashboard": False}
    )
    try:
        for _ in range(2):
            started.add_node(num_cpus=1, **node)
        ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
        yield
        serve.shutdown()
    finally:
        ray.shutdown()
        started.shutdown()


class _Load:
    """Clients that send one request after the other until they are told to stop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.statuses: list[object] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(_CLIENTS)]

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        body = {"text": "The red house is old. " * 8, "source": "en", "target": "de"}
        with httpx.Client(base_url=self._url, timeout=600, trust_env=False, verify=False) as client:
            while not self._stop.is_set():
                outcome: object
                try:
                    response = client.post("/v1/translate", json=body)
                    outcome = response.status_code if response.is_success else response.text
                except httpx.HTTPError as error:
                    outcome = repr(error)
                with self._lock:
                    self.statuses.append(outcome)


def translators(application: str) -> list[int]:
    """Processes of the models, each of which is an application of its own."""
    found = processes(f"ServeReplica:{application}@")
    return [pid for pid in found if ":Translator-" in title_of(pid)]


@pytest.mark.usefixtures("cluster")
def test_scales_up_and_survives_a_killed_replica(tiny_model: Path) -> None:
    from ray.serve.schema import LoggingConfig

    from service.app import build
    from service.settings import Autoscaling, EngineSettings, Limits, Settings

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    application = f"cluster-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        models=[str(tiny_model)],
        num_cpus_per_gateway=0,
        engine=EngineSettings(max_slots=16),  # so that one replica is not enough
        segment_cache_mib=0,  # the same text again and again is to be work
        autoscaling=Autoscaling(
            max_replicas=2, target_queue_seconds=0.01, drain_seconds=1, metrics_interval_seconds=0.5
        ),
        metrics_timeout_seconds=30,
        # What is shown is that nothing is lost, not how soon a busy machine is done with it.
        limits=Limits(request_timeout_seconds=600),
    )
    quiet = LoggingConfig(enable_access_log=False, log_level="ERROR")
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": "127.0.0.1", "port": port},
        logging_config=quiet,
    )
    serve.run(build(settings), name=application, route_prefix="/")

    def samples() -> Samples:
        response = httpx.get(f"{url}/metrics", timeout=60, trust_env=False, verify=False)
        assert response.status_code == 200
        return parse_samples(response.text)

    wait_for(lambda: len(replicas(samples(), "translator")) == 1)
    with _Load(url) as load:
        wait_for(lambda: len(replicas(samples(), "translator")) == 2)
        before = translators(application)
        assert len(before) == 2
        answered = len(load.statuses)
        os.kill(before[0], signal.SIGKILL)
        # One is left, then there are two again, and all the while there are answers.
        wait_for(lambda: len(translators(application)) == 2 and translators(application) != before)
        wait_for(lambda: len(load.statuses) > answered + 10 * _CLIENTS)
    assert set(load.statuses) == {200}
    ok = {"status": "200", "route": "/v1/translate"}
    wait_for(lambda: total(samples(), "polyhead_http_requests_total", **ok) == len(load.statuses))
