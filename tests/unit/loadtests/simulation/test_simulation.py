"""The simulator against queueing theory, its own books, and itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtests.simulation.cluster import Cluster, Course, Scenario, draw_tokens
from loadtests.simulation.fleet import Fleet, QueueTimes
from loadtests.simulation.profiles import GatewayProfile, ReplicaProfile
from loadtests.simulation.scenarios import constant, daily, spike
from service.autoscaling.decision import ScalingConfig

_REPLICA = ReplicaProfile(
    name="a round one",
    capacity=1000.0,
    slots=4,
    mean_sentence_tokens=20.0,
    variation=0.5,
    start_seconds=10.0,
    source="made up",
)
_WIDE = GatewayProfile(
    requests_per_second=1e6, max_in_flight=1_000_000, sentences_per_request=1, source="made up"
)
_SCENARIO = Scenario(
    name="test",
    replica=_REPLICA,
    traffic=constant(30.0),
    seconds=600.0,
    tick_seconds=0.5,
    report_seconds=1.0,
    max_replicas=50,
    gateway=_WIDE,
    gateways=1,
)


def _run(**changes: object) -> Course:
    return Cluster(replace(_SCENARIO, **changes)).run()  # type: ignore[arg-type]


# --- Against theory


@pytest.mark.parametrize(("variation", "theory"), [(0.0, 0.5), (1.0, 1.0)], ids=["M/D/1", "M/M/1"])
def test_a_queue_of_single_sentences_waits_as_theory_says(variation: float, theory: float) -> None:
    """Mean wait rho / (1 - rho) services in M/M/1, half of it in M/D/1 (Pollaczek-Khinchine)."""
    # A thousand queues side by side, each of one server and no slots beside it.
    rho, service, queues = 0.7, 1.0, 1000
    profile = replace(
        _REPLICA, capacity=20.0, mean_sentence_tokens=20.0, slots=0, variation=variation
    )
    fleet = Fleet(profile, most=queues)
    generator = np.random.Generator(np.random.PCG64(1))
    for _ in range(queues):
        fleet.add()
    times = QueueTimes()
    seconds = 0.02 * service
    for tick in range(6000):
        sentences = generator.poisson(rho / service * seconds, queues)
        arrived = draw_tokens(generator, sentences, profile)
        waits = fleet.tick(tick * seconds, seconds, arrived)
        if tick > 2000:  # it began empty
            times.add(waits, sentences)
    assert times.sentences > 50_000
    expected = theory * rho / (1 - rho) * service
    assert times.mean == pytest.approx(expected, rel=0.05)
    if variation:
        # In M/M/1 a share rho waits at all, and P(wait > t) is rho exp(-(1 - rho) t / service).
        expected = service * np.log(rho / 0.05) / (1 - rho)
        assert times.percentile(0.95) == pytest.approx(expected, rel=0.08)


def test_a_queue_in_overload_grows_by_the_difference() -> None:
    course = _run(traffic=constant(100.0), autoscaled=False, seconds=100.0)
    # 2,000 tokens/s arrive, 1,000 are done: after 100 s, 100,000 wait, behind which it takes 100 s.
    assert course.left_tokens == pytest.approx(100_000, rel=0.05)
    assert course.queue_times.mean == pytest.approx(50, rel=0.1)


# --- Its books


def _books(course: Course) -> float:
    """Tokens that appeared from nowhere."""
    return course.done_tokens + course.left_tokens + course.shed_tokens - course.arrived_tokens


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"traffic": spike(30.0, 20.0, begin=100.0, end=300.0, ramp=5.0)},
        {"losses": ((200.0, 2),), "first_replicas": 4, "min_replicas": 4},
        {"losses": ((200.0, 1),)},
        {"gateway": replace(_WIDE, max_in_flight=50), "traffic": constant(400.0)},
        {"gateway": replace(_WIDE, requests_per_second=20.0)},
    ],
    ids=["constant", "spike", "loss", "all lost", "shedding", "slow gateway"],
)
def test_what_arrives_is_done_shed_or_still_there(changes: dict[str, object]) -> None:
    course = _run(**changes)
    assert course.arrived_tokens > 0
    assert _books(course) == pytest.approx(0, abs=1e-6 * course.arrived_tokens)


def test_the_same_seed_gives_the_same_course_and_another_one_does_not() -> None:
    first, second = _run(), _run()
    assert vars(first).keys() == vars(second).keys()
    for name in ("offered", "replicas", "targets", "queue_p95", "arrived_tokens", "replica_hours"):
        assert getattr(first, name) == getattr(second, name)
    assert _run(seed=2).arrived_tokens != first.arrived_tokens


def test_cost_is_the_time_that_replicas_are_there() -> None:
    course = _run(first_replicas=3, min_replicas=3, max_replicas=3, seconds=3600.0)
    assert course.replica_hours == pytest.approx(3, rel=1e-3)


# --- What is added to a decision


def test_a_new_replica_takes_its_time() -> None:
    course = _run(traffic=constant(100.0), course_seconds=1.0, seconds=60.0)
    wanted = next(second for second, n in enumerate(course.targets) if n > 1)
    there = next(second for second, n in enumerate(course.replicas) if n > 1)
    assert 8 <= there - wanted <= 13  # 10 s, and a fifth more or less


def test_a_lost_replica_is_replaced_and_its_work_repeated() -> None:
    course = _run(
        first_replicas=3, min_replicas=3, losses=((100.0, 2),),
        course_seconds=1.0, seconds=200.0,
    )  # fmt: skip
    assert course.replicas[101] == 1
    assert course.replicas[-1] == 3
    assert course.shed_tokens == 0


def test_a_replica_that_goes_finishes_its_work() -> None:
    course = _run(
        traffic=spike(10.0, 20.0, begin=10.0, end=60.0, ramp=1.0),
        scaling=ScalingConfig(hold_seconds=20.0),
        course_seconds=1.0,
    )
    assert max(course.replicas) > 3
    assert course.replicas[-1] == 1
    assert course.left_tokens < 1000


def test_scaling_keeps_the_queue_time_where_one_replica_could_not() -> None:
    traffic = daily(10.0, 400.0)
    common = {"traffic": traffic, "seconds": 86_400.0, "report_seconds": 10.0}
    alone = _run(**common, tick_seconds=30.0, autoscaled=False)
    scaled = _run(**common, tick_seconds=10.0)
    assert alone.queue_times.percentile(0.95) > 1000
    assert scaled.queue_times.percentile(0.95) <= 1.0
    assert max(scaled.replicas) >= 8 > scaled.replica_hours / 24


def test_a_spike_does_not_bring_many_more_replicas_than_it_needs() -> None:
    course = _run(traffic=spike(30.0, 10.0, begin=100.0, end=500.0, ramp=10.0))
    # 300 sentences of 20 tokens a second, at three quarters of 1,000 tokens/s each.
    assert 8 <= max(course.targets) <= 10


def test_a_gateway_lets_through_what_it_can_and_sheds_what_is_too_much() -> None:
    narrow = replace(_WIDE, requests_per_second=20.0, max_in_flight=100)
    course = _run(gateway=narrow, traffic=constant(40.0))
    assert course.done_tokens == pytest.approx(20 * 20 * 600, rel=0.03)
    # A hundred in flight, twenty a second: nobody who is accepted waits longer than five seconds.
    assert course.queue_times.percentile(0.99) <= 6
    assert course.shed_tokens == pytest.approx(course.arrived_tokens / 2, rel=0.1)


# --- Percentiles


def test_percentiles_are_those_of_the_weighted_values() -> None:
    times = QueueTimes()
    times.add(np.array([0.0, 0.5, 2.0]), np.array([90.0, 6.0, 4.0]))
    assert times.percentile(0.5) == 0.0
    assert times.percentile(0.95) == pytest.approx(0.5, rel=0.05)
    assert times.percentile(0.99) == pytest.approx(2.0, rel=0.05)
    assert times.mean == pytest.approx(0.11)
    assert times.share_within(1.0) == pytest.approx(0.96)
    more = QueueTimes()
    more.merge(times)
    assert (more.mean, more.sentences) == (times.mean, 100)
    assert (QueueTimes().mean, QueueTimes().percentile(0.9), QueueTimes().share_within(1)) == (
        0, 0, 1
    )  # fmt: skip


def test_traffic_has_the_form_that_it_says() -> None:
    day = daily(10.0, 1000.0)
    assert day(4 * 3600) == pytest.approx(10)
    assert day(16 * 3600) == pytest.approx(1000)
    assert day(10 * 3600) == pytest.approx(100)
    burst = spike(5.0, 4.0, begin=10.0, end=30.0, ramp=2.0)
    assert [burst(now) for now in (0, 10, 11, 12, 30, 31, 32, 99)] == [
        5,
        5,
        12.5,
        20,
        20,
        12.5,
        5,
        5,
    ]
