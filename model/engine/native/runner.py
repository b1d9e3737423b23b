"""The runner in C++ for the CPU: encoding, decode steps and searches, many steps in one call."""

from __future__ import annotations

import time
from collections.abc import Sequence as SequenceOf

from model.decoding.search import Hypothesis
from model.engine.native.binding import PRECISIONS, NativeModel, NativeRequest, NativeState
from model.engine.runner import DecidedTokens, FinishedSequence, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.errors import BackendUnavailableError
from model.network.shapes import num_parameters
from model.network.weights import Weights

__all__ = ["NativeRunner", "build_native_runners"]

_BYTES_A_PARAMETER = {"float32": 4, "bfloat16": 2, "int8": 1}
_LEAST_BYTES_TO_SHARE = 16 << 20
"""Weights of models whose products several threads share while one runner works alone. Those of a
smaller model come out of one core's caches in no time; there, sharing gains a fifth at best, and
loses a time slice whenever another process wants one of the CPUs."""


def build_native_runners(
    weights: Weights, *, dtype: str, max_slots: SequenceOf[int]
) -> list[NativeRunner]:
    """One runner for each entry of `max_slots`, all around one set of weights.

    Raises:
        BackendUnavailableError: `dtype` is none of the engine's, or it cannot be compiled here.
    """
    if dtype not in PRECISIONS:
        raise BackendUnavailableError(
            f"`dtype` must be auto, {', '.join(PRECISIONS)} on the native backend, but is {dtype!r}"
        )
    shares = num_parameters(weights.config) * _BYTES_A_PARAMETER[dtype] >= _LEAST_BYTES_TO_SHARE
    packed = NativeModel(weights, dtype, num_threads=len(max_slots) if shares else 1)
    return [NativeRunner(packed, slots) for slots in max_slots]


class NativeRunner:
    """One worker: a KV cache of its own and one thread's scratch memory. See Runner."""

    can_pause = True
    device = "cpu"
    notes: tuple[str, ...] = ()

    def __init__(self, weights: NativeModel, max_slots: int) -> None:
        self.max_slots = max_slots
        self.dtype = weights.precision
        self._state = NativeState(weights, max_slots)
        self._running: dict[int, Sequence] = {}

    def execute(self, plan: StepPlan) -> StepOutcome:
        """Drops the removed, encodes the newcomers, decodes those who take part."""
        for sequence in plan.removed:
            self._running.pop(id(sequence), None)
        self._running.update((id(sequence), sequence) for sequence in plan.newcomers)
        started = time.monotonic()
        outcome = self._state.execute(
            [id(sequence) for sequence in plan.removed],
            [_request(sequence) for sequence in plan.newcomers],
            plan.max_steps,
            active=None if plan.active is None else [id(sequence) for sequence in plan.active],
        )
        for sequence in plan.newcomers:
            sequence.encode_seconds = outcome.encode_seconds
            sequence.encoded_at = started + outcome.encode_seconds
            sequence.first_token_at = sequence.encoded_at + outcome.first_step_seconds
        return StepOutcome(
            finished=[self._finished(*item) for item in outcome.finished.items()],
            decided=[
                DecidedTokens(self._running[key], token_ids)
                for key, token_ids in outcome.decided.items()
            ],
            steps=outcome.steps,
            rows=outcome.rows,
            encode_seconds=outcome.encode_seconds,
            decode_seconds=outcome.decode_seconds,
        )

    def interrupt(self) -> None:
        """From any thread: `execute` returns after its current step."""
        self._state.interrupt()

    def release_memory(self) -> None:
        """Gives the pages of the cache and the activations back to the system."""
        self._state.release_memory()

    def close(self) -> None:
        """Frees the KV cache."""
        self._state.close()
        self._running.clear()

    def _finished(self, key: int, hypotheses: tuple[Hypothesis, ...]) -> FinishedSequence:
        return FinishedSequence(self._running.pop(key), hypotheses)


def _request(sequence: Sequence) -> NativeRequest:
    return NativeRequest(
        id=id(sequence),
        source=sequence.source,
        slots=sequence.slots,
        generation=sequence.generation,
        options=sequence.options,
        max_new_tokens=sequence.max_new_tokens,
        reports=sequence.reports,
    )
