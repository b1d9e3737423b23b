"""A part dies or is replaced under a steady load: nobody gets a wrong answer, or none."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from loadtests.faults.load import SteadyLoad, ask_once, tally_of
from tests.integration.service_process import (
    ServiceProcess,
    free_port,
    parse_samples,
    processes,
    replicas,
    title_of,
    total,
    wait_for,
)
from tests.ray_serve import ray, serve

_RATE = 10.0
_RETRIES = "polyhead_request_retries_total"


def _load(url: str) -> SteadyLoad:
    return SteadyLoad(url, ask_once(url, seed=1), rate=_RATE, seed=2)


def _wait_for_more(load: SteadyLoad) -> None:
    """Until some requests have been answered that were sent from now on."""
    answered = len(load.exchanges)
    wait_for(lambda: len(load.exchanges) > answered + 2 * _RATE)


def test_a_gateway_is_killed(whole_service: ServiceProcess) -> None:
    service = whole_service
    with _load(service.url) as load:
        _wait_for_more(load)
        before = service.pids("ServeReplica:polyhead:Gateway")
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(set(service.pids("ServeReplica:polyhead:Gateway")) - {before[0]}) == 2)
        _wait_for_more(load)
    assert tally_of(load.exchanges)["faults"] == []


def test_haproxy_is_killed(whole_service: ServiceProcess) -> None:
    """What it held is lost with it, but there is soon another one."""
    service = whole_service
    # Beside the one that works there may be others, which only end what they had before a reload.
    before = set(service.pids("/haproxy -db"))
    assert before
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def is_ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"{service.url}/ready"
            return httpx.get(url, timeout=10, trust_env=False, verify=False).is_success
        return False

    wait_for(lambda: set(service.pids("/haproxy -db")) - before)
    wait_for(is_ready)


def test_readiness_tells_that_nobody_can_translate(whole_service: ServiceProcess) -> None:
    service = whole_service

    def status() -> int:
        # Over a connection of its own, so that it may come to either gateway.
        url = f"{service.url}/ready"
        return httpx.get(url, timeout=30, trust_env=False, verify=False).status_code

    def signal_translators(number: int) -> None:
        for pid in service.pids(":Translator"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    wait_for(lambda: status() == 200)
    # Successors of killed ones are there within two seconds, for which a request may wait.
    signal_translators(signal.SIGSTOP)
    try:
        wait_for(lambda: status() == 503)
    finally:
        signal_translators(signal.SIGCONT)
    wait_for(lambda: status() == 200)


class _FragileService:
    """The application in a Ray of this process, with translators that can be broken."""

    def __init__(self, model: Path, folder: Path) -> None:
        from service.settings import EngineSettings, Settings

        self.folder = folder
        self.name = f"faults-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = Settings(
            models=[str(model)],
            replicas=2,
            gateway_replicas=2,
            num_cpus_per_replica=0,
            num_cpus_per_gateway=0,
            engine=EngineSettings(num_threads=1),
            metrics_timeout_seconds=30,
        )

    def deploy(self) -> None:
        """Replicas are new ones afterwards if their settings have changed."""
        from service.app import build

        serve.run(build(self.settings), name=self.name, route_prefix="/")

    def titles(self) -> list[int]:
        """Process ids of the translators."""
        found = processes(f"ServeReplica:{self.name}@")
        return [pid for pid in found if ":Translator-" in title_of(pid)]

    def retries(self, reason: str) -> float:
        """The sum over both gateways so far."""
        answer = httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False, verify=False)
        samples = parse_samples(answer.raise_for_status().text)
        assert len(replicas(samples, "gateway")) == 2
        return total(samples, _RETRIES, reason=reason)


@pytest.fixture(scope="module")
def fragile(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_FragileService]:
    from ray.serve.schema import LoggingConfig

    from loadtests.faults.sabotage import FOLDER, FragileReplica
    from service.hosting import deployments

    folder = tmp_path_factory.mktemp("sabotage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        patch.setattr(deployments, "TranslatorReplica", FragileReplica)
        fragile = _FragileService(tiny_model, folder)
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
            logging_level="ERROR",
            # The actor of the catalog deploys the models, in a process of its own.
            runtime_env={"worker_process_setup_hook": "loadtests.faults.sabotage.install"},
        )
        try:
            serve.start(
                proxy_location="HeadOnly",
                http_options={"host": "127.0.0.1", "port": fragile.port},
                logging_config=LoggingConfig(enable_access_log=False, log_level="ERROR"),
            )
            fragile.deploy()
            yield fragile
            serve.shutdown()
        finally:
            ray.shutdown()


def test_a_step_of_an_engine_fails(fragile: _FragileService) -> None:
    before = fragile.titles()
    with _load(fragile.url) as load:
        _wait_for_more(load)
        (fragile.folder / "break-step").touch()
        # Serve replaces the replica, and not the other one.
        wait_for(lambda: len(set(fragile.titles()) & set(before)) == 1)
        wait_for(lambda: len(fragile.titles()) == 2)
        _wait_for_more(load)
    assert tally_of(load.exchanges)["faults"] == []
    assert fragile.retries("unavailable") > 0


def test_a_replica_hangs(fragile: _FragileService) -> None:
    """Its calls are done by another one, before Serve itself has noticed anything."""
    wait_for(lambda: len(fragile.titles()) == 2)
    before, hung = fragile.retries("lost"), fragile.titles()[0]
    with _load(fragile.url) as load:
        _wait_for_more(load)
        os.kill(hung, signal.SIGSTOP)
        try:
            wait_for(lambda: fragile.retries("lost") > before)
            assert hung in fragile.titles()
            _wait_for_more(load)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(hung, signal.SIGCONT)
    assert tally_of(load.exchanges)["faults"] == []


def test_another_version_is_deployed(fragile: _FragileService) -> None:
    from service.settings import EngineSettings

    before = fragile.titles()
    assert len(before) == 2
    engine = EngineSettings(num_threads=1, max_slots=8)
    fragile.settings = fragile.settings.model_copy(update={"engine": engine})
    with _load(fragile.url) as load:
        _wait_for_more(load)
        fragile.deploy()
        wait_for(lambda: not set(fragile.titles()) & set(before))
        _wait_for_more(load)
    assert tally_of(load.exchanges)["faults"] == []
