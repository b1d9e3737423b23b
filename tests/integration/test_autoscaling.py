"""A step of load brings a second replica, its end takes it away again, and nobody loses an answer.

Takes about half a minute, most of it for Ray and two replicas to start.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.service_process import ServiceProcess, replicas, total, wait_for

_HEAVY_CLIENTS = 6


@pytest.fixture
def scaling_service(tiny_model: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    """One to two replicas, in a hurry: what takes minutes in earnest takes seconds."""
    started = ServiceProcess(
        tmp_path, "--model", str(tiny_model), "--max-replicas", "2",
        POLYHEAD_AUTOSCALING__TARGET_QUEUE_SECONDS="0.02",
        POLYHEAD_AUTOSCALING__DRAIN_SECONDS="1",
        POLYHEAD_AUTOSCALING__HOLD_SECONDS="2",
        POLYHEAD_AUTOSCALING__METRICS_INTERVAL_SECONDS="0.5",
        # So few slots that sentences wait, however fast the machine.
        POLYHEAD_ENGINE__MAX_SLOTS="4",
        POLYHEAD_METRICS_TIMEOUT_SECONDS="30",
    )  # fmt: skip
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.close()


class _Clients:
    """Each sends one request after the other until it is told to stop."""

    def __init__(self, url: str, count: int, sentences: int) -> None:
        self._url = url
        self._body = {
            "texts": ["The red house is old. A quiet street."] * sentences,
            "source": "en",
            "target": "de",
        }
        self._stop = threading.Event()
        self.outcomes: list[object] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> _Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False, verify=False) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/v1/translate", json=self._body)
                    outcome: object = answer.status_code if answer.is_success else answer.text
                except httpx.HTTPError as error:
                    outcome = repr(error)
                self.outcomes.append(outcome)


def test_replicas_follow_a_step_of_load_and_no_request_fails(
    scaling_service: ServiceProcess,
) -> None:
    service = scaling_service

    def running() -> int:
        return len(replicas(service.samples(), "translator"))

    def changes(direction: str) -> float:
        return total(service.samples(), "polyhead_autoscaling_changes_total", direction=direction)

    # The autoscaler's numbers are in the same scrape as everybody's.
    wait_for(lambda: total(service.samples(), "polyhead_autoscaling_target_replicas") == 1)
    with _Clients(service.url, 1, sentences=1) as gentle:
        with _Clients(service.url, _HEAVY_CLIENTS, sentences=100) as heavy:
            wait_for(lambda: running() == 2)
            samples = service.samples()
            assert total(samples, "polyhead_autoscaling_target_replicas") == 2
            assert total(samples, "polyhead_autoscaling_capacity_source_tokens_per_second") > 0
            assert changes("up") >= 1
            answered = len(heavy.outcomes)
            wait_for(lambda: len(heavy.outcomes) > answered + 2 * _HEAVY_CLIENTS)
        wait_for(lambda: changes("down") >= 1)
        wait_for(lambda: len(service.pids(":Translator")) == 1)
        answered = len(gentle.outcomes)
        wait_for(lambda: len(gentle.outcomes) > answered + 5)
    assert set(heavy.outcomes) == {200}
    assert set(gentle.outcomes) == {200}
