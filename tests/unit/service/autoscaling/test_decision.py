"""The autoscaler as a function of what is reported: up fast, down slowly, and never by surprise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.autoscaling.decision import (
    LONGEST_QUEUE_SECONDS,
    Autoscaler,
    LoadMeter,
    ModelLoad,
    ReplicaLoad,
    ScalingConfig,
    ScalingDecision,
    ScalingReason,
)

_CONFIG = ScalingConfig(
    target_queue_seconds=1.0, target_utilization=0.75, drain_seconds=30.0, hold_seconds=300.0
)
_IDLE = ReplicaLoad(
    waiting_tokens=0, running_tokens=0, arriving_tokens_per_second=0,
    admitted_tokens_per_second=0, capacity_tokens_per_second=0, slots_share=0,
)  # fmt: skip


def _busy(*, waiting: float = 0, arriving: float = 500, capacity: float = 1000) -> ReplicaLoad:
    return ReplicaLoad(
        waiting_tokens=waiting,
        running_tokens=100,
        arriving_tokens_per_second=arriving,
        admitted_tokens_per_second=min(arriving, capacity or arriving),
        capacity_tokens_per_second=capacity,
        slots_share=0.3,
    )


class _Model:
    """A model whose replicas start at once; a decision each second."""

    def __init__(self, config: ScalingConfig = _CONFIG, *, replicas: int = 1, most: int = 100):
        self.autoscaler = Autoscaler(config)
        self.now = 0.0
        self.replicas = replicas
        self.most = most

    def decide(self, *reports: ReplicaLoad, **changes: float) -> ScalingDecision:
        load = ModelLoad(
            now=self.now,
            running_replicas=self.replicas,
            target_replicas=self.replicas,
            min_replicas=1,
            max_replicas=self.most,
            reports=reports,
        )
        decision = self.autoscaler.decide(replace(load, **changes))  # type: ignore[arg-type]
        self.now += 1.0
        self.replicas = decision.replicas
        return decision

    def share(self, arriving: float, *, waiting: float = 0, capacity: float = 1000):
        """A decision where every replica has its part of the load."""
        one = _busy(
            waiting=waiting / self.replicas, arriving=arriving / self.replicas, capacity=capacity
        )
        return self.decide(*[one] * self.replicas)


# --- Up


def test_a_spike_is_answered_at_once_with_what_it_takes() -> None:
    model = _Model()
    assert model.share(500).reason is ScalingReason.STEADY
    # 2,500 tokens/s arrive, and 15,000 that wait are to be gone in 30 s: (2,500 + 500) / 1,000.
    decision = model.share(2500, waiting=15_000)
    assert (decision.replicas, decision.reason) == (4, ScalingReason.UTILIZATION)
    assert decision.queue_seconds == 15.0
    model = _Model()
    decision = model.share(900, waiting=90_000)  # (900 + 3,000) / 1,000
    assert (decision.replicas, decision.reason) == (4, ScalingReason.QUEUE)


def test_what_arrives_may_use_three_quarters_of_what_can_be_done() -> None:
    model = _Model(replicas=3)
    assert model.share(3 * 750).replicas == 3
    assert model.share(3 * 750 + 3).replicas == 4


def test_growth_is_bounded_by_those_that_run() -> None:
    model = _Model()
    assert model.share(50_000).replicas == 4
    assert model.share(50_000).replicas == 16
    # Those that start do not multiply: they have not been seen to help yet.
    start = {"running_replicas": 16, "target_replicas": 64}
    reports = [_busy(arriving=50_000 / 16)] * 16
    assert model.decide(*reports, **start).replicas == 64  # not 50,000 / 750


def test_growth_leaves_a_target_alone_that_is_further_away() -> None:
    model = _Model(replicas=50)
    # Nodes were lost: ten are left of fifty, and Serve is about to replace the others.
    lost = {"running_replicas": 10, "target_replicas": 50}
    assert model.decide(*[_busy(arriving=3000)] * 10, **lost).replicas == 50


def test_a_queue_is_short_if_the_slowest_twentieth_of_the_replicas_is_left_out() -> None:
    model = _Model(replicas=20)
    decision = model.decide(*[_busy()] * 19, _busy(waiting=9000))
    assert (decision.queue_seconds, decision.replicas) == (0.0, 20)
    model = _Model(replicas=20)
    decision = model.decide(*[_busy()] * 18, *[_busy(waiting=9000)] * 2)
    assert decision.queue_seconds == 9.0


def test_a_queue_that_should_be_gone_and_is_not_asks_for_one_more() -> None:
    model = _Model()
    # 1.5 s of waiting, and 700 of 1,000 tokens/s arrive: it should be gone in 30 s.
    for _ in range(30):
        assert model.share(700, waiting=1500).replicas == 1
    decision = model.share(700, waiting=1500)
    assert (decision.replicas, decision.reason) == (2, ScalingReason.QUEUE)
    # The second one gets as much time again, and the next.
    for _ in range(30):
        assert model.share(700, waiting=4000).replicas == 2
    assert model.share(700, waiting=4000).replicas == 3


def test_a_replica_that_has_just_come_is_not_blamed_for_the_queues_before_it() -> None:
    model = _Model()
    model.share(900, waiting=60_000)
    assert model.replicas == 3
    assert model.decide(*[_busy(arriving=300)] * 3).queue_seconds == 0.0


def test_before_the_capacity_is_known_what_is_done_stands_for_it() -> None:
    model = _Model()
    report = _busy(waiting=6000, arriving=800, capacity=0)
    report = replace(report, admitted_tokens_per_second=400, slots_share=1.0)
    decision = model.decide(report)
    assert decision.queue_seconds == 15.0
    assert decision.replicas == 3  # (800 + 200) / 400


def test_who_waits_beside_free_slots_does_not_wait_for_a_replica() -> None:
    model = _Model()
    # The first step of all may take seconds: a few wait, and next to nothing has been done.
    slow = replace(_busy(waiting=90, capacity=0), admitted_tokens_per_second=1, slots_share=0.1)
    for _ in range(60):
        decision = model.decide(slow)
        assert (decision.replicas, decision.queue_seconds) == (1, 0.0)


def test_requests_without_a_replica_count_as_a_queue() -> None:
    model = _Model()
    # 100 requests are at the replica, of 50 tokens each: 1,000 more are 50,000 tokens.
    full = replace(_busy(arriving=0), waiting_tokens=4900)
    decision = model.decide(full, assigned_requests=100, unassigned_requests=1000)
    assert decision.waiting_tokens == 4900 + 50_000
    assert decision.queue_seconds == pytest.approx(54.9)
    assert decision.replicas == 2  # 54,900 in 30 s


def test_refused_requests_count_where_the_replicas_are_at_their_limit() -> None:
    # A request has 50 tokens, so 60 refused ones are 3,000 tokens/s.
    common = {"assigned_requests": 2, "refused_requests_per_second": 60}
    busy = _Model()
    decision = busy.decide(_busy(arriving=800), **common)
    assert (decision.replicas, decision.reason) == (4, ScalingReason.UTILIZATION)
    idle = _Model()
    assert idle.decide(_busy(arriving=200), **common).replicas == 1


def test_with_no_replica_at_all_the_first_request_asks_for_one() -> None:
    model = _Model(replicas=1)
    assert model.decide(running_replicas=0, unassigned_requests=3).replicas == 1
    assert model.decide(running_replicas=0, target_replicas=0, min_replicas=0).replicas == 0
    nobody = {"running_replicas": 0, "target_replicas": 0, "min_replicas": 0}
    assert model.decide(**nobody, unassigned_requests=3).replicas == 1


# --- Down


def test_a_drained_model_shrinks_after_the_hold_and_not_before() -> None:
    model = _Model()
    model.share(2900)
    assert model.replicas == 4
    reasons = []
    while model.replicas == 4:
        reasons.append(model.share(100).reason)
        assert model.now < 1000
    # The moment that needed four was at 0 s; 301 s is the first that does not look back to it.
    assert model.now == 302
    assert set(reasons[:-1]) == {ScalingReason.HOLD}
    assert (reasons[-1], model.replicas) == (ScalingReason.SPARE, 1)


def test_what_the_last_minutes_needed_is_kept_step_by_step() -> None:
    model = _Model()
    model.share(2900)
    for second in range(300):
        model.share(1500 if second < 200 else 100)
    assert model.replicas == 4
    # 1,500 tokens/s, with a margin, are 1,500 / (0.8 * 750) replicas; then they are out of sight.
    seen = [model.share(100).replicas for _ in range(300)]
    assert list(dict.fromkeys(seen)) == [3, 1]


def test_a_load_that_comes_and_goes_does_not_make_the_replicas_do_so() -> None:
    model = _Model()
    seen = []
    for second in range(3600):
        seen.append(model.share(2900 if second // 60 % 2 else 100).replicas)
    assert seen[61:] == [4] * len(seen[61:])


def test_a_load_at_the_edge_does_not_flap() -> None:
    model = _Model(replace(_CONFIG, hold_seconds=10), replicas=3)
    changes = 0
    for second in range(2000):
        before = model.replicas
        model.share(2250 + (10 if second // 100 % 2 else -10))
        changes += model.replicas != before
    assert changes == 1


def test_a_new_autoscaler_gives_nothing_back_before_it_has_watched_for_the_hold() -> None:
    model = _Model(replicas=10)
    for _ in range(300):
        assert model.share(500).replicas == 10
    assert model.share(500).replicas == 1


def test_while_nobody_knows_what_a_replica_can_do_a_tenth_goes_at_a_time() -> None:
    model = _Model(replicas=10)
    seen = [model.share(500, capacity=0).replicas for _ in range(900)]
    assert seen[:300] == [10] * 300
    assert sorted(set(seen), reverse=True) == [10, 9, 8]


@pytest.mark.parametrize(("replicas", "share"), [(10, 0.37), (3, 0.27), (2, 0.21)])
def test_while_nobody_knows_those_who_stay_must_have_slots_enough(
    replicas: int, share: float
) -> None:
    model = _Model(replicas=replicas)
    report = replace(_busy(capacity=0), slots_share=share)
    for _ in range(900):
        assert model.decide(*[report] * model.replicas).replicas == replicas
    report = replace(report, slots_share=share - 0.02)
    for _ in range(302):
        model.decide(*[report] * model.replicas)
    assert model.replicas == replicas - 1


def test_an_idle_model_needs_no_measurement_to_shrink() -> None:
    model = _Model(replicas=10)
    seen = [model.decide(*[_IDLE] * model.replicas).replicas for _ in range(310)]
    assert seen[299:302] == [10, 1, 1]


# --- What is missing


def test_without_any_report_everything_stays() -> None:
    model = _Model(replicas=5)
    for _ in range(1000):
        decision = model.decide(silent_replicas=5)
        assert (decision.replicas, decision.reason) == (5, ScalingReason.BLIND)


def test_what_waits_for_a_start_asks_for_no_second_replica() -> None:
    model = _Model()
    for running in (0, 0, 1, 1):
        assert model.decide(running_replicas=running, unassigned_requests=9).replicas == 1


def test_after_blindness_the_hold_begins_anew() -> None:
    model = _Model(replicas=5)
    for _ in range(400):
        model.decide(silent_replicas=5)
    for _ in range(300):
        assert model.share(100).replicas == 5
    model.share(100)
    assert model.replicas == 1


def test_a_silent_replica_counts_as_the_others() -> None:
    model = _Model(replicas=4)
    decision = model.decide(*[_busy(arriving=740)] * 3, silent_replicas=1)
    assert decision.arriving_tokens_per_second == pytest.approx(4 * 740)
    assert decision.replicas == 4


def test_a_replica_that_has_never_reported_has_no_load_yet() -> None:
    model = _Model(replicas=2)
    decision = model.decide(_busy(arriving=740))
    assert decision.arriving_tokens_per_second == 740
    assert decision.replicas == 2


def test_a_new_replica_is_taken_for_as_fast_as_the_others() -> None:
    model = _Model(replicas=2)
    new = replace(_busy(waiting=3000, capacity=0), admitted_tokens_per_second=1)
    assert model.decide(_busy(), new).queue_seconds == 3.0


# --- Bounds


@pytest.mark.parametrize(("target", "expected"), [(1, 2), (9, 5)])
def test_bounds_that_have_changed_are_kept_at_once(target: int, expected: int) -> None:
    model = _Model()
    bounds = {"target_replicas": target, "min_replicas": 2, "max_replicas": 5}
    decision = model.decide(_busy(), **bounds)
    assert decision.replicas == expected


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.integers(0, 4),
            st.floats(0, 1e9),
            st.floats(0, 1e9),
            st.floats(0, 1e6),
            st.floats(0, 1e6),
        ),
        max_size=40,
    )
)
def test_whatever_is_reported_the_bounds_hold_and_nothing_breaks(
    moments: list[tuple[int, int, float, float, float, float]],
) -> None:
    autoscaler = Autoscaler(replace(_CONFIG, hold_seconds=5))
    target = 3
    for now, (running, silent, waiting, arriving, capacity, unassigned) in enumerate(moments):
        report = _busy(waiting=waiting, arriving=arriving, capacity=capacity)
        decision = autoscaler.decide(
            ModelLoad(
                now=float(now),
                running_replicas=running + silent,
                target_replicas=target,
                min_replicas=2,
                max_replicas=9,
                reports=[report] * running,
                silent_replicas=silent,
                assigned_requests=running,
                unassigned_requests=unassigned,
            )
        )
        assert 2 <= decision.replicas <= 9
        assert 0 <= decision.queue_seconds <= 2 * LONGEST_QUEUE_SECONDS
        target = decision.replicas


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"target_queue_seconds": 0}, "`target_queue_seconds` must be greater than 0, but is 0"),
        ({"target_utilization": 1.5}, r"`target_utilization` must be in \(0, 1\]"),
        ({"hold_seconds": -1}, "`hold_seconds` must be 0 or more"),
        ({"max_growth": 1}, "`max_growth` must be greater than 1"),
    ],
)
def test_a_target_must_make_sense(values: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ScalingConfig(**values)


# --- A replica's own measurements


def _observe(
    meter: LoadMeter,
    now: float,
    submitted: int,
    admitted: int,
    since: float | None = None,
    slots_share: float = 0.9,
) -> ReplicaLoad:
    return meter.observe(
        now,
        waiting_tokens=submitted - admitted,
        running_tokens=7,
        submitted_tokens=submitted,
        admitted_tokens=admitted,
        waiting_since=since,
        slots_share=slots_share,
    )


def test_what_is_done_is_right_from_the_first_window_on() -> None:
    meter = LoadMeter()
    first = _observe(meter, 100.0, 5000, 4000)
    assert first.arriving_tokens_per_second == first.admitted_tokens_per_second == 0
    assert (first.waiting_tokens, first.running_tokens) == (1000, 7)
    second = _observe(meter, 101.0, 5300, 4100)
    assert second.admitted_tokens_per_second == pytest.approx(100)


def test_a_burst_that_meets_a_new_replica_is_no_rate() -> None:
    meter = LoadMeter()
    _observe(meter, 0.0, 0, 0)
    # Two thousand tokens a second would be the load of a whole cluster.
    assert _observe(meter, 0.5, 1000, 1000).arriving_tokens_per_second == pytest.approx(100)


def test_what_arrives_all_the_time_is_soon_known() -> None:
    meter = LoadMeter()
    for second in range(31):
        load = _observe(meter, float(second), 300 * second, 300 * second)
    assert load.arriving_tokens_per_second == pytest.approx(300, rel=0.05)


def test_load_that_moves_to_a_new_replica_counts_once() -> None:
    old, new = LoadMeter(), LoadMeter()
    for second in range(61):
        _observe(old, float(second), 1000 * second, 1000 * second)
    for second in range(61):  # half of it goes to the new one from now on
        half = 500 * second
        seen = [
            _observe(old, 60.0 + second, 60_000 + half, 60_000 + half),
            _observe(new, 60.0 + second, half, half),
        ]
        total = sum(one.arriving_tokens_per_second for one in seen)
        assert total == pytest.approx(1000, rel=0.06)


def test_a_single_large_request_is_not_a_trend() -> None:
    meter = LoadMeter()
    for second in range(60):
        _observe(meter, float(second), 0, 0)
    assert _observe(meter, 60.0, 10_000, 0).arriving_tokens_per_second < 1000


def test_capacity_is_measured_only_while_somebody_always_waits() -> None:
    meter = LoadMeter()
    _observe(meter, 0.0, 0, 0)
    assert _observe(meter, 1.0, 900, 900).capacity_tokens_per_second == 0
    # Somebody has waited since 1.5 s: the window from 1 to 2 s began before.
    assert _observe(meter, 2.0, 3000, 1000, since=1.5).capacity_tokens_per_second == 0
    assert _observe(meter, 3.0, 5000, 1700, since=1.5).capacity_tokens_per_second == 700
    # And what it was stays known when nobody waits any more.
    later = _observe(meter, 4.0, 5000, 5000)
    assert later.capacity_tokens_per_second == 700


def test_what_is_done_beside_free_slots_is_not_the_capacity() -> None:
    meter = LoadMeter()
    _observe(meter, 0.0, 100, 10, since=0.0, slots_share=0.1)
    assert _observe(meter, 1.0, 200, 20, 0.0, slots_share=0.9).capacity_tokens_per_second == 0
    assert _observe(meter, 2.0, 3000, 1020, 0.0).capacity_tokens_per_second == 1000


def test_two_questions_at_once_do_not_make_a_window() -> None:
    meter = LoadMeter()
    _observe(meter, 0.0, 0, 0)
    _observe(meter, 0.001, 500, 500)
    assert _observe(meter, 1.0, 500, 500).admitted_tokens_per_second == pytest.approx(500)
