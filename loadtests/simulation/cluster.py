"""A cluster through time: events on a clock, from arrivals to decisions and lost nodes.

What Ray Serve adds to a decision is its delays: replicas report every so often, the controller
decides on what it has heard, a new replica takes its time to start, and one that goes finishes its
work first. Gateways let through what they can, keep a bounded number of requests in flight, and
repeat what a lost replica had.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import numpy as np

from loadtests.simulation.fleet import Fleet, QueueTimes
from loadtests.simulation.profiles import GATEWAY, GatewayProfile, ReplicaProfile
from service.autoscaling.decision import Autoscaler, ModelLoad, ScalingConfig

__all__ = ["Cluster", "Course", "Scenario", "Traffic", "draw_tokens"]

Traffic = Callable[[float], float]
"""Sentences per second at a time in seconds."""

_START_SPREAD = 0.2
"""A start takes up to this share more or less than the profile says."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Everything that happens, but for chance."""

    name: str
    replica: ReplicaProfile
    traffic: Traffic
    seconds: float
    tick_seconds: float = 1.0
    report_seconds: float = 1.0
    """Between two reports of a replica, and two decisions."""
    max_replicas: int
    min_replicas: int = 1
    first_replicas: int = 1
    scaling: ScalingConfig = field(default_factory=ScalingConfig)
    autoscaled: bool = True
    gateway: GatewayProfile = GATEWAY
    gateways: int
    losses: tuple[tuple[float, int], ...] = ()
    """When how many replicas die at once; their nodes do not come back, others must be found."""
    detect_seconds: float = 1.0
    """Until the gateways repeat what a lost replica had."""
    course_seconds: float = 60.0
    """Between two points of the course that is kept."""
    seed: int = 20_261_122


@dataclass(kw_only=True)
class Course:
    """What happened, point by point, and in all. Tokens are sums since the beginning."""

    seconds: list[float] = field(default_factory=list)
    offered: list[float] = field(default_factory=list)
    """Source tokens per second that clients sent, on average since the point before."""
    replicas: list[int] = field(default_factory=list)
    """Replicas that take work."""
    targets: list[int] = field(default_factory=list)
    queue_p95: list[float] = field(default_factory=list)
    """95th percentile of the sentences that arrived since the point before, in seconds."""
    queue_times: QueueTimes = field(default_factory=QueueTimes)
    """Queue times of all sentences."""
    replica_hours: float = 0.0
    """Hours of replicas that start, take work or finish it."""
    arrived_tokens: float = 0.0
    shed_tokens: float = 0.0
    done_tokens: float = 0.0
    left_tokens: float = 0.0
    """Still at gateways or replicas in the end."""


class Cluster:
    """Runs one scenario, once."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._generator = np.random.Generator(np.random.PCG64(scenario.seed))
        # Those that finish their work are no longer counted, but still there.
        self._fleet = Fleet(scenario.replica, most=2 * scenario.max_replicas)
        self._autoscaler = Autoscaler(scenario.scaling)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._now = 0.0
        self._target = scenario.first_replicas
        self._starting: set[int] = set()
        self._starts = count()
        self._at_gateways = 0.0
        """Tokens that have not gone on to a replica."""
        self._lost = 0.0
        """Tokens whose loss nobody has noticed yet."""
        self._since = QueueTimes()
        self._offered_since = 0.0
        self._refused_since = 0.0
        """Tokens, since the last decision."""
        self.course = Course()

    def run(self) -> Course:
        """From the beginning to the end."""
        scenario = self._scenario
        for _ in range(scenario.first_replicas):
            self._fleet.add()
        self._at(0.0, self._tick)
        self._at(scenario.report_seconds, self._decide)
        self._at(scenario.course_seconds, self._note)
        for at, replicas in scenario.losses:
            self._at(at, partial(self._lose, replicas))
        while self._events and self._events[0][0] <= scenario.seconds:
            self._now, _, event = heapq.heappop(self._events)
            event()
        course = self.course
        course.queue_times.merge(self._since)
        course.done_tokens = self._fleet.done
        course.left_tokens = self._fleet.work + self._at_gateways + self._lost
        return course

    def _at(self, time: float, event: Callable[[], None]) -> None:
        # Numbered, for two events at one time happen in the order in which they were planned.
        heapq.heappush(self._events, (time, next(self._order), event))

    def _tick(self) -> None:
        scenario = self._scenario
        seconds = scenario.tick_seconds
        fleet = self._fleet
        waits_before = self._at_gateways / self._gateway_rate
        self._at_gateways += self._arrivals(seconds)
        if fleet.serving:
            passed = min(self._at_gateways, self._gateway_rate * seconds)
            self._at_gateways -= passed
            shares = fleet.shares(passed)
            waits = fleet.tick(self._now, seconds, shares)
            self._since.add(waits + waits_before, shares / scenario.replica.mean_sentence_tokens)
        there = len(fleet.serving) + len(fleet.draining) + len(self._starting)
        self.course.replica_hours += there * seconds / 3600
        self._at(self._now + seconds, self._tick)

    @property
    def _gateway_rate(self) -> float:
        """Tokens per second that all gateways let through."""
        scenario = self._scenario
        return scenario.gateways * scenario.gateway.requests_per_second * self._request_tokens

    @property
    def _request_tokens(self) -> float:
        scenario = self._scenario
        return scenario.gateway.sentences_per_request * scenario.replica.mean_sentence_tokens

    def _arrivals(self, seconds: float) -> float:
        """Tokens that the gateways accept in this tick."""
        scenario = self._scenario
        sentences = self._generator.poisson(scenario.traffic(self._now) * seconds, 1)
        [drawn] = draw_tokens(self._generator, sentences, scenario.replica)
        tokens = float(drawn)
        self.course.arrived_tokens += tokens
        self._offered_since += tokens
        in_flight = (self._at_gateways + self._lost + self._fleet.work) / self._request_tokens
        room = scenario.gateways * scenario.gateway.max_in_flight - in_flight
        # During the tick, what is done makes room.
        done = len(self._fleet.serving) * scenario.replica.capacity * seconds
        accepted = min(tokens, max(0.0, room * self._request_tokens + done))
        self.course.shed_tokens += tokens - accepted
        self._refused_since += tokens - accepted
        return accepted

    def _decide(self) -> None:
        scenario = self._scenario
        reports = self._fleet.reports(self._now)
        if scenario.autoscaled:
            in_work = self._fleet.work / self._request_tokens
            decision = self._autoscaler.decide(
                ModelLoad(
                    now=self._now,
                    running_replicas=len(self._fleet.serving),
                    target_replicas=self._target,
                    min_replicas=scenario.min_replicas,
                    max_replicas=scenario.max_replicas,
                    reports=reports,
                    assigned_requests=in_work,
                    # The gateways' own queues are before Serve's handles, where nobody counts.
                    unassigned_requests=0.0 if self._fleet.serving else in_work,
                    refused_requests_per_second=self._refused_since
                    / self._request_tokens
                    / scenario.report_seconds,
                )
            )
            self._target = decision.replicas
        self._refused_since = 0.0
        self._approach_target()
        self._at(self._now + scenario.report_seconds, self._decide)

    def _approach_target(self) -> None:
        missing = self._target - len(self._fleet.serving) - len(self._starting)
        for _ in range(missing):
            number = next(self._starts)
            self._starting.add(number)
            spread = 1 + _START_SPREAD * (2 * self._generator.random() - 1)
            start = spread * self._scenario.replica.start_seconds
            self._at(self._now + start, partial(self._started, number))
        # Those that have not begun are given up first, the latest before all others.
        for _ in range(-missing):
            if self._starting:
                self._starting.remove(max(self._starting))
            else:
                self._fleet.drain()

    def _started(self, number: int) -> None:
        if number in self._starting:
            self._starting.remove(number)
            self._fleet.add()

    def _lose(self, replicas: int) -> None:
        tokens = self._fleet.lose(min(replicas, len(self._fleet.serving)))
        self._lost += tokens
        self._at(self._now + self._scenario.detect_seconds, partial(self._repeat, tokens))

    def _repeat(self, tokens: float) -> None:
        self._lost -= tokens
        self._at_gateways += tokens

    def _note(self) -> None:
        course = self.course
        course.seconds.append(self._now)
        course.offered.append(self._offered_since / self._scenario.course_seconds)
        course.replicas.append(len(self._fleet.serving))
        course.targets.append(self._target)
        course.queue_p95.append(self._since.percentile(0.95))
        course.queue_times.merge(self._since)
        self._since = QueueTimes()
        self._offered_since = 0.0
        self._at(self._now + self._scenario.course_seconds, self._note)


def draw_tokens(
    generator: np.random.Generator, sentences: np.ndarray, profile: ReplicaProfile
) -> np.ndarray:
    """Tokens of so many sentences together, for each entry of `sentences`.

    A sentence's tokens have a gamma distribution, so the sum of n is drawn at once; a
    variation of 1 makes it exponential, 0 makes all sentences alike.
    """
    if profile.variation == 0:
        return sentences * profile.mean_sentence_tokens
    shape = 1 / profile.variation**2
    scale = profile.mean_sentence_tokens / shape
    drawn: np.ndarray = generator.gamma(sentences * shape, scale)
    return drawn
