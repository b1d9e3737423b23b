"""What is simulated: the questions an operator asks before spending money."""

from __future__ import annotations

import math
from dataclasses import replace

from loadtests.simulation.cluster import Scenario, Traffic
from loadtests.simulation.profiles import (
    CPU_PAPER_BASE,
    GATEWAY,
    GPU_PAPER_BASE,
    GPU_PAPER_BASE_BEAM4,
    ReplicaProfile,
)
from service.autoscaling.decision import ScalingConfig

__all__ = [
    "at_peak",
    "constant",
    "cpu_spike",
    "daily",
    "gateway_limit",
    "gateways_for",
    "gpu_day",
    "gpu_spikes",
    "node_losses",
    "sentences_of",
    "spike",
]

DAY_SECONDS = 86_400.0
_UTILIZATION = ScalingConfig.target_utilization
_ENOUGH_GATEWAYS = 2.0
"""Times what the highest traffic needs, where gateways are not the question."""


def constant(rate: float) -> Traffic:
    """Always the same."""
    return lambda _: rate


def daily(lowest: float, highest: float) -> Traffic:
    """A day: lowest at 4 in the morning, highest at 4 in the afternoon; a sine in the logarithm.

    Between the two it grows and falls by the same share each minute, which is harder to follow than
    the same number.
    """
    middle = (math.log(highest) + math.log(lowest)) / 2
    swing = (math.log(highest) - math.log(lowest)) / 2

    def rate(now: float) -> float:
        phase = 2 * math.pi * (now - 10 * 3600) / DAY_SECONDS
        return math.exp(middle + swing * math.sin(phase))

    return rate


def spike(base: float, factor: float, *, begin: float, end: float, ramp: float) -> Traffic:
    """`base`, and `factor` times as much from `begin` to `end`, reached within `ramp` seconds."""

    def rate(now: float) -> float:
        up = min(max((now - begin) / ramp, 0.0), 1.0)
        down = min(max((now - end) / ramp, 0.0), 1.0)
        return base * (1 + (factor - 1) * (up - down))

    return rate


def sentences_of(replicas: float, profile: ReplicaProfile, utilization: float) -> float:
    """Sentences per second that use so much of so many replicas."""
    return replicas * utilization * profile.capacity / profile.mean_sentence_tokens


def gateways_for(sentences: float) -> int:
    """Gateways for twice as many sentences per second."""
    each = GATEWAY.requests_per_second * GATEWAY.sentences_per_request
    return max(1, math.ceil(_ENOUGH_GATEWAYS * sentences / each))


def at_peak(scenario: Scenario, most: int) -> Scenario:
    """The same with as many replicas all the time as it had at most."""
    return replace(scenario, autoscaled=False, first_replicas=most, name=f"{scenario.name}, fixed")


def cpu_spike() -> Scenario:
    """Two-CPU replicas, one of them 60 % busy; ten times as much for a quarter of an hour."""
    base = sentences_of(1, CPU_PAPER_BASE, 0.6)
    return Scenario(
        name="CPU, tenfold for 15 minutes",
        replica=CPU_PAPER_BASE,
        traffic=spike(base, 10.0, begin=600.0, end=1500.0, ramp=10.0),
        seconds=3600.0,
        tick_seconds=0.5,
        max_replicas=16,
        gateways=4,
        course_seconds=5.0,
    )


def gpu_day() -> Scenario:
    """A day from one GPU to a thousand and back."""
    lowest = sentences_of(1, GPU_PAPER_BASE, 0.6)
    highest = sentences_of(1000, GPU_PAPER_BASE, _UTILIZATION)
    return Scenario(
        name="GPU, a day from 1 to 1,000 replicas",
        replica=GPU_PAPER_BASE,
        traffic=daily(lowest, highest),
        seconds=DAY_SECONDS,
        tick_seconds=2.0,
        report_seconds=10.0,
        first_replicas=8,
        max_replicas=1100,
        gateways=gateways_for(highest),
        course_seconds=300.0,
    )


def gpu_spikes() -> list[Scenario]:
    """Twenty GPUs 60 % busy, five times as much within ten seconds, by how long a start takes."""
    base = sentences_of(20, GPU_PAPER_BASE_BEAM4, 0.6)
    return [
        Scenario(
            name=f"GPU, fivefold for 15 minutes, a start takes {start:.0f} s",
            replica=replace(GPU_PAPER_BASE_BEAM4, start_seconds=start),
            traffic=spike(base, 5.0, begin=600.0, end=1500.0, ramp=10.0),
            seconds=3600.0,
            first_replicas=20,
            max_replicas=200,
            gateways=gateways_for(5 * base),
            course_seconds=5.0,
        )
        for start in (20.0, 60.0, 180.0)
    ]


def node_losses() -> list[Scenario]:
    """Nodes of eight GPUs die at once, at the highest load that the replicas were meant for."""
    replicas = 104
    rate = sentences_of(replicas, GPU_PAPER_BASE_BEAM4, _UTILIZATION)
    return [
        Scenario(
            name=f"GPU, {nodes} of 13 nodes lost, a start takes 180 s",
            replica=replace(GPU_PAPER_BASE_BEAM4, start_seconds=180.0),
            traffic=constant(rate),
            seconds=1800.0,
            first_replicas=replicas,
            max_replicas=200,
            gateways=gateways_for(rate),
            losses=((600.0, 8 * nodes),),
            course_seconds=5.0,
        )
        for nodes in (3, 6)
    ]


def gateway_limit(replicas: int, gateways: int) -> Scenario:
    """GPUs that would be three quarters busy, if the gateways let it through."""
    return Scenario(
        name=f"{replicas} replicas, {gateways} gateways",
        replica=GPU_PAPER_BASE,
        traffic=constant(sentences_of(replicas, GPU_PAPER_BASE, _UTILIZATION)),
        seconds=120.0,
        report_seconds=10.0,
        first_replicas=replicas,
        max_replicas=replicas,
        autoscaled=False,
        gateways=gateways,
    )
