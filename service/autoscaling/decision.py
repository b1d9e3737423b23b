"""The autoscaling decision: from the replicas' reports to a number of replicas and a reason.

Free of Ray and of clocks, so that tests, a simulation and the service run the same rules.

- The estimated queue time of a replica is its waiting source tokens over the rate at which it takes
  them when it has more than enough to do. When the 95th percentile of these estimates, over all
  replicas and the last few seconds, is above the target, the model gets as many replicas as keep
  up with what arrives and empty the queues in `drain_seconds`; and one more each time that this
  was not enough.
- A queue can also be kept from building up: what arrives may use `target_utilization` of what the
  replicas can do.
- What the gateways refuse for overload counts as arriving, where the replicas are at their limit.
- A model that may have none gets its first replica for the first request, and keeps it as long as
  there is anything to do.
- Replicas are released only when fewer have been enough for all of the last `hold_seconds`.

Tokens are source tokens, since the length of a target is not known in advance.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "Autoscaler",
    "LoadMeter",
    "ModelLoad",
    "ReplicaLoad",
    "ScalingConfig",
    "ScalingDecision",
    "ScalingReason",
]

LONGEST_QUEUE_SECONDS = 3600.0
"""Upper bound of an estimate."""
_MOST_REPLICAS = 1e9
"""Upper bound of a computed number of replicas."""
_RELEASE_MARGIN = 0.8
"""Hysteresis: most of `target_utilization` that the replicas left after a release may use."""
_PROBING_SHARE = 0.1
"""Share of the replicas released at a time while their capacity is unknown."""
_PROBING_SLOTS = 0.4
"""Largest share of the remaining slots in use then. Half a batch does more than half the work, so a
replica is busier than its slots look."""
_FULL_SLOTS = 0.5
"""Share of the slots in use from which waiting means a lack of slots. Below, it has other reasons,
such as a slow first step, and does not measure the capacity."""
_SHORTEST_WINDOW_SECONDS = 0.2
"""Shortest window of a rate, below which it would be noise."""
_ARRIVAL_SECONDS = 10.0
"""Time constant of the arrival rate: a single request with many sentences is not a trend."""
_CAPACITY_SECONDS = 30.0
"""Time constant of the capacity, counted while it can be measured."""


@dataclass(frozen=True, kw_only=True)
class ScalingConfig:
    """Targets of the autoscaler."""

    target_queue_seconds: float = 1.0
    """Most seconds that 95 of 100 sentences should wait for a slot."""
    target_utilization: float = 0.75
    """Most of the replicas' measured capacity that what arrives should use."""
    drain_seconds: float = 30.0
    """Time in which a queue above the target should be gone. Less than a replica takes to start
    brings replicas that come too late."""
    hold_seconds: float = 300.0
    """Replicas that any moment of the last so many seconds needed are kept."""
    max_growth: float = 4.0
    """Most replicas wanted, as a multiple of those that run."""
    look_back_seconds: float = 10.0
    """Window of the 95th percentile."""
    stale_seconds: float = 15.0
    """Age from which a replica's last report is ignored."""

    def __post_init__(self) -> None:
        for name in ("target_queue_seconds", "drain_seconds", "look_back_seconds", "stale_seconds"):
            self._require(name, getattr(self, name) > 0, "greater than 0")
        self._require("hold_seconds", self.hold_seconds >= 0, "0 or more")
        self._require("target_utilization", 0 < self.target_utilization <= 1, "in (0, 1]")
        self._require("max_growth", self.max_growth > 1, "greater than 1")

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f"`{name}` must be {what}, but is {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class ReplicaLoad:
    """The report of one replica."""

    waiting_tokens: float
    running_tokens: float
    arriving_tokens_per_second: float
    admitted_tokens_per_second: float
    """Given slots: the current throughput, which is below the capacity unless many wait."""
    capacity_tokens_per_second: float
    """The throughput while slots were full and the queue was never empty; 0 while unknown."""
    slots_share: float
    """Share of the slots in use, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class ModelLoad:
    """One model at one moment."""

    now: float
    """Seconds of any clock that only goes forward."""
    running_replicas: int
    target_replicas: int
    """The last decision: those that run, start, or are about to."""
    min_replicas: int
    max_replicas: int
    reports: Sequence[ReplicaLoad] = ()
    """Recent reports of running replicas; a new replica has none yet."""
    silent_replicas: int = 0
    """Those that run and once reported, but not lately."""
    assigned_requests: float = 0.0
    """Requests in work at the replicas."""
    unassigned_requests: float = 0.0
    """Requests at the gateways which no replica has room for."""
    refused_requests_per_second: float = 0.0
    """By the gateways or replicas, for lack of room."""


class ScalingReason(StrEnum):
    """Why the number of replicas is what it is."""

    QUEUE = "queue"
    """More: the queue time is above its target."""
    UTILIZATION = "utilization"
    """More: what arrives would use too much of what the replicas can do."""
    LIMITS = "limits"
    """More or fewer, for there are too few or too many to be allowed."""
    SPARE = "spare"
    """Fewer: for long enough, fewer have been enough."""
    HOLD = "hold"
    """Unchanged: fewer are enough now, but were not within `hold_seconds`."""
    BLIND = "blind"
    """Unchanged: no replica reports."""
    STEADY = "steady"
    """Unchanged: the number is right."""


@dataclass(frozen=True, kw_only=True)
class ScalingDecision:
    """A number of replicas, and what led to it."""

    replicas: int
    reason: ScalingReason
    needed_replicas: int
    """By the load of this moment alone."""
    queue_seconds: float
    """The estimated 95th percentile."""
    waiting_tokens: float
    """Those of requests at the gateways included, by estimate."""
    running_tokens: float
    arriving_tokens_per_second: float
    capacity_tokens_per_second: float
    """Average of one replica; 0 while unknown."""


@dataclass(frozen=True, kw_only=True)
class _Demand:
    """The sum of the reports at one moment."""

    queue_times: list[float]
    waiting_tokens: float
    running_tokens: float
    arriving: float
    refused: float
    """Tokens per second, by estimate."""
    admitted: float
    slots_share: float


class Autoscaler:
    """Decides for one model, with state across decisions."""

    def __init__(self, config: ScalingConfig) -> None:
        self._config = config
        self._capacity = 0.0
        self._tokens_per_request = 0.0
        self._arriving = 0.0
        self._queue_times: deque[tuple[float, list[float]]] = deque()
        self._needs: deque[tuple[float, int]] = deque()
        """Moments and what they needed, each more than all that came later."""
        self._began_at: float | None = None
        self._num_running = 0
        self._late_since: float | None = None
        """Since when the queue time has been above its target, with as many replicas as now."""

    def decide(self, load: ModelLoad) -> ScalingDecision:
        """How many replicas the model should have from now on."""
        if self._began_at is None:
            self._began_at = load.now
            self._num_running = load.running_replicas
        demand = self._demand(load)
        queue_seconds = self._queue_seconds(load, demand)
        needed, kept, reason = self._needed(load, demand, queue_seconds)
        if load.min_replicas == 0 and load.reports:
            busy = self._is_busy(load, demand)
            needed, kept = (max(needed, 1), max(kept, 1)) if busy else (0, 0)
        most = max(1, load.target_replicas, _ceil(self._config.max_growth * load.running_replicas))
        needed = min(max(needed, load.min_replicas), most, load.max_replicas)
        kept = self._keep(load.now, min(max(kept, load.min_replicas), most, load.max_replicas))
        replicas, reason = self._weigh(load, needed, kept, reason)
        return ScalingDecision(
            replicas=replicas,
            reason=reason,
            needed_replicas=needed,
            queue_seconds=queue_seconds,
            waiting_tokens=demand.waiting_tokens,
            running_tokens=demand.running_tokens,
            arriving_tokens_per_second=demand.arriving,
            capacity_tokens_per_second=self._capacity,
        )

    def _is_busy(self, load: ModelLoad, demand: _Demand) -> bool:
        """Whether there is anything to do, or was since the last decision.

        The rate of arrival fades for minutes after the last request; with each new one it rises.
        """
        before, self._arriving = self._arriving, demand.arriving
        requests = load.assigned_requests + load.unassigned_requests
        tokens = demand.waiting_tokens + demand.running_tokens
        return requests >= 1 or tokens >= 1 or demand.arriving > before

    def _demand(self, load: ModelLoad) -> _Demand:
        """Sums the reports; a silent replica counts as the average of the others."""
        reports = load.reports
        known = [one.capacity_tokens_per_second for one in reports]
        known = [capacity for capacity in known if capacity > 0]
        if known:
            self._capacity = math.fsum(known) / len(known)
        share = (len(reports) + load.silent_replicas) / len(reports) if reports else 0.0
        waiting = share * math.fsum(one.waiting_tokens for one in reports)
        running = share * math.fsum(one.running_tokens for one in reports)
        if load.assigned_requests >= 1 and waiting + running > 0:
            self._tokens_per_request = (waiting + running) / load.assigned_requests
        unassigned = load.unassigned_requests * self._tokens_per_request
        admitted = share * math.fsum(one.admitted_tokens_per_second for one in reports)
        # A new request waits behind those still at the gateways.
        rate = self._capacity * load.running_replicas or admitted
        shared = _queue_seconds(unassigned, rate)
        return _Demand(
            queue_times=[shared + self._estimate(one) for one in reports],
            waiting_tokens=waiting + unassigned,
            running_tokens=running,
            arriving=share * math.fsum(one.arriving_tokens_per_second for one in reports),
            refused=load.refused_requests_per_second * self._tokens_per_request,
            admitted=admitted,
            slots_share=math.fsum(one.slots_share for one in reports) / max(1, len(reports)),
        )

    def _estimate(self, report: ReplicaLoad) -> float:
        """Seconds that a new request would wait at this replica."""
        rate = report.capacity_tokens_per_second or self._capacity
        if not rate and report.slots_share < _FULL_SLOTS:
            return 0.0
        return _queue_seconds(report.waiting_tokens, rate or report.admitted_tokens_per_second)

    def _queue_seconds(self, load: ModelLoad, demand: _Demand) -> float:
        """The 95th percentile over the replicas and the last seconds (nearest rank)."""
        if load.running_replicas > self._num_running:
            self._queue_times.clear()  # those were the queues of fewer replicas
            self._late_since = None
        self._num_running = load.running_replicas
        self._queue_times.append((load.now, demand.queue_times))
        while self._queue_times[0][0] <= load.now - self._config.look_back_seconds:
            self._queue_times.popleft()
        times = sorted(seconds for _, some in self._queue_times for seconds in some)
        return times[math.ceil(0.95 * len(times)) - 1] if times else 0.0

    def _needed(
        self, load: ModelLoad, demand: _Demand, queue_seconds: float
    ) -> tuple[int, int, ScalingReason]:
        """Replicas that this moment needs, those to count on before any is given back, and why."""
        if not load.reports:
            # A queue while the first replicas start is no reason for more than one.
            some = 1 if load.unassigned_requests >= 1 else 0
            return max(load.target_replicas, some), load.target_replicas, ScalingReason.BLIND
        config = self._config
        late = queue_seconds > config.target_queue_seconds
        more = load.running_replicas + 1 if self._late_for_long(load.now, late) else 0
        # With a queue, the throughput is the capacity.
        rate = self._capacity or (demand.admitted / len(load.reports) if late else 0.0)
        if rate <= 0:
            idle = demand.arriving < 1e-3 and demand.waiting_tokens + demand.running_tokens < 1
            probed = 0 if idle else math.floor((1 - _PROBING_SHARE) * load.target_replicas)
            if demand.slots_share * load.target_replicas > _PROBING_SLOTS * probed:
                probed = load.target_replicas
            return max(more, probed), probed, ScalingReason.QUEUE
        usable = config.target_utilization * rate
        arriving = demand.arriving
        if late or arriving >= usable * load.running_replicas:
            # Gateways refuse for other models, too: it counts for one that cannot take more.
            arriving += demand.refused
        backlog = arriving + demand.waiting_tokens / config.drain_seconds
        by_queue = max(more, _ceil(backlog / rate)) if late else 0
        by_rate = _ceil(arriving / usable)
        kept = max(by_queue, _ceil(arriving / (_RELEASE_MARGIN * usable)))
        if by_queue >= by_rate:
            return by_queue, kept, ScalingReason.QUEUE
        return by_rate, kept, ScalingReason.UTILIZATION

    def _late_for_long(self, now: float, late: bool) -> bool:
        """Whether the queue time has been above its target for `drain_seconds`."""
        if not late:
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since = now
        return now - self._late_since >= self._config.drain_seconds

    def _keep(self, now: float, needed: int) -> int:
        """The most that any moment of the last `hold_seconds` needed, this one included."""
        while self._needs and self._needs[-1][1] <= needed:
            self._needs.pop()
        self._needs.append((now, needed))
        while self._needs[0][0] < now - self._config.hold_seconds:
            self._needs.popleft()
        return self._needs[0][1]

    def _weigh(
        self, load: ModelLoad, needed: int, kept: int, reason: ScalingReason
    ) -> tuple[int, ScalingReason]:
        target = min(max(load.target_replicas, load.min_replicas), load.max_replicas)
        if needed > target:
            return needed, reason
        if target != load.target_replicas:
            return target, ScalingReason.LIMITS
        if reason is ScalingReason.BLIND:
            return target, reason
        began = self._began_at if self._began_at is not None else load.now
        held = load.now - began >= self._config.hold_seconds
        kept = max(kept, needed)
        if kept < target and held:
            return kept, ScalingReason.SPARE
        return target, ScalingReason.HOLD if needed < target else ScalingReason.STEADY


class LoadMeter:
    """A replica's own measurements, from what its engine has counted. Not thread-safe.

    Rates are exponentially weighted over time. The arrival rate starts at 0: clients that move here
    fade at their old replica as they appear here, and a burst that waited for a new replica is no
    rate.
    """

    def __init__(self) -> None:
        self._last: tuple[float, int, int, float] | None = None
        self._arriving = _Rate(_ARRIVAL_SECONDS, least_seconds=_ARRIVAL_SECONDS)
        self._admitted = _Rate(_ARRIVAL_SECONDS)
        self._capacity = _Rate(_CAPACITY_SECONDS)

    def observe(
        self,
        now: float,
        *,
        waiting_tokens: int,
        running_tokens: int,
        submitted_tokens: int,
        admitted_tokens: int,
        waiting_since: float | None,
        slots_share: float,
    ) -> ReplicaLoad:
        """The load at `now`.

        Args:
            now: seconds of the engine's clock.
            waiting_tokens, running_tokens: at this moment.
            submitted_tokens, admitted_tokens: all there have been since the engine started.
            waiting_since: since when the queue has not been empty; None if it is.
            slots_share: share of the slots in use.
        """
        current = (now, submitted_tokens, admitted_tokens, slots_share)
        if self._last is None:
            self._last = current
        since, submitted, admitted, slots_share_before = self._last
        seconds = now - since
        if seconds >= _SHORTEST_WINDOW_SECONDS:
            self._last = current
            self._arriving.add(submitted_tokens - submitted, seconds)
            self._admitted.add(admitted_tokens - admitted, seconds)
            full = min(slots_share_before, slots_share) >= _FULL_SLOTS
            if full and waiting_since is not None and waiting_since <= since:
                self._capacity.add(admitted_tokens - admitted, seconds)
        return ReplicaLoad(
            waiting_tokens=waiting_tokens,
            running_tokens=running_tokens,
            arriving_tokens_per_second=self._arriving.value,
            admitted_tokens_per_second=self._admitted.value,
            capacity_tokens_per_second=self._capacity.value,
            slots_share=slots_share,
        )


class _Rate:
    """Tokens per second, exponentially weighted over at least `least_seconds`."""

    def __init__(self, time_constant: float, *, least_seconds: float = 0.0) -> None:
        self._time_constant = time_constant
        self._least_seconds = least_seconds
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: float, seconds: float) -> None:
        kept = math.exp(-seconds / self._time_constant)
        self._tokens = kept * self._tokens + tokens
        self._seconds = kept * self._seconds + seconds

    @property
    def value(self) -> float:
        seconds = max(self._seconds, self._least_seconds)
        return self._tokens / seconds if seconds else 0.0


def _queue_seconds(tokens: float, rate: float) -> float:
    if tokens <= 0:
        return 0.0
    if tokens >= LONGEST_QUEUE_SECONDS * rate:
        return LONGEST_QUEUE_SECONDS
    return tokens / rate


def _ceil(replicas: float) -> int:
    # A rounding error above a whole number needs no further replica.
    return math.ceil(min(replicas, _MOST_REPLICAS) - 1e-9)
