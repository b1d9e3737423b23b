"""The runner for a CUDA device: what a step does is a graph, and the host only says to whom.

All that a step needs to know is in the device's memory: caches, histories, searches. So the host
queues the next steps without having seen what came of the last one, and reads that one's flags
while they run. A sequence that has ended takes part in a few steps too many, in which nothing of it
changes. What its search has left behind is copied meanwhile, and looked at by who wants to know.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import GenerationConfig
from model.decoding.repeats import most_copies
from model.decoding.sequence_options import NO_OPTIONS
from model.engine.cuda.budget import MemoryBudget, slots_within
from model.engine.cuda.decode_group import DecodeGroup, Slots
from model.engine.cuda.device_model import DeviceModel
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.kernels.slot_memory import (
    Counter,
    SlotMemory,
    allowed_words,
    option_columns,
    option_row,
)
from model.engine.cuda.lexical import HostConstraints, HostSearch
from model.engine.cuda.packing import PackedSources, buckets_for_sources, max_blocks, pack
from model.engine.cuda.program import DeviceProgram
from model.engine.cuda.queue_depth import QueueDepth
from model.engine.cuda.results import DoneSearches, FetchedResults
from model.engine.cuda.search_trace import SearchColumns, SearchTraces
from model.engine.cuda.stream import CudaStream, DeviceStream, Mark
from model.engine.runner import DecidedTokens, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.errors import BackendUnavailableError
from model.network.transformer import Transformer

__all__ = ["CudaRunner"]

_USUAL_BEAMS = (1, GenerationConfig().beam_size)
"""Searches whose graphs are captured in advance; others are when they come for the first time."""


_LIMIT_REPEATS = option_row("limit_repeats")

_Kind = tuple[int, bool, bool, bool, bool]
"""Which sequences are decoded together: see `CudaRunner._decode_group`."""


@dataclass(eq=False, kw_only=True)
class _Admission:
    """Sequences that were encoded together."""

    sequences: tuple[Sequence, ...]
    began: Mark
    ended: Mark


class _Told(NamedTuple):
    """What searches with equally many beams have come to after a step, to be read once its mark has
    been waited for."""

    sequences: list[Sequence]
    trace: Tensor
    """(R, 2P + 8) rows of all their slots, on the host, as are the two that follow."""
    counters: Tensor
    """(R, C + I)"""
    live_log_probs: Tensor
    """(R,)"""


class _GroupStep(NamedTuple):
    group: DecodeGroup
    leads: NDArray[np.int32]
    tickets: NDArray[np.int64]
    """Whose leads they were."""
    flags: Tensor
    """On the host, once the step's mark has been waited for."""


@dataclass(eq=False, kw_only=True)
class _Step:
    """A decode step that has been queued."""

    groups: list[_GroupStep]
    admissions: list[_Admission] = field(default_factory=list)
    """Whose first step it is."""
    told: list[_Told] | None = None
    """For who asks for what is decided."""
    began: Mark
    ended: Mark
    previous_end: Mark | None
    """The end of the step before it, if that one was in flight still."""


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
        beams: of plain searches whose graphs are captured here and now.
        searches: others that are expected, with their guards, for which the same is done.
        shortlisted: whether these have shortlists.
        memory_share: of the device's memory, how much this process may take at most.

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
        searches: Iterable[GenerationConfig] = (),
        shortlisted: bool = False,
        memory_share: float = 1.0,
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
        program = program or _model_program(model, operations, dtype, device)
        self._source_buckets = buckets_for_sources(model.config.max_positions)
        self.max_slots, self.budget = self._slots_and_budget(model, dtype, max_slots, memory_share)
        self._memory = SlotMemory(model.config, self.max_slots, dtype=dtype, device=device)
        self._program = program(self._memory)
        # Until here PyTorch has worked on a stream of its own.
        self._stream.settle()
        self._host_constraints = HostConstraints(self._memory, model.config.eos_id)
        self._decode_groups: dict[_Kind, DecodeGroup] = {}
        # Of each running sequence at its lead, the first of its slots:
        self._owners = np.full(self.max_slots, None, dtype=object)
        self._tickets = np.zeros(self.max_slots, dtype=np.int64)
        """A number that no other sequence has; 0 of a lead is nobody's."""
        self._last_ticket = 0
        self._columns = SearchColumns.by_lead(self.max_slots)
        self._in_flight: deque[_Step] = deque()
        """Steps queued and not yet looked at."""
        self._depth = QueueDepth()
        self._admissions: list[_Admission] = []
        self._num_running = 0
        self._ended: dict[DecodeGroup, list[tuple[NDArray[np.int32], NDArray[np.int32]]]] = {}
        """Leads whose searches have been seen to be done in this call, and how many hypotheses each
        has ended. They take part in its further steps, in which nothing of them changes: to take
        them out together costs little more than to take out one."""
        self._num_told: dict[Sequence, int] = {}
        """Tokens of which it has been told that they are decided, of those who ask."""
        # No event: who sets that may be interrupted within it, and leave it locked.
        self._interrupted = False
        self._encoders: dict[int, tuple[Tensor, Callable[[], None]]] = {}
        self._capture(
            {(num_beams, False, False) for num_beams in beams}
            | {(each.beam_size, each.constrained, shortlisted) for each in searches}
        )

    @torch.inference_mode()
    def execute(self, plan: StepPlan) -> StepOutcome:
        """See `Runner`. What has finished is seen when some steps after it have been queued; rows
        and seconds of the outcome are those of the steps that have been looked at.
        """
        outcome = StepOutcome()
        self._remove(plan.removed)
        if plan.newcomers:
            self._admit(plan.newcomers)
        freed = 0
        while self._num_running and outcome.steps < plan.max_steps:
            self._queue_step(outcome, is_last=outcome.steps + 1 == plan.max_steps)
            while len(self._in_flight) >= self._depth.steps:
                freed += self._collect(self._in_flight.popleft(), outcome)
            if freed >= plan.freed_rows or self._interrupted:
                break
        if self._ended:
            # Before anybody else is given the slots.
            done = [self._finish(group, parts) for group, parts in self._ended.items()]
            outcome.pending.append(FetchedResults.queued(self._stream, self._memory, done))
            self._ended.clear()
        if not self._num_running:
            # What is still in flight concerns nobody.
            self._in_flight.clear()
        self._interrupted = False
        return outcome

    def interrupt(self) -> None:
        """See `Runner`."""
        self._interrupted = True

    def release_memory(self) -> None:
        """Keeps it all: see `Runner`."""

    @torch.inference_mode()
    def close(self) -> None:
        """See `Runner`. The device's memory is given back."""
        with suppress(RuntimeError):  # a device that is lost has nothing to wait for
            self._stream.settle()
        self._owners.fill(None)
        self._ended.clear()
        self._num_running = 0
        self._num_told.clear()
        self._in_flight.clear()
        self._admissions.clear()
        self._decode_groups.clear()
        self._encoders.clear()
        # Whoever holds this runner holds no memory of the device any more.
        del self._host_constraints, self._program, self._memory
        with suppress(RuntimeError):
            self._stream.release_memory()

    def _slots_and_budget(
        self,
        model: Transformer,
        dtype: torch.dtype,
        max_slots: int | None,
        memory_share: float,
    ) -> tuple[int, MemoryBudget]:
        def budget(slots: int) -> MemoryBudget:
            return MemoryBudget.of(
                model.config,
                num_parameters=model.num_parameters,
                max_slots=slots,
                encoded_tokens=self._source_buckets[-1],
                dtype=dtype,
            )

        free_bytes = self._stream.free_bytes(memory_share)
        if max_slots is None:
            max_slots = slots_within(free_bytes, budget)
        taken = budget(max_slots)
        taken.check(free_bytes, max_slots=max_slots, max_positions=model.config.max_positions)
        return max_slots, taken

    def _capture(self, kinds: set[tuple[int, bool, bool]]) -> None:
        """The graphs that are always needed, the largest first: its memory has room for all."""
        for bucket in reversed(self._source_buckets):
            self._encoder(bucket)
        for num_beams, constrained, restricted in sorted(kinds):
            if num_beams <= self.max_slots:
                group = self._decode_group(num_beams, constrained, restricted)
                for bucket in reversed(group.buckets):
                    group.graph(bucket)
        self._stream.settle()

    def _remove(self, sequences: tuple[Sequence, ...]) -> None:
        """Those who have left, of whom some may be done already."""
        left: dict[DecodeGroup, list[int]] = {}
        for sequence in sequences:
            if self._owners[(lead := sequence.slots[0])] is sequence:
                left.setdefault(self._decode_group(*_kind(sequence)), []).append(lead)
        for group, leads in left.items():
            self._take_out(group, np.array(leads, dtype=np.int32))
            self._num_running -= len(leads)

    def _take_out(
        self, group: DecodeGroup, leads: NDArray[np.int32]
    ) -> tuple[list[Sequence], Slots]:
        """Forgets sequences of a group."""
        slots = group.remove(leads)
        sequences: list[Sequence] = self._owners[leads].tolist()
        self._tickets[leads] = 0
        self._owners[leads] = None
        if self._num_told:
            for sequence in sequences:
                self._num_told.pop(sequence, None)
        return sequences, slots

    def _admit(self, newcomers: tuple[Sequence, ...]) -> None:
        """Queued behind the steps in flight, which may still work on the slots' last owners."""
        leads = np.array([sequence.slots[0] for sequence in newcomers], dtype=np.int32)
        lengths = np.array([sequence.source_len for sequence in newcomers], dtype=np.int32)
        pad_id = self.model_config.eos_id
        # Before the mark: while sources are packed, the device may have nothing to do.
        batches = list(pack(newcomers, leads, lengths, self._source_buckets, pad_id))
        began = self._stream.mark()
        for batch in batches:
            self._encode(batch)
        self._begin_searches(newcomers, leads, lengths)
        self._admissions.append(
            _Admission(sequences=newcomers, began=began, ended=self._stream.mark())
        )
        members: dict[_Kind, list[Sequence]] = {}
        for sequence in newcomers:
            members.setdefault(_kind(sequence), []).append(sequence)
        for kind, sequences in members.items():
            self._join(self._decode_group(*kind), sequences)
        self._num_running += len(newcomers)
        for sequence in [each for each in newcomers if each.on_decided is not None]:
            if sequence.reports:
                self._num_told[sequence] = 0

    def _join(self, group: DecodeGroup, sequences: list[Sequence]) -> None:
        slots = np.array(
            list(chain.from_iterable([sequence.slots for sequence in sequences])), dtype=np.int32
        ).reshape(-1, group.num_beams)
        leads = slots[:, 0]
        group.add(slots)
        first, self._last_ticket = self._last_ticket + 1, self._last_ticket + len(slots)
        self._tickets[leads] = np.arange(first, self._last_ticket + 1)
        self._owners[leads] = sequences

    def _encode(self, batch: PackedSources) -> None:
        buffer, graph = self._encoder(batch.tokens.shape[1])
        self._stream.upload(batch.flat, buffer)
        graph()

    def _begin_searches(
        self,
        newcomers: tuple[Sequence, ...],
        leads: NDArray[np.int32],
        lengths: NDArray[np.int32],
    ) -> None:
        integers, factors = option_columns([sequence.generation for sequence in newcomers])
        columns = np.zeros((len(Counter) + len(integers), len(newcomers)), dtype=np.int32)
        counters, columns[len(Counter) :] = columns[: len(Counter)], integers
        counters[Counter.LIMIT] = [sequence.max_new_tokens for sequence in newcomers]
        counters[Counter.SOURCE_LEN] = lengths
        for place in np.flatnonzero(integers[_LIMIT_REPEATS]).tolist():
            counters[Counter.SOURCE_COPIES, place] = most_copies(newcomers[place].source_ids)
        bound = [sequence for sequence in newcomers if sequence.options is not NO_OPTIONS]
        if bound:
            for place, sequence in enumerate(newcomers):
                counters[Counter.GIVEN, place] = len(sequence.options.target_prefix)
                if (among := sequence.options.align_to) is not None:
                    counters[Counter.ALIGN_FIRST, place] = among.start
                    counters[Counter.ALIGN_END, place] = among.stop
        self._columns.put(leads, counters[Counter.GIVEN], integers, factors)
        self._write_searches(leads, columns, factors)
        if bound:
            self._bind(bound)

    def _write_searches(
        self,
        leads: NDArray[np.int32],
        counters: NDArray[np.int32],
        factors: NDArray[np.float64],
    ) -> None:
        """Uploads columns of two tables and where they belong in one piece: calls cost more."""
        pieces = [leads.astype(np.int64).tobytes(), factors.tobytes(), counters.tobytes()]
        sent = self._stream.upload(np.frombuffer(bytearray().join(pieces), np.uint8))
        index, values, columns = torch.split(sent, [len(piece) for piece in pieces])
        index = index.view(torch.int64)
        values = values.view(torch.float64).view(factors.shape)
        columns = columns.view(torch.int32).view(counters.shape)
        memory = self._memory

        def write() -> None:
            memory.counters.index_copy_(1, index, columns)
            memory.factors.index_copy_(1, index, values)

        self._stream.run(write)

    def _bind(self, newcomers: list[Sequence]) -> None:
        """To what is a sequence's own."""
        for sequence in newcomers:
            if sequence.options.lexically_constrained:
                self._stream.run(partial(self._host_constraints.begin, sequence))
        self._give_prefixes(newcomers)
        self._restrict(newcomers)

    def _give_prefixes(self, newcomers: list[Sequence]) -> None:
        given = [
            (sequence.slots[0], position, token)
            for sequence in newcomers
            for position, token in enumerate(sequence.options.target_prefix, start=1)
        ]
        if given:
            columns = self._stream.upload(np.array(given, dtype=np.int64).T.copy())
            self._stream.run(partial(_write_tokens, self._memory.tokens, columns))

    def _restrict(self, newcomers: list[Sequence]) -> None:
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
        previous_end = self._in_flight[-1].ended if self._in_flight else None
        began = self._stream.mark()
        groups = []
        for group in self._decode_groups.values():
            if len(group):
                leads, flags = group.queue_step()
                groups.append(_GroupStep(group, leads, self._tickets[leads], flags))
        told = self._queue_telling() if is_last and self._num_told else None
        self._in_flight.append(
            _Step(
                groups=groups,
                admissions=self._admissions,
                told=told,
                began=began,
                ended=self._stream.mark(),
                previous_end=previous_end,
            )
        )
        self._admissions = []
        outcome.steps += 1

    def _queue_telling(self) -> list[_Told]:
        """Queues copies of what tells which tokens are decided, for who asks."""
        by_beams: dict[int, list[Sequence]] = {}
        for sequence in self._num_told:
            by_beams.setdefault(sequence.beam_size, []).append(sequence)
        return [self._queue_copies(sequences) for sequences in by_beams.values()]

    def _queue_copies(self, sequences: list[Sequence]) -> _Told:
        slots = np.array([sequence.slots for sequence in sequences], dtype=np.int64)
        index = self._stream.upload(slots.reshape(-1))
        memory = self._memory

        def copied(table: Tensor) -> Tensor:
            picked = table.new_empty((slots.size, *table.shape[1:]))
            self._stream.run(partial(_pick, table, index, picked))
            return self._stream.download(picked)

        return _Told(
            sequences=sequences,
            trace=copied(memory.trace),
            counters=copied(memory.counters.T),
            live_log_probs=copied(memory.live_log_probs),
        )

    def _tell(self, told: _Told, outcome: StepOutcome) -> None:
        beams = told.sequences[0].beam_size
        counters = told.counters.numpy()[::beams]
        positions, ended = counters[:, Counter.POSITION], counters[:, Counter.ENDED]
        goes_on = (positions > 0) & (counters[:, Counter.DONE] == 0)
        goes_on &= [sequence in self._num_told for sequence in told.sequences]
        which = np.flatnonzero(goes_on)
        if not len(which):
            return
        live = (told.live_log_probs.numpy() > -np.inf).reshape(-1, beams)
        trace = told.trace.numpy().reshape(len(live), beams, -1)[which]
        sequences = [told.sequences[number] for number in which.tolist()]
        decided = SearchTraces(trace.reshape(-1, trace.shape[2]), beams).decided(
            sequences, positions[which], ended[which], live[which]
        )
        for sequence, token_ids in zip(sequences, decided, strict=True):
            if more := token_ids[self._num_told[sequence] :]:
                outcome.decided.append(DecidedTokens(sequence, more))
                self._num_told[sequence] = len(token_ids)

    def _collect(self, step: _Step, outcome: StepOutcome) -> int:
        """Waits for a step, and for what has finished in it; returns how many slots that frees."""
        step.ended.wait()
        now = time.monotonic()
        # Who waits for tokens waits as well while the device has nothing to do.
        since = step.began if step.admissions else step.previous_end or step.began
        outcome.decode_seconds += step.ended.seconds_since(since)
        self._note_idleness(step)
        for admission in step.admissions:
            seconds = admission.ended.seconds_since(admission.began)
            outcome.encode_seconds += seconds
            encoded_at = now - step.ended.seconds_since(admission.ended)
            for sequence in admission.sequences:
                sequence.encode_seconds = seconds
                sequence.encoded_at = encoded_at
                sequence.first_token_at = now
        freed = 0
        for group, leads, tickets, flags in step.groups:
            # Of steps whose seconds are known, or what a row takes would look like less.
            outcome.rows += len(leads) * group.num_beams
            ended = flags.numpy()[: len(leads)]
            places = ended.nonzero()[0]
            # Who was removed, or seen before, is not asked for any more.
            known, now_there = tickets[places], self._tickets[leads[places]]
            places = places[(known == now_there) & (known > 0)]
            if len(places):
                done = leads[places]
                self._tickets[done] = 0
                self._ended.setdefault(group, []).append((done, ended[places] - 1))
                self._num_running -= len(places)
                freed += len(places) * group.num_beams
        for told in step.told or ():
            self._tell(told, outcome)
        return freed

    def _note_idleness(self, step: _Step) -> None:
        if any(each.group.lexical for each in step.groups):
            return  # the host waits for the device within it, however many are queued
        began = step.admissions[0].began if step.admissions else step.began
        idle_seconds = began.seconds_since(step.previous_end) if step.previous_end else 0.0
        busy_seconds = step.ended.seconds_since(began)
        self._depth.note(idle_seconds=idle_seconds, busy_seconds=busy_seconds)

    def _finish(
        self, group: DecodeGroup, parts: list[tuple[NDArray[np.int32], NDArray[np.int32]]]
    ) -> DoneSearches:
        """Takes out those whose search is done."""
        leads, num_ended = (np.concatenate(each) for each in zip(*parts, strict=True))
        if not num_ended.all():  # only numbers that are not finite end nothing
            raise RuntimeError("the model's predictions must be finite, but are not")
        sequences, slots = self._take_out(group, leads)
        searches: list[HostSearch | None] = [None] * len(sequences)
        if group.lexical:
            searches = [
                self._host_constraints.search(each.slots[0]) if each.options.phrases else None
                for each in sequences
            ]
        return DoneSearches(sequences, slots, self._columns.of(leads), num_ended, searches)

    def _decode_group(
        self,
        num_beams: int,
        constrained: bool,
        restricted: bool = False,
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
                lexical=lexical,
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


def _kind(sequence: Sequence) -> _Kind:
    generation, options = sequence.generation, sequence.options
    if options is NO_OPTIONS:
        return sequence.beam_size, generation.constrained, False, False, False
    return (
        generation.beam_size,
        generation.constrained,
        options.shortlist is not None,
        options.align_to is not None,
        options.lexically_constrained,
    )


def _pick(table: Tensor, rows: Tensor, out: Tensor) -> None:
    out.copy_(table.index_select(0, rows))


def _write_rows(table: Tensor, rows: Tensor, values: Tensor) -> None:
    table.index_copy_(0, rows, values)


def _write_tokens(tokens: Tensor, given: Tensor) -> None:
    """`given`: (3, N) slots, positions, tokens."""
    tokens[given[0], given[1]] = given[2].int()


def _model_program(
    model: Transformer, operations: Operations | None, dtype: torch.dtype, device: torch.device
) -> Callable[[SlotMemory], DeviceProgram]:
    operations = operations or _fused_operations(dtype)
    return partial(DeviceModel, model, operations, dtype=dtype, device=device)


def _fused_operations(dtype: torch.dtype) -> Operations:
    try:
        from model.engine.cuda.kernels.fused import FusedOperations
    except ImportError as error:
        raise BackendUnavailableError(f"the CUDA kernels need Triton: {error}") from None
    return FusedOperations(dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
