"""The runner for a CUDA device: what a step does is a graph, and the host only says to whom.

All that a step needs to know is in the device's memory: caches, histories, searches. So the host
queues the next step without having seen what came of the last one, and reads that one's flags while
the next one runs. A sequence that has ended takes part in one step too many, in which nothing of it
changes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.config import GenerationConfig
from model.decoding.repeats import most_copies
from model.engine.cuda.budget import MemoryBudget, slots_within
from model.engine.cuda.decode_group import DecodeGroup
from model.engine.cuda.device_model import DeviceModel
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.kernels.slot_memory import (
    Counter,
    SlotMemory,
    allowed_words,
    option_columns,
)
from model.engine.cuda.lexical import HostConstraints
from model.engine.cuda.packing import PackedSources, buckets_for_sources, max_blocks, pack
from model.engine.cuda.program import DeviceProgram
from model.engine.cuda.search_trace import SearchTrace
from model.engine.cuda.stream import CudaStream, DeviceStream, Mark
from model.engine.runner import DecidedTokens, FinishedSequence, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.errors import BackendUnavailableError
from model.network.transformer import Transformer

__all__ = ["CudaRunner"]

_MAX_IN_FLIGHT = 2
"""Steps queued and not yet looked at. With two, the device works while the host reads."""

_USUAL_BEAMS = (1, GenerationConfig().beam_size)
"""Searches whose graphs are captured in advance; others are when they come for the first time."""


@dataclass(eq=False, kw_only=True)
class _Admission:
    """Sequences that were encoded together."""

    sequences: tuple[Sequence, ...]
    began: Mark
    ended: Mark


class _Told(NamedTuple):
    """What searches have come to after a step, to be read once its mark has been waited for."""

    sequences: tuple[Sequence, ...]
    trace: Tensor
    """(R, 2P + 8) rows of all their slots, on the host, as are the two that follow."""
    counters: Tensor
    """(R, C + I)"""
    live_log_probs: Tensor
    """(R, 1)"""


class _GroupStep(NamedTuple):
    group: DecodeGroup
    members: tuple[Sequence, ...]
    flags: Tensor
    """On the host, once the step's mark has been waited for."""


@dataclass(eq=False, kw_only=True)
class _Step:
    """A decode step that has been queued."""

    groups: list[_GroupStep]
    admissions: list[_Admission] = field(default_factory=list)
    """Whose first step it is."""
    told: _Told | None = None
    """For who asks for what is decided."""
    began: Mark
    ended: Mark


class CudaRunner:
    """`Runner` on one CUDA device, in float32 or bfloat16.

    Args:
        model: is copied to the device.
        device: of CUDA.
        dtype: of weights and caches.
        max_slots: hypotheses that run at the same time. Their memory is allocated here. As many as
            fit into what is free, within reason, when not given.
        stream: where work is queued; one of the device when not given.
        operations: what it is made of; the fused kernels when not given.
        program: what is computed with the slots; the model, by `operations`, when not given.
        beams: searches whose graphs are captured here and now.

    Raises:
        BackendUnavailableError: the type is not one of the two, or Triton is not installed.
        InvalidRequestError: the slots do not fit into the device's memory.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        max_slots: int | None = None,
        stream: DeviceStream | None = None,
        operations: Operations | None = None,
        program: Callable[[SlotMemory], DeviceProgram] | None = None,
        beams: tuple[int, ...] = _USUAL_BEAMS,
    ) -> None:
        if dtype not in (torch.float32, torch.bfloat16):
            raise BackendUnavailableError(
                f"`dtype` must be auto, float32 or bfloat16 on CUDA, but is {_name(dtype)}"
            )
        # A step over few rows takes the device about as long as one over many: the weights are read
        # once in either.
        self.can_pause = False
        self.device = str(device)
        self.dtype = _name(dtype)
        self.notes: tuple[str, ...] = ()
        self.model_config = model.config
        self._stream = stream or CudaStream(device)
        self._source_buckets = buckets_for_sources(model.config.max_positions)
        self.max_slots, self.budget = self._slots_and_budget(model, dtype, max_slots)
        self._memory = SlotMemory(model.config, self.max_slots, dtype=dtype, device=device)
        self._program: DeviceProgram
        if program is not None:
            self._program = program(self._memory)
        else:
            operations = operations or _fused_operations(dtype)
            self._program = DeviceModel(model, operations, self._memory, dtype=dtype, device=device)
        # Until here PyTorch has worked on a stream of its own.
        self._stream.settle()
        self._host_constraints = HostConstraints(self._memory, model.config.eos_id)
        self._decode_groups: dict[tuple[int, bool, bool, bool, bool], DecodeGroup] = {}
        self._running: dict[Sequence, DecodeGroup] = {}
        self._in_flight: deque[_Step] = deque()
        self._admissions: list[_Admission] = []
        self._num_told: dict[Sequence, int] = {}
        """Tokens of which it has been told that they are decided."""
        self._interrupted = threading.Event()
        self._encoders: dict[int, tuple[Tensor, Callable[[], None]]] = {}
        self._capture(beams)

    @torch.inference_mode()
    def execute(self, plan: StepPlan) -> StepOutcome:
        """See `Runner`. A finish is reported when the step after it has been queued."""
        outcome = StepOutcome()
        for sequence in plan.removed:
            self._drop(sequence)
        if plan.newcomers:
            self._admit(plan.newcomers)
        while self._running and outcome.steps < plan.max_steps:
            self._queue_step(outcome, is_last=outcome.steps + 1 == plan.max_steps)
            if len(self._in_flight) >= _MAX_IN_FLIGHT:
                self._collect(self._in_flight.popleft(), outcome)
            if outcome.finished or self._interrupted.is_set():
                break
        if not self._running:
            # What is still in flight concerns nobody.
            self._in_flight.clear()
        self._interrupted.clear()
        return outcome

    def interrupt(self) -> None:
        """See `Runner`."""
        self._interrupted.set()

    def release_memory(self) -> None:
        """Keeps it all: see `Runner`."""

    def close(self) -> None:
        """See `Runner`."""
        self._stream.settle()
        self._running.clear()
        self._num_told.clear()
        self._in_flight.clear()
        self._admissions.clear()
        self._decode_groups.clear()
        self._encoders.clear()

    def _slots_and_budget(
        self, model: Transformer, dtype: torch.dtype, max_slots: int | None
    ) -> tuple[int, MemoryBudget]:
        def budget(slots: int) -> MemoryBudget:
            return MemoryBudget.of(
                model.config,
                num_parameters=model.num_parameters,
                max_slots=slots,
                encoded_tokens=self._source_buckets[-1],
                dtype=dtype,
            )

        free_bytes = self._stream.free_bytes()
        if max_slots is None:
            max_slots = slots_within(free_bytes, budget)
        taken = budget(max_slots)
        taken.check(free_bytes, max_slots=max_slots, max_positions=model.config.max_positions)
        return max_slots, taken

    def _capture(self, beams: tuple[int, ...]) -> None:
        """The graphs that are always needed, the largest first: its memory has room for all."""
        for bucket in reversed(self._source_buckets):
            self._encoder(bucket)
        for num_beams in sorted(set(beams)):
            if num_beams <= self.max_slots:
                group = self._decode_group(num_beams, constrained=False, restricted=False)
                for bucket in reversed(group.buckets):
                    group.graph(bucket)
        self._stream.settle()

    def _drop(self, sequence: Sequence) -> None:
        group = self._running.pop(sequence, None)
        self._num_told.pop(sequence, None)
        if group is not None:
            group.remove(sequence)

    def _admit(self, newcomers: tuple[Sequence, ...]) -> None:
        """Queued behind the step in flight, which may still work on the slots' last owners."""
        began = self._stream.mark()
        for batch in pack(newcomers, self._source_buckets, self.model_config.eos_id):
            self._encode(batch)
        self._begin_searches(newcomers)
        self._admissions.append(
            _Admission(sequences=newcomers, began=began, ended=self._stream.mark())
        )
        for sequence in newcomers:
            generation = sequence.generation
            group = self._decode_group(
                generation.beam_size,
                constrained=generation.constrained,
                restricted=sequence.options.shortlist is not None,
                aligned=sequence.options.align_to is not None,
                lexical=sequence.options.lexically_constrained,
            )
            group.add(sequence)
            self._running[sequence] = group

    def _encode(self, batch: PackedSources) -> None:
        buffer, graph = self._encoder(batch.tokens.shape[1])
        self._stream.upload(np.concatenate([batch.tokens, batch.blocks], axis=None), buffer)
        graph()

    def _begin_searches(self, newcomers: tuple[Sequence, ...]) -> None:
        leads = np.array([sequence.slots[0] for sequence in newcomers], dtype=np.int64)
        integers, factors = option_columns([sequence.generation for sequence in newcomers])
        counters = np.zeros((len(Counter), len(newcomers)), dtype=np.int32)
        counters[Counter.LIMIT] = [sequence.max_new_tokens for sequence in newcomers]
        counters[Counter.SOURCE_LEN] = [sequence.source_len for sequence in newcomers]
        counters[Counter.GIVEN] = [len(sequence.options.target_prefix) for sequence in newcomers]
        for place, sequence in enumerate(newcomers):
            if sequence.generation.limit_repeats:
                counters[Counter.SOURCE_COPIES, place] = most_copies(sequence.source_ids)
            if (among := sequence.options.align_to) is not None:
                counters[Counter.ALIGN_FIRST, place] = among.start
                counters[Counter.ALIGN_END, place] = among.stop
        counters = np.concatenate([counters, integers])
        index = self._stream.upload(leads)
        for table, values in (
            (self._memory.counters, self._stream.upload(counters)),
            (self._memory.factors, self._stream.upload(factors)),
        ):
            self._stream.run(partial(_write, table, index, values))
        for sequence in newcomers:
            if sequence.options.lexically_constrained:
                self._stream.run(partial(self._host_constraints.begin, sequence))
        self._give_prefixes(newcomers)
        self._restrict(newcomers)

    def _give_prefixes(self, newcomers: tuple[Sequence, ...]) -> None:
        given = [
            (sequence.slots[0], position, token)
            for sequence in newcomers
            for position, token in enumerate(sequence.options.target_prefix, start=1)
        ]
        if given:
            columns = self._stream.upload(np.array(given, dtype=np.int64).T.copy())
            self._stream.run(partial(_write_tokens, self._memory.tokens, columns))

    def _restrict(self, newcomers: tuple[Sequence, ...]) -> None:
        restricted = [
            (sequence.slots[0], sequence.options.predictable)
            for sequence in newcomers
            if sequence.options.predictable is not None
        ]
        if restricted:
            leads, shortlists = zip(*restricted, strict=True)
            words = allowed_words(shortlists, self.model_config.tgt_vocab_size)
            index = self._stream.upload(np.array(leads, dtype=np.int64))
            values = self._stream.upload(words)
            self._stream.run(partial(_write_rows, self._memory.allowed, index, values))

    def _queue_step(self, outcome: StepOutcome, *, is_last: bool) -> None:
        began = self._stream.mark()
        groups = [
            _GroupStep(group, *group.queue_step())
            for group in self._decode_groups.values()
            if len(group)
        ]
        told = self._queue_telling() if is_last else None
        self._in_flight.append(
            _Step(
                groups=groups,
                admissions=self._admissions,
                told=told,
                began=began,
                ended=self._stream.mark(),
            )
        )
        self._admissions = []
        outcome.steps += 1
        outcome.rows += sum(len(step.members) * step.group.num_beams for step in groups)

    def _queue_telling(self) -> _Told | None:
        """Queues copies of what tells which tokens are decided, for who asks."""
        sequences = tuple(each for each in self._running if each.reports)
        if not sequences:
            return None
        slots = [slot for each in sequences for slot in each.slots]
        index = self._stream.upload(np.array(slots, dtype=np.int64))
        memory = self._memory

        def copied(table: Tensor) -> Tensor:
            picked = table.new_empty((len(slots), *table.shape[1:]))
            self._stream.run(partial(_pick, table, index, picked))
            return self._stream.download(picked)

        return _Told(
            sequences=sequences,
            trace=copied(memory.trace),
            counters=copied(memory.counters.T),
            live_log_probs=copied(memory.live_log_probs),
        )

    def _tell(self, told: _Told, outcome: StepOutcome) -> None:
        trace, counters = SearchTrace(told.trace.numpy()), told.counters.numpy()
        live = (told.live_log_probs > float("-inf")).numpy()
        first = 0
        for sequence in told.sequences:
            beams = sequence.beam_size
            position, ended = counters[first, [Counter.POSITION, Counter.ENDED]].tolist()
            if sequence in self._running and position and not counters[first, Counter.DONE]:
                token_ids = trace.decided(
                    first,
                    position,
                    ended,
                    np.flatnonzero(live[first : first + beams]).tolist(),
                    sequence.generation,
                    len(sequence.options.target_prefix),
                )
                if more := token_ids[self._num_told.get(sequence, 0) :]:
                    outcome.decided.append(DecidedTokens(sequence, more))
                    self._num_told[sequence] = len(token_ids)
            first += beams

    def _collect(self, step: _Step, outcome: StepOutcome) -> None:
        """Waits for a step, and for what has finished in it."""
        step.ended.wait()
        now = time.monotonic()
        outcome.decode_seconds += step.ended.seconds_since(step.began)
        for admission in step.admissions:
            seconds = admission.ended.seconds_since(admission.began)
            outcome.encode_seconds += seconds
            encoded_at = now - step.ended.seconds_since(admission.ended)
            for sequence in admission.sequences:
                sequence.encode_seconds = seconds
                sequence.encoded_at = encoded_at
                sequence.first_token_at = now
        finished: list[tuple[Sequence, int]] = []
        for group, members, flags in step.groups:
            ended = flags.numpy()
            for place in np.flatnonzero(ended[: len(members)]).tolist():
                # Who was removed, or reported one step ago, is not asked for any more.
                if self._running.get(members[place]) is group:
                    finished.append((members[place], int(ended[place]) - 1))
        if finished:
            self._report(finished, outcome)
        if step.told is not None:
            self._tell(step.told, outcome)

    def _report(self, finished: list[tuple[Sequence, int]], outcome: StepOutcome) -> None:
        slots = np.array([slot for each, _ in finished for slot in each.slots], dtype=np.int64)
        attended = None
        if any(sequence.options.align_to is not None for sequence, _ in finished):
            attended = self._stream.fetch(self._memory.attended, slots)
        trace = SearchTrace(self._stream.fetch(self._memory.trace, slots), attended)
        first = 0
        for sequence, num_ended in finished:
            num_given = len(sequence.options.target_prefix)
            hypotheses = trace.hypotheses(
                first,
                num_ended,
                sequence.generation,
                num_given,
                aligned=sequence.options.align_to is not None,
                missed=partial(self._host_constraints.missed, sequence.slots[0])
                if sequence.options.phrases
                else None,
            )
            first += sequence.beam_size
            self._drop(sequence)
            outcome.finished.append(FinishedSequence(sequence, hypotheses))

    def _decode_group(
        self,
        num_beams: int,
        *,
        constrained: bool,
        restricted: bool,
        aligned: bool = False,
        lexical: bool = False,
    ) -> DecodeGroup:
        key = num_beams, constrained, restricted, aligned, lexical
        if key not in self._decode_groups:
            self._decode_groups[key] = DecodeGroup(
                self._stream,
                partial(
                    self._program.step,
                    constrained=constrained,
                    restricted=restricted,
                    aligned=aligned,
                    lexical=self._host_constraints.apply if lexical else None,
                ),
                num_beams=num_beams,
                capacity=self.max_slots // num_beams,
                spare=self._memory.spare,
                captured=not lexical,
            )
        return self._decode_groups[key]

    def _encoder(self, bucket: int) -> tuple[Tensor, Callable[[], None]]:
        """The input buffer of a bucket, and what queues its encoding."""
        if bucket not in self._encoders:
            tokens = np.zeros((3, bucket), dtype=np.int32)
            # Capturing encodes: nothing, to nowhere.
            tokens[1] = -1
            blocks = np.zeros((max_blocks(bucket), 3), dtype=np.int32)
            buffer = self._stream.upload(np.concatenate([tokens, blocks], axis=None))
            split = 3 * bucket
            graph = self._stream.capture(
                lambda: self._program.encode(buffer[:split].view(3, -1), buffer[split:].view(-1, 3))
            )
            self._encoders[bucket] = buffer, graph
        return self._encoders[bucket]


def _pick(table: Tensor, rows: Tensor, out: Tensor) -> None:
    out.copy_(table.index_select(0, rows))


def _write(table: Tensor, columns: Tensor, values: Tensor) -> None:
    table.index_copy_(1, columns, values)


def _write_rows(table: Tensor, rows: Tensor, values: Tensor) -> None:
    table.index_copy_(0, rows, values)


def _write_tokens(tokens: Tensor, given: Tensor) -> None:
    """`given`: (3, N) slots, positions, tokens."""
    tokens[given[0], given[1]] = given[2].int()


def _fused_operations(dtype: torch.dtype) -> Operations:
    try:
        from model.engine.cuda.kernels.fused import FusedOperations
    except ImportError as error:
        raise BackendUnavailableError(f"the CUDA kernels need Triton: {error}") from None
    return FusedOperations(dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
