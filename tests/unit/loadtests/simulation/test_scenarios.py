"""Scenarios are what their names say, and the report's rows are their figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtests.simulation import __main__ as report
from loadtests.simulation.cluster import Cluster, Course
from loadtests.simulation.fleet import QueueTimes
from loadtests.simulation.scenarios import (
    at_peak,
    cpu_spike,
    gateway_limit,
    gpu_day,
    gpu_spikes,
    node_losses,
)


def _load(scenario: object, now: float) -> float:
    """Replicas that the traffic keeps wholly busy."""
    profile = scenario.replica  # type: ignore[attr-defined]
    sentences = scenario.traffic(now)  # type: ignore[attr-defined]
    return float(sentences * profile.mean_sentence_tokens / profile.capacity)


def test_the_spike_on_cpus_is_tenfold() -> None:
    scenario = cpu_spike()
    assert _load(scenario, 0.0) == pytest.approx(0.6)
    assert _load(scenario, 1000.0) == pytest.approx(6.0)


def test_the_day_goes_from_one_replica_to_a_thousand() -> None:
    scenario = gpu_day()
    assert _load(scenario, 4 * 3600.0) == pytest.approx(0.6)
    assert _load(scenario, 16 * 3600.0) == pytest.approx(750.0)
    assert scenario.max_replicas > 1000


def test_spikes_differ_in_how_long_a_start_takes() -> None:
    scenarios = gpu_spikes()
    assert [each.replica.start_seconds for each in scenarios] == [20.0, 60.0, 180.0]
    assert {round(_load(each, 1000.0)) for each in scenarios} == {60}
    assert all(f"{each.replica.start_seconds:.0f} s" in each.name for each in scenarios)


def test_nodes_of_eight_replicas_are_lost() -> None:
    lost = [scenario.losses[0][1] for scenario in node_losses()]
    assert lost == [24, 48]


def test_a_fixed_cluster_stays_as_it_is() -> None:
    scenario = at_peak(replace(cpu_spike(), seconds=30.0, course_seconds=5.0), 7)
    course = Cluster(scenario).run()
    assert set(course.replicas) == {7}
    assert scenario.name.endswith(", fixed")


def test_few_gateways_are_what_limits_many_replicas() -> None:
    scenario = replace(gateway_limit(100, 4), seconds=20.0)
    course = Cluster(scenario).run()
    # 4 gateways of 500 requests/s of 8 sentences of 30 tokens.
    assert course.done_tokens / 20.0 == pytest.approx(4 * 500 * 8 * 30, rel=0.1)


def test_a_row_of_the_report() -> None:
    times = QueueTimes()
    times.add(np.array([0.0, 3.0]), np.array([97.0, 3.0]))
    course = Course(
        replicas=[1, 11, 4],
        queue_p95=[0.0, 52.49],
        queue_times=times,
        replica_hours=4.75,
        arrived_tokens=1000.0,
        shed_tokens=7.0,
    )
    header, _, row = report._courses([("autoscaled", cpu_spike(), course)]).splitlines()
    assert header.startswith("| scenario | replicas | replica hours |")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["CPU, tenfold for 15 minutes", "1 to 11", "4.8", "0.00"]
    assert cells[5:] == ["52.5", "97.00%", "0.70%"]
