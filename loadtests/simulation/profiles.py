"""What replicas, gateways and Ray Serve are taken for. Every figure says where it comes from.

Tokens are source tokens; a target is about as long as its source in all that was measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CPU_PAPER_BASE",
    "GATEWAY",
    "GPU_PAPER_BASE",
    "GPU_PAPER_BASE_BEAM4",
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
