"""What replicas, gateways and Ray Serve's controller are taken for, and who says so.

Tokens are source tokens; a target is about as long as its source in all that was measured here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "CONTROLLER_COSTS",
    "CPU_PAPER_BASE",
    "GATEWAY",
    "GPU_PAPER_BASE",
    "GPU_PAPER_BASE_BEAM4",
    "ControllerCost",
    "GatewayProfile",
    "ReplicaProfile",
]


@dataclass(frozen=True, kw_only=True)
class ReplicaProfile:
    """One replica when it has enough to do, and until it is there."""

    name: str
    capacity: float
    """Source tokens per second with all slots in use."""
    slots: int
    """Sentences that run at a time; the others wait."""
    mean_sentence_tokens: float
    variation: float
    """Standard deviation of a sentence's tokens over their mean; 0 makes all alike."""
    start_seconds: float
    """From the decision to the first request, on a node that is there."""
    source: str
    """Where the figures come from: measured, predicted or assumed."""

    @property
    def running_tokens(self) -> float:
        """Source tokens in all slots together."""
        return self.slots * self.mean_sentence_tokens


@dataclass(frozen=True, kw_only=True)
class GatewayProfile:
    """One gateway process."""

    requests_per_second: float
    max_in_flight: int
    """Requests; one more is answered 503."""
    sentences_per_request: float
    source: str


CPU_PAPER_BASE = ReplicaProfile(
    name="paper base, int8, 2 CPUs, greedy",
    capacity=7_280.0,
    slots=128,
    mean_sentence_tokens=23.0,
    variation=0.5,
    start_seconds=14.0,
    source="measured: throughput in loadtests/results/cpu.jsonl (317 sentences/s of newstest2014, "
    "23 source tokens each); start: a second replica on the same machine",
)
GPU_PAPER_BASE = ReplicaProfile(
    name="paper base, bfloat16, one H200, greedy",
    capacity=1_670_000.0,
    slots=1024,
    mean_sentence_tokens=30.0,
    variation=0.5,
    start_seconds=60.0,
    source="PREDICTED, not measured: 1.67 M output tokens/s with 1,024 rows, 30 tokens a sentence, "
    "encoder included, from memory and launch limits (+-30 %); start: assumed (process, weights, "
    "capture of the graphs)",
)
GPU_PAPER_BASE_BEAM4 = ReplicaProfile(
    name="paper base, bfloat16, one H200, beam 4",
    capacity=580_000.0,
    slots=256,
    mean_sentence_tokens=30.0,
    variation=0.5,
    start_seconds=60.0,
    source="PREDICTED, not measured: 0.58 M output tokens/s with 1,024 rows, as above",
)
GATEWAY = GatewayProfile(
    requests_per_second=500.0,
    max_in_flight=512,
    sentences_per_request=8.0,
    source="the project's own target of 2 core-milliseconds a request, one core for a gateway; "
    "512 in flight is the default; 8 sentences a request are assumed",
)
_CALL_SECONDS = 300e-6
"""CPU time of an actor for a call that comes in among many; 650e-6 if it comes alone."""
_QUESTIONS_PER_SECOND = 10.0
"""Serve asks the policy in each round of its control loop, 0.1 s after the one before."""


class ControllerCost(NamedTuple):
    """Seconds of one core that autoscaling costs Ray Serve's controller for each event.

    Measured with Ray 2.60.0 and the policy of this project, one core of an AMD EPYC (2 cores, in
    use by others), 2026-11-22: reports as replicas and handles send them, five samples of five
    values each, handed to the controller's own autoscaling state outside of an actor, the best of
    several times; and the CPU time that an actor spends on a call of 390 bytes besides.
    """

    replicas: int
    gateways: int
    replica_report: float
    """Unpacked and kept."""
    handle_report: float
    question: float
    """Serve adds up the requests of all reports, whatever the policy then says."""
    decision: float
    """A question to which the policy gives a new answer, once a second."""

    def share_of_a_core(self, report_seconds: float) -> float:
        """How busy the controller is with autoscaling, 0 to 1; more cannot be done."""
        reports = (
            self.replicas * (self.replica_report + _CALL_SECONDS)
            + self.gateways * (self.handle_report + _CALL_SECONDS)
        ) / report_seconds
        return reports + (_QUESTIONS_PER_SECOND - 1) * self.question + self.decision


CONTROLLER_COSTS = (
    ControllerCost(10, 2, 17e-6, 38e-6, 0.05e-3, 0.19e-3),
    ControllerCost(100, 1, 17e-6, 58e-6, 0.09e-3, 0.39e-3),
    ControllerCost(100, 10, 16e-6, 50e-6, 0.16e-3, 0.49e-3),
    ControllerCost(1000, 1, 19e-6, 215e-6, 0.53e-3, 4.4e-3),
    ControllerCost(1000, 10, 21e-6, 278e-6, 3.8e-3, 8.0e-3),
    ControllerCost(1000, 100, 19e-6, 277e-6, 22.9e-3, 27.8e-3),
)
