"""The autoscaler behind Serve's interface: what it reads from a context, and when."""

from __future__ import annotations

import warnings
from concurrent.futures import Future
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest

from service.autoscaling import policy as autoscaling_policy
from service.autoscaling.decision import ReplicaLoad, ScalingConfig
from service.autoscaling.policy import QueueTimePolicy, scaling_config, serve_config
from service.observability import hub as metrics_hub
from service.observability.hub import NonBlockingHubClient
from service.observability.snapshot import Snapshot
from service.settings import Autoscaling
from tests.ray_serve import ray

_BUSY = ReplicaLoad(
    waiting_tokens=0, running_tokens=100, arriving_tokens_per_second=500,
    admitted_tokens_per_second=500, capacity_tokens_per_second=1000, slots_share=0.3,
)  # fmt: skip
_OVERLOADED = ReplicaLoad(
    waiting_tokens=60_000, running_tokens=100, arriving_tokens_per_second=1500,
    admitted_tokens_per_second=1000, capacity_tokens_per_second=1000, slots_share=1,
)  # fmt: skip


class _Hub:
    """Stands in for the hub's actor and records the pushes."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, Snapshot]] = []
        self.push = SimpleNamespace(remote=lambda source, what: self.pushed.append((source, what)))
        self.refused = SimpleNamespace(remote=self._count)
        self.num_refused = 0.0

    def _count(self) -> SimpleNamespace:
        answer: Future[dict[str, float]] = Future()
        answer.set_result({"en-de": self.num_refused, "another": 1000 * self.num_refused})
        return SimpleNamespace(future=lambda: answer)

    def value(self, name: str) -> float:
        [value] = self.pushed[-1][1][f"polyhead_autoscaling_{name}"].samples.values()
        return value


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> _Hub:
    hub = _Hub()
    monkeypatch.setattr(ray, "get_actor", lambda name, namespace: hub)
    return hub


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands still until it is moved."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(autoscaling_policy.time, "monotonic", lambda: clock.now)
    return clock


def _context(reports: dict[str, tuple[float, ReplicaLoad]], **changes: Any) -> Any:
    """A context as Serve makes it; reports by replica, with the replica's own time."""
    series: dict[str, dict[str, list[Any]]] = {}
    for replica, (at, load) in reports.items():
        for name, value in asdict(load).items():
            # Serve hands over what came before, too.
            points = [SimpleNamespace(timestamp=at - 1, value=0.0)]
            points.append(SimpleNamespace(timestamp=at, value=value))
            series.setdefault(name, {})[replica] = points
    values: dict[str, Any] = {
        "deployment_name": "Translator-en-de", "app_name": "polyhead",
        "running_replicas": list(reports), "current_num_replicas": len(reports),
        "target_num_replicas": len(reports), "raw_metrics": series,
        "capacity_adjusted_min_replicas": 1, "capacity_adjusted_max_replicas": 10,
        "total_running_requests": 0.0, "total_queued_requests": 0.0,
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def test_decides_by_the_last_report_of_each_replica(hub: _Hub, clock: SimpleNamespace) -> None:
    policy = QueueTimePolicy()
    assert policy(_context({"a": (5.0, _BUSY)})) == (1, {})
    clock.now += 1
    # (1,500 + 60,000 / 30) / 1,000
    assert policy(_context({"a": (6.0, _OVERLOADED)})) == (4, {})


def test_between_two_decisions_the_last_one_stands(hub: _Hub, clock: SimpleNamespace) -> None:
    policy = QueueTimePolicy()
    policy(_context({"a": (5.0, _BUSY)}))
    clock.now += 0.5
    assert policy(_context({"a": (6.0, _OVERLOADED)}, target_num_replicas=7)) == (7, {})
    assert len(hub.pushed) == 1


def test_a_replica_is_silent_once_its_reports_are_old_news(
    hub: _Hub, clock: SimpleNamespace
) -> None:
    policy = QueueTimePolicy(**asdict(ScalingConfig(hold_seconds=0)))
    for second in range(20):
        # "b" repeats what it said; its clock is far from ours, and that is nobody's business.
        reports = {"a": (5.0 + second, _BUSY), "b": (9e9, _OVERLOADED)}
        policy(_context(reports, capacity_adjusted_max_replicas=2))
        clock.now += 1
        silent = hub.value("waiting_source_tokens") == 0
        assert silent == (second > ScalingConfig.stale_seconds)
    # It still counts, as one like the other.
    assert hub.value("arriving_source_tokens_per_second") == 1000


def test_a_replica_whose_reports_are_gone_is_silent_too(hub: _Hub, clock: SimpleNamespace) -> None:
    policy = QueueTimePolicy()
    policy(_context({"a": (5.0, _BUSY), "b": (5.0, _BUSY)}))
    clock.now += 1
    context = _context({"a": (6.0, _BUSY)}, running_replicas=["a", "b"], current_num_replicas=2)
    policy(context)
    assert hub.value("arriving_source_tokens_per_second") == 1000


def test_a_replica_that_never_reported_adds_nothing(hub: _Hub, clock: SimpleNamespace) -> None:
    context = _context({"a": (6.0, _BUSY)}, running_replicas=["a", "b"], current_num_replicas=2)
    QueueTimePolicy()(context)
    assert hub.value("arriving_source_tokens_per_second") == 500


def test_serve_may_have_no_metrics_at_all(hub: _Hub, clock: SimpleNamespace) -> None:
    nothing = _context({}, raw_metrics=None, target_num_replicas=3, current_num_replicas=3)
    assert QueueTimePolicy()(nothing) == (3, {})


def test_the_signal_and_the_decision_are_in_the_metrics(hub: _Hub, clock: SimpleNamespace) -> None:
    policy = QueueTimePolicy()
    policy(_context({"a": (5.0, _OVERLOADED)}))
    expected = {
        "target_replicas": 4, "needed_replicas": 4, "queue_time_seconds": 60,
        "waiting_source_tokens": 60_000, "running_source_tokens": 100,
        "arriving_source_tokens_per_second": 1500, "capacity_source_tokens_per_second": 1000,
    }  # fmt: skip
    assert {name: hub.value(name) for name in expected} == expected
    [(labels, changes)] = hub.pushed[-1][1]["polyhead_autoscaling_changes"].samples.items()
    assert dict(labels[1]) == {
        "deployment": "Translator-en-de", "direction": "up", "reason": "queue"
    }  # fmt: skip
    assert changes == 1
    # Two controllers are two sources, or the sum of their counters would fall.
    QueueTimePolicy()(_context({"a": (5.0, _BUSY)}))
    assert len({source for source, _ in hub.pushed}) == 2


def test_what_the_gateways_refuse_is_known_with_the_next_decision(
    hub: _Hub, clock: SimpleNamespace
) -> None:
    policy = QueueTimePolicy(model="en-de")
    busy = replace(_BUSY, arriving_tokens_per_second=800)
    seen = []
    for second, refused in enumerate([0, 0, 60, 60, 60]):
        hub.num_refused = refused
        context = _context({"a": (5.0 + second, busy)}, total_running_requests=2.0)
        seen.append(policy(context)[0])
        clock.now += 1
    # 50 tokens a request: 3,000 tokens/s for one second, by the answer of the second before. Two
    # do for what comes otherwise.
    assert seen == [2, 2, 2, 4, 2]


def test_a_post_looks_for_a_hub_that_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    monkeypatch.setattr(metrics_hub.time, "monotonic", lambda: clock.now)

    def nobody(name: str, namespace: str) -> None:
        raise ValueError(f"there is no {name}")

    monkeypatch.setattr(ray, "get_actor", nobody)
    post = NonBlockingHubClient("polyhead", "me")
    post.push({})
    hub = _Hub()
    monkeypatch.setattr(ray, "get_actor", lambda name, namespace: hub)
    post.push({})  # it does not look again at once
    assert hub.pushed == []
    clock.now += metrics_hub.PUSH_SECONDS
    post.push({})
    assert hub.pushed == [("me", {})]


def test_serve_is_told_what_the_settings_say() -> None:
    settings = Autoscaling(
        min_replicas=2, max_replicas=9, target_queue_seconds=0.3, metrics_interval_seconds=7
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = serve_config(settings, "en-de", hub="polyhead")
    assert (config.min_replicas, config.max_replicas) == (2, 9)
    assert config.metrics_interval_s == 7 < config.look_back_period_s
    # Serve would wait once more after the policy has.
    assert config.upscale_delay_s == config.downscale_delay_s == 0
    policy = config.policy.get_policy()(**config.policy.policy_kwargs)
    assert policy._config.target_queue_seconds == 0.3
    assert (policy._model, policy._application) == ("en-de", "polyhead")
    # Five reports may get lost before a replica is taken for silent.
    assert policy._config.stale_seconds == 35


def test_the_settings_and_the_autoscaler_have_the_same_defaults() -> None:
    assert scaling_config(Autoscaling()) == ScalingConfig()


_NONE: dict[str, Any] = {"capacity_adjusted_min_replicas": 0}


def test_the_first_request_for_a_model_that_sleeps_starts_it_at_once(
    hub: _Hub, clock: SimpleNamespace
) -> None:
    policy = QueueTimePolicy()
    asleep = _context({}, **_NONE)
    for _ in range(50):
        assert policy(asleep) == (0, {})
        clock.now += 0.1
    clock.now += 0.05  # between two decisions
    assert policy(_context({}, total_queued_requests=1.0, **_NONE)) == (1, {})


def test_a_model_falls_asleep_after_a_while_without_anything_to_do(
    hub: _Hub, clock: SimpleNamespace
) -> None:
    policy = QueueTimePolicy(hold_seconds=30)
    idle = replace(
        _BUSY, waiting_tokens=0, running_tokens=0, arriving_tokens_per_second=0, slots_share=0
    )

    def target(load: ReplicaLoad, **changes: Any) -> int:
        clock.now += 1
        return policy(_context({"a": (clock.now, load)}, **_NONE, **changes))[0]

    assert [target(idle, total_running_requests=1.0) for _ in range(100)] == [1] * 100
    # The rate of arrival fades for long, and rises with each request that nobody saw in work.
    fading = [replace(idle, arriving_tokens_per_second=100 * 0.9**second) for second in range(60)]
    assert [target(load) for load in fading[:25]] == [1] * 25
    assert target(replace(idle, arriving_tokens_per_second=9)) == 1
    targets = [target(load) for load in fading[25:]]
    assert targets == sorted(targets, reverse=True)
    assert (targets[25], targets[-1]) == (1, 0)


def test_a_model_that_always_has_a_replica_keeps_it(hub: _Hub, clock: SimpleNamespace) -> None:
    policy = QueueTimePolicy(hold_seconds=0)
    for _ in range(20):
        clock.now += 1
        idle = replace(_BUSY, waiting_tokens=0, running_tokens=0, arriving_tokens_per_second=0)
        assert policy(_context({"a": (clock.now, idle)}))[0] >= 1
