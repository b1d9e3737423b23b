"""Two running services, for all tests that only use them: one on Ray, with two gateways and two
translators, and one in a single process, where nothing of Ray or PyTorch can be imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.collector import Collector
from tests.integration.service_process import ServiceProcess, replicas, wait_for
from tests.tiny_model import build_tiny_model
from tests.without_packages import REFUSING


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory."""
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny-en-de")


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Takes the traces of the service below."""
    with Collector() as running:
        yield running


@pytest.fixture(scope="session")
def service(
    tiny_model: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """`polyhead serve` with two replicas of everything."""
    started = ServiceProcess(
        tmp_path_factory.mktemp("service"), "--model", str(tiny_model), "--replicas", "2",
        POLYHEAD_GATEWAY_REPLICAS="2", POLYHEAD_METRICS_TIMEOUT_SECONDS="30",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="200",
    )  # fmt: skip
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def single_service(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """`polyhead serve --single-process`."""
    folder = tmp_path_factory.mktemp("single")
    started = ServiceProcess(
        folder, "--single-process", "--model", str(tiny_model), prelude=REFUSING,
        POLYHEAD_STORE_URL=f"sqlite:///{folder}/store.db", POLYHEAD_SUGGESTIONS="true",
    )  # fmt: skip
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.close()


@pytest.fixture(params=["service", "single_service"], ids=["ray", "single process"])
def any_service(request: pytest.FixtureRequest) -> ServiceProcess:
    """Either way to run it."""
    started = request.getfixturevalue(request.param)
    assert isinstance(started, ServiceProcess)
    return started


@pytest.fixture
def whole_service(service: ServiceProcess) -> ServiceProcess:
    """The same, once all four replicas report: a test before may have killed one."""

    def is_whole() -> bool:
        samples = service.samples()
        return all(len(replicas(samples, kind)) == 2 for kind in ("gateway", "translator"))

    wait_for(is_whole)
    return service
