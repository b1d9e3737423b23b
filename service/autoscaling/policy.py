"""The autoscaler as Ray Serve's controller runs it: one instance for each deployment.

Serve pickles this module by value, and what it imports by name. The controller calls the policy ten
times a second on its event loop, so nothing here blocks.
"""

from __future__ import annotations

import time
import uuid
import warnings
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from service.autoscaling.decision import Autoscaler, ModelLoad, ReplicaLoad, ScalingConfig
from service.observability.hub import NonBlockingHubClient
from service.observability.metrics import AutoscalerMetrics
from service.observability.snapshot import take_snapshot

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

    from service.settings import Autoscaling

__all__ = ["QueueTimePolicy", "scaling_config", "serve_config"]

DECISION_SECONDS = 1.0
"""Time between two decisions."""
_REPORTED = tuple(field.name for field in fields(ReplicaLoad))


class QueueTimePolicy:
    """An autoscaling policy of Ray Serve.

    Args:
        model: id of the model, whose refusals alone count.
        hub: application that has the service's metrics; empty for that of the deployment.
        config: the fields of `ScalingConfig`; Serve hands them over as keywords.
    """

    def __init__(self, model: str = "", hub: str = "", **config: float) -> None:
        self._model = model
        self._application = hub
        self._config = ScalingConfig(**config)
        self._autoscaler = Autoscaler(self._config)
        self._decided_at: float | None = None
        self._last_reports: dict[Any, tuple[float, float]] = {}
        """By replica: the time of its last report on its own clock, and when it arrived here."""
        self._metrics: AutoscalerMetrics | None = None
        self._hub: NonBlockingHubClient | None = None
        self._refused: tuple[float, float] | None = None
        """The model's requests refused at the gateways, and the time of that count."""

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The number of replicas, and an empty state: this object keeps its own."""
        now = time.monotonic()
        asleep = ctx.target_num_replicas == 0  # and somebody may wait for its start
        if self._decided_at is not None and now - self._decided_at < DECISION_SECONDS:
            if asleep and ctx.total_queued_requests > 0:
                return 1, {}
            return ctx.target_num_replicas, {}
        self._decided_at = now
        decision = self._autoscaler.decide(self._load(ctx, now))
        if self._metrics is None or self._hub is None:
            self._metrics = AutoscalerMetrics(ctx.deployment_name)
            # A unique name, since the counters of a new controller start at zero.
            self._hub = NonBlockingHubClient(
                self._application or ctx.app_name or "",
                f"Autoscaler-{ctx.deployment_name}#{uuid.uuid4().hex[:8]}",
            )
        self._metrics.record(decision, before=ctx.target_num_replicas)
        self._hub.push(take_snapshot(self._metrics.registry))
        return decision.replicas, {}

    def _load(self, ctx: AutoscalingContext, now: float) -> ModelLoad:
        reports, num_silent = self._reports(ctx, now)
        return ModelLoad(
            now=now,
            running_replicas=ctx.current_num_replicas,
            target_replicas=ctx.target_num_replicas,
            min_replicas=ctx.capacity_adjusted_min_replicas,
            max_replicas=ctx.capacity_adjusted_max_replicas,
            reports=reports,
            silent_replicas=num_silent,
            assigned_requests=ctx.total_running_requests,
            unassigned_requests=ctx.total_queued_requests,
            refused_requests_per_second=self._refusals(now),
        )

    def _refusals(self, now: float) -> float:
        """Refused requests per second since the last decision; 0 after the hub was restarted."""
        counts = None if self._hub is None else self._hub.refused()
        known = None if counts is None else counts.get(self._model, 0.0)
        before, self._refused = self._refused, None if known is None else (known, now)
        if known is None or before is None:
            return 0.0
        return max(0.0, known - before[0]) / (now - before[1])

    def _reports(self, ctx: AutoscalingContext, now: float) -> tuple[list[ReplicaLoad], int]:
        """The recent reports, and the number of silent replicas."""
        metrics = ctx.raw_metrics or {}
        reports = []
        num_silent = 0
        last_reports = {}
        for replica in ctx.running_replicas:
            series = [metrics.get(name, {}).get(replica) for name in _REPORTED]
            if not all(series):
                if replica in self._last_reports:
                    last_reports[replica] = self._last_reports[replica]
                    num_silent += 1
                continue
            last = [points[-1] for points in series if points]
            # Clocks of two machines differ, so the age counts from the arrival here.
            at, known_since = last[0].timestamp, now
            if replica in self._last_reports and self._last_reports[replica][0] == at:
                known_since = self._last_reports[replica][1]
            last_reports[replica] = (at, known_since)
            if now - known_since > self._config.stale_seconds:
                num_silent += 1
                continue
            values = {name: one.value for name, one in zip(_REPORTED, last, strict=True)}
            reports.append(ReplicaLoad(**values))
        self._last_reports = last_reports
        return reports, num_silent


def scaling_config(settings: Autoscaling) -> ScalingConfig:
    """The autoscaler's configuration."""
    interval = settings.metrics_interval_seconds
    return ScalingConfig(
        target_queue_seconds=settings.target_queue_seconds,
        target_utilization=settings.target_utilization,
        drain_seconds=settings.drain_seconds,
        hold_seconds=settings.hold_seconds,
        stale_seconds=max(ScalingConfig.stale_seconds, 5 * interval),
        look_back_seconds=max(ScalingConfig.look_back_seconds, 3 * interval),
    )


def serve_config(settings: Autoscaling, model: str, *, hub: str | None = None) -> AutoscalingConfig:
    """Serve's configuration of autoscaling for the model of that id; `hub` as for the policy."""
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    interval = settings.metrics_interval_seconds
    arguments = {"model": model, "hub": hub or "", **asdict(scaling_config(settings))}
    with warnings.catch_warnings():
        # Serve calls the interval deprecated; the variables that are to replace it have no effect
        # in this version.
        warnings.simplefilter("ignore", DeprecationWarning)
        return AutoscalingConfig(
            min_replicas=settings.min_replicas,
            max_replicas=settings.max_replicas,
            metrics_interval_s=interval,
            # A replica measures five times in this period, and reports the last value.
            look_back_period_s=2.5 * interval,
            # The policy itself delays.
            upscale_delay_s=0.0,
            downscale_delay_s=0.0,
            policy=AutoscalingPolicy(  # type: ignore[no-untyped-call]
                policy_function=f"{QueueTimePolicy.__module__}:{QueueTimePolicy.__name__}",
                policy_kwargs=arguments,
            ),
        )
