"""The loop: schedule, execute, deliver, on a thread for each runner.

All bookkeeping is shared and happens under one lock, between two calls of a runner; a runner
computes without it. Callers' threads do their own: they put sequences into the queue, or take them
out, and interrupt the runners whom that concerns. Results that come late from a device are waited
for on one more thread (`deliveries`); callbacks of futures are called on any of these. The loop
logs nothing and publishes nothing: it leaves numbers behind for whoever hosts it to collect.
"""

from __future__ import annotations

import contextlib
import math
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from itertools import chain, compress
from numbers import Integral
from operator import is_

import numpy as np

from model.config import EngineConfig, GenerationConfig, Priority
from model.decoding.search import Hypothesis
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.engine.backends import build_runners
from model.engine.batch_trace import BatchRecord, BatchTrace
from model.engine.cpu_places import places_of_process
from model.engine.deadlines import Deadlines
from model.engine.deliveries import Deliveries
from model.engine.queue_wait import CAUTION, QueueWaitEstimator
from model.engine.result_future import ResultFuture, settle
from model.engine.runner import (
    DecidedTokens,
    FinishedSequences,
    PendingResults,
    Runner,
    StepOutcome,
)
from model.engine.scheduler import FairShare, Scheduler, StepPlan, fair_share, steps_as_light
from model.engine.sequence import Sequence, SequenceResult, SequenceStatus, results_of
from model.engine.service_time import ServiceTimeEstimator
from model.engine.waiting import WaitingQueue
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    QueueFullError,
    RequestCancelledError,
    TooLongForDeadlineError,
)
from model.network.weights import Weights

__all__ = ["Engine", "EngineStats", "StepStats"]

_MAX_STATS_KEPT = 10_000
_IDLE_SECONDS = 1.0
"""After which a runner gives its memory back: new pages cost a sentence a hundredth of its time."""


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """How full the engine is now."""

    running: int
    """Sequences that hold slots."""
    waiting: int
    """Sequences accepted but not admitted."""
    slots_used: int
    max_slots: int
    waiting_source_tokens: int
    running_source_tokens: int
    submitted_source_tokens: int
    """Summed over all sequences ever accepted."""
    admitted_source_tokens: int
    """Summed over all sequences that were ever given slots."""
    waiting_since: float | None
    """Monotonic seconds since when somebody has always been waiting; None when nobody is."""


@dataclass(frozen=True, kw_only=True)
class StepStats:
    """What one call of a runner did: it may take several decode steps, with the same sequences."""

    steps: int
    rows: int
    """Hypotheses decoded, summed over the steps."""
    running: int
    """Sequences, the newcomers included."""
    newcomers: int
    encoded_tokens: int
    """Source tokens of the newcomers."""
    encode_seconds: float
    """Before the first step."""
    decode_seconds: float
    """Summed over all steps."""


class _Worker:
    """A runner, its slots, and the thread that drives it."""

    def __init__(self, number: int, runner: Runner, config: EngineConfig) -> None:
        self.number = number
        self.runner = runner
        self.scheduler = Scheduler(
            max_slots=runner.max_slots,
            encode_token_budget=config.encode_token_budget,
            can_pause=runner.can_pause,
        )
        self.executing = False
        self.used_memory = False
        """Since it last gave its memory back."""
        self.cpu_seconds = 0.0
        """That the thread computed during its last call of the runner."""
        self.began_at = 0.0
        """When its last call of the runner began, in monotonic seconds."""

    def execute(self, plan: StepPlan) -> StepOutcome:
        places = places_of_process() if self.runner.device == "cpu" else None
        with places.place(self.runner.interrupt) if places else contextlib.nullcontext():
            self.began_at = time.monotonic()
            started = time.thread_time()
            outcome = self.runner.execute(plan)
            self.cpu_seconds = time.thread_time() - started
        return outcome

    def interrupt(self) -> None:
        if self.executing:
            self.runner.interrupt()


class Engine:
    """Translates token ids into token ids, many sequences at once.

    Args:
        weights: belong to the engine from now on; what its runners do not need is not kept.
        config: sizes, device, backend.
        runners: what executes the plans, one for each worker; those of `config` when not given.
        searches: those that are expected, the usual one first: runners may prepare for them.
        shortlisted: whether these have shortlists.

    Raises:
        CheckpointError: a weight cannot be read.
        InvalidRequestError: `config` asks for what this machine has not got.
    """

    def __init__(
        self,
        weights: Weights,
        config: EngineConfig,
        *,
        runners: SequenceOf[Runner] | None = None,
        searches: SequenceOf[GenerationConfig] = (),
        shortlisted: bool = False,
    ) -> None:
        self.config = config
        self.searches = tuple(searches)
        self.model_config = weights.config
        runners = runners or build_runners(
            weights, config, searches=searches, shortlisted=shortlisted
        )
        self.device = runners[0].device
        """Where it computes, for information, as is `dtype`."""
        self.dtype = runners[0].dtype
        self.notes = tuple(dict.fromkeys(note for runner in runners for note in runner.notes))
        """What its host should log once: see `Runner.notes`."""
        self.max_beam_size = min(runner.max_slots for runner in runners)
        self._max_slots = sum(runner.max_slots for runner in runners)
        # Taken by itself, and never by the condition, whose functions are Python's: a Ctrl-C that
        # came within them would leave it locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        # Below: shared between threads, guarded by `_lock`, as are the workers' schedulers.
        self._waiting = WaitingQueue(config.max_waiting, batch_share=config.batch_share)
        self._queue_wait = QueueWaitEstimator()
        self._service_time = ServiceTimeEstimator(len(runners))
        self._deadlines = Deadlines()
        self._open: dict[ResultFuture[SequenceResult], Sequence] = {}
        """Those who wait or run. Who takes a future out settles it."""
        self._stopping = False
        self._fatal: BaseException | None = None
        self._step_stats: deque[StepStats] = deque(maxlen=_MAX_STATS_KEPT)
        self._submitted_source_tokens = 0
        self._admitted_source_tokens = 0
        self._trace: BatchTrace | None = None
        """There only while somebody watches."""
        self._deliveries = Deliveries(self._deliver_pending)
        self._workers = [_Worker(*each, config) for each in enumerate(runners)]
        self._threads = [
            threading.Thread(
                target=self._work, args=(worker,), name=f"polyhead-engine-{number}", daemon=True
            )
            for number, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def max_source_tokens(self) -> int:
        """Longest source, the end token included."""
        return self.model_config.max_positions

    def max_sources(self, priority: Priority) -> int:
        """Most sources of one `submit`: more never find room."""
        return self._waiting.most(priority)

    def room(self, priority: Priority) -> int:
        """Sources that one `submit` might queue now."""
        return max(0, self._waiting.most(priority) - len(self._waiting))

    @property
    def wants_batch(self) -> bool:
        """Whether those of Priority.BATCH who wait would leave slots empty."""
        return self._waiting.num_batch_rows < self._max_slots

    @property
    def alive(self) -> bool:
        """Whether every worker runs."""
        return not self._stopping and all(thread.is_alive() for thread in self._threads)

    def submit(
        self,
        sources: SequenceOf[SequenceOf[int]],
        generation: GenerationConfig | SequenceOf[GenerationConfig],
        *,
        options: SequenceOf[SequenceOptions] | None = None,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        on_decided: SequenceOf[Callable[[tuple[int, ...]], None] | None] | None = None,
        admitted: bool = False,
    ) -> list[ResultFuture[SequenceResult]]:
        """Queues one request's sources, all of them or none.

        Args:
            sources: token ids, each ending with the end token.
            generation: how to search, for all of them, or for each with beams of the same width.
            options: what is each source's own; None is nothing.
            deadline: `time.monotonic()` seconds; a sequence that is not finished by then fails with
                DeadlineExceededError.
            priority: whether others go first where several wait.
            on_decided: for each source, what is called with tokens as soon as its best hypothesis
                will have them whatever follows (`Sequence.on_decided`); it must be quick.
            admitted: whether they had slots before; then there is always room for them.

        Returns:
            One future for each source.

        Raises:
            InvalidRequestError: a source is empty or too long or has unknown ids, its options do
                not fit (see SequenceOptions), the beam is wider than the slots of a worker, or the
                deadline is no number.
            TooLongForDeadlineError: translating them takes longer than until the deadline, with
                nobody before them.
            QueueFullError: the waiting queue has no room for all of them, or so many have their
                turn before them that the deadline would pass.
            EngineDeadError: the engine has stopped.
        """
        if deadline is not None and math.isnan(deadline):
            raise InvalidRequestError(f"`deadline` must be seconds, but is {deadline}")
        now = time.monotonic()
        if isinstance(generation, GenerationConfig):
            generation = [generation] * len(sources)
        sequences = self._sequences(
            sources,
            generation,
            options or [NO_OPTIONS] * len(sources),
            on_decided or [None] * len(sources),
            deadline=deadline,
            priority=priority,
            now=now,
        )
        with self._lock:
            seconds_left = None
            if deadline is not None and not admitted:
                seconds_left = max(0.0, deadline - now)
            self._queue(sequences, seconds_left, admitted=admitted)
        return [sequence.future for sequence in sequences]

    def cancel(self, futures: Iterable[ResultFuture[SequenceResult]]) -> None:
        """Gives sequences up; their slots are free at once.

        Those that are done already stay done; the others fail with RequestCancelledError.
        """
        with self._lock:
            cancelled = [future for future in futures if self._take_out(future)]
        for future in cancelled:
            future.set_exception(RequestCancelledError("the request was cancelled"))

    def stats(self) -> EngineStats:
        """How full the engine is."""
        with self._lock:
            schedulers = [worker.scheduler for worker in self._workers]
            return EngineStats(
                running=sum(len(scheduler.running) for scheduler in schedulers),
                waiting=len(self._waiting),
                slots_used=sum(scheduler.slots.num_used for scheduler in schedulers),
                max_slots=self._max_slots,
                waiting_source_tokens=self._waiting.num_source_tokens,
                running_source_tokens=sum(
                    sequence.source_len
                    for scheduler in schedulers
                    for sequence in scheduler.running
                ),
                submitted_source_tokens=self._submitted_source_tokens,
                admitted_source_tokens=self._admitted_source_tokens,
                waiting_since=self._waiting.waiting_since,
            )

    def drain_steps(self) -> list[StepStats]:
        """The calls of the runners since the last call, oldest first; at most the last 10,000."""
        with self._lock:
            stats = list(self._step_stats)
            self._step_stats.clear()
        return stats

    def trace(self, on: bool) -> None:
        """Begins to take note of what happens in the running batch, or ends it; both may come
        again."""
        with self._lock:
            if not on:
                self._trace = None
            elif self._trace is None:
                self._trace = BatchTrace(
                    tuple(worker.runner.max_slots for worker in self._workers),
                    [worker.scheduler.running for worker in self._workers],
                )

    def take_trace(self) -> BatchRecord | None:
        """What has happened in the running batch since the last call: the last 1,024 calls of the
        runners; None if that is nothing, or not taken note of."""
        with self._lock:
            return None if self._trace is None else self._trace.take(time.monotonic())

    def reset_statistics(self) -> None:
        """Forgets what was counted until now, but not how fast it went."""
        with self._lock:
            self._step_stats.clear()
            self._queue_wait = QueueWaitEstimator()
            self._submitted_source_tokens = self._admitted_source_tokens = 0

    def close(self) -> None:
        """Ends the workers; what is left fails with EngineDeadError."""
        self._stop(None)
        # A future's callback, or a collected owner, may close the engine from a thread of its own,
        # and another callback at the same time from another one: those do not wait for each other.
        if threading.current_thread() not in self._threads:
            for thread in self._threads:
                thread.join()
            self._deliveries.join()

    def _work(self, worker: _Worker) -> None:
        try:
            while (plan := self._next_plan(worker)) is not None:
                self._deliver(worker, plan, worker.execute(plan))
        except BaseException as error:  # whatever it was, nobody may wait for ever
            self._stop(error)
        finally:
            with self._lock:
                worker.executing = False  # so that nobody interrupts a closed runner
            worker.runner.close()

    def _next_plan(self, worker: _Worker) -> StepPlan | None:
        """Sleeps while there is nothing to do; None when the engine has stopped."""
        while True:
            notified = True
            with self._lock:
                now = time.monotonic()
                expired = [
                    sequence.future
                    for sequence in self._deadlines.pop_expired(now)
                    if self._take_out(sequence.future)
                ]
                plan = None if self._stopping else self._schedule(worker, now)
                if not (plan or expired or self._stopping):
                    worker.scheduler.check_idle()
                    notified = self._changed.wait(_IDLE_SECONDS if worker.used_memory else None)
                worker.executing = plan is not None
                worker.used_memory |= worker.executing
            if not notified:
                worker.runner.release_memory()
                worker.used_memory = False
            for future in expired:
                error = "the deadline passed before the translation was done"
                future.set_exception(DeadlineExceededError(error))
            if plan or self._stopping:
                return plan

    def _schedule(self, worker: _Worker, now: float) -> StepPlan | None:
        """With the lock held."""
        waiting_since = self._waiting.waiting_since
        plan = worker.scheduler.schedule(self._waiting, self._fair_share(), now)
        if plan and plan.newcomers:
            self._note_admission(plan.source_tokens, waiting_since, now)
            self._interrupt_those_with_room()  # somebody else is next now, who may fit elsewhere
        return plan

    def _queue(
        self, sequences: SequenceOf[Sequence], seconds_left: float | None, *, admitted: bool
    ) -> None:
        """Accepts sequences or raises what `submit` does; with the lock held."""
        if self._stopping:
            raise EngineDeadError(self._failure_message())
        if seconds_left is not None:
            self._refuse_what_comes_too_late(sequences, seconds_left)
        self._waiting.add(sequences, admitted=admitted)
        self._submitted_source_tokens += sum([sequence.source_len for sequence in sequences])
        self._open.update(zip([each.future for each in sequences], sequences, strict=True))
        self._deadlines.add(sequences)
        self._changed.notify(len(sequences))
        self._interrupt_those_with_room()

    def _note_admission(self, num_tokens: int, waiting_since: float | None, now: float) -> None:
        self._admitted_source_tokens += num_tokens
        if waiting_since is not None:
            self._queue_wait.admitted(num_tokens, waiting_since=waiting_since, now=now)

    def _refuse_what_comes_too_late(
        self, sequences: SequenceOf[Sequence], seconds_left: float
    ) -> None:
        """What could only expire is better refused at once; with the lock held."""
        own = self._service_time.seconds_for(sequences)
        if own > seconds_left > 0:
            raise TooLongForDeadlineError(
                f"the texts take about {own:.3g} s to translate, but the deadline is in "
                f"{seconds_left:.3g} s: about {seconds_left / own:.0%} of them can be done"
            )
        if own and sequences[0].heavy:
            # Large ones that came at the same moment: how long they wait is not to be seen yet.
            others = self._service_time.seconds_for(self._waiting.before(sequences))
            if own + CAUTION * others > seconds_left:
                raise QueueFullError(
                    f"the deadline is in {seconds_left:.3g} s, but the texts take about {own:.3g} "
                    f"s to translate, and those of others before them about {others:.3g} s"
                )
        if self._queue_wait.meets_deadline(self._waiting.num_source_tokens, seconds_left - own):
            return
        tokens = self._waiting.tokens_before(sequences)
        if not self._queue_wait.meets_deadline(tokens, seconds_left - own):
            raise QueueFullError(
                f"the deadline is in {seconds_left:.3g} s, but others have their turn for about "
                f"{self._queue_wait.seconds_for(tokens):.3g} s"
            )

    def _deliver(self, worker: _Worker, plan: StepPlan, outcome: StepOutcome) -> None:
        now = time.monotonic()
        with self._lock:
            self._note_speed(worker, plan, outcome)
            worker.executing = False
            worker.scheduler.executed(
                outcome.steps, outcome.encode_seconds + outcome.decode_seconds
            )
            if outcome.steps:
                self._step_stats.append(_step_stats(worker, plan, outcome))
            if self._trace is not None:
                self._trace.add(
                    worker.number, plan, outcome,
                    waiting=len(self._waiting), began_at=worker.began_at, ended_at=now,
                )  # fmt: skip
            for results in outcome.pending:
                worker.scheduler.finish_all(results.sequences)
            worker.scheduler.finish_all([each.sequence for each in outcome.finished])
            finished = self._completed(
                [each.sequence for each in outcome.finished],
                [each.hypotheses for each in outcome.finished],
                now,
            )
            decided = [
                each
                for each in outcome.decided
                if self._open.get(each.sequence.future) is each.sequence
            ]
        _settle(finished, now)
        for each in decided:
            _tell(each)
        for results in outcome.pending:
            self._deliveries.put(results)

    def _deliver_pending(self, results: PendingResults) -> None:
        """What `_deliver` does for those whose results come later, on a thread for it."""
        try:
            found = results.wait()
            now = time.monotonic()
            with self._lock:
                finished = self._completed(*found, now)
            _settle(finished, now)
        except BaseException as error:  # as in `_work`
            self._stop(error)

    def _completed(
        self, sequences: list[Sequence], hypotheses: list[tuple[Hypothesis, ...]], now: float
    ) -> FinishedSequences:
        """Those of the finished whose result this is, with all hypotheses; with the lock held.

        Others have left meanwhile, or are searched for again.
        """
        if not sequences:
            return FinishedSequences([], [])
        owners = map(self._open.get, [sequence.future for sequence in sequences])
        own = list(map(is_, owners, sequences))
        if not all(own):
            sequences = list(compress(sequences, own))
            hypotheses = list(compress(hypotheses, own))
        bound = [each for each in sequences if each.options is not NO_OPTIONS]
        if any(sequence.options.phrases for sequence in bound):
            sequences, hypotheses = self._without_those_again(sequences, hypotheses)
        for sequence in sequences:
            del self._open[sequence.future]
        # Heavy ones may have paused for long.
        self._queue_wait.finished([now - each.scheduled_at for each in sequences if not each.heavy])
        return FinishedSequences(sequences, hypotheses)

    def _without_those_again(
        self, sequences: list[Sequence], hypotheses: list[tuple[Hypothesis, ...]]
    ) -> FinishedSequences:
        """Those who have what they need, with all hypotheses. The others are queued once more."""
        whole = [
            sequence.whole(found) for sequence, found in zip(sequences, hypotheses, strict=True)
        ]
        again = [sequence.again(found) for sequence, found in zip(sequences, whole, strict=True)]
        following = [sequence for sequence in again if sequence is not None]
        for sequence in following:
            self._waiting.add([sequence], admitted=True)
            self._submitted_source_tokens += sequence.source_len
            self._open[sequence.future] = sequence
        if following:
            self._deadlines.add(following)
            self._changed.notify(len(following))
            self._interrupt_those_with_room()
        done = [sequence is None for sequence in again]
        return FinishedSequences(list(compress(sequences, done)), list(compress(whole, done)))

    def _note_speed(self, worker: _Worker, plan: StepPlan, outcome: StepOutcome) -> None:
        """With the lock held."""
        num_slots = worker.runner.max_slots
        full = all(each.executing for each in self._workers)
        if not full or outcome.rows < outcome.steps * num_slots / 2:
            return
        seconds, own = outcome.encode_seconds + outcome.decode_seconds, 1.0
        if worker.runner.device == "cpu" and seconds > worker.cpu_seconds:
            own = worker.cpu_seconds / seconds  # another program, or another engine, had the rest
        self._service_time.observe(
            encoded_tokens=plan.source_tokens,
            encode_seconds=own * outcome.encode_seconds,
            rows=outcome.rows,
            decode_seconds=own * outcome.decode_seconds,
        )

    def _fair_share(self) -> FairShare:
        return fair_share([worker.scheduler for worker in self._workers], self._waiting)

    def _interrupt_those_with_room(self) -> None:
        """Has the workers come back who could admit somebody; with the lock held."""
        if not self._waiting:
            return
        with_room = [worker for worker in self._workers if worker.scheduler.slots.num_free]
        if not with_room:
            return
        share = self._fair_share()
        able = [worker for worker in with_room if worker.scheduler.can_admit(self._waiting, share)]
        # One that does nothing is about to look for itself.
        if all(worker.executing for worker in able):
            for worker in able:
                worker.interrupt()

    def _take_out(self, future: ResultFuture[SequenceResult]) -> bool:
        """Removes an unfinished sequence from wherever it is; with the lock held.

        Its future is then the caller's to settle, without the lock. False when it is done.
        """
        sequence = self._open.pop(future, None)
        if sequence is None:
            return False
        if not self._waiting.remove(sequence):
            for worker in self._workers:
                if worker.scheduler.remove(sequence):
                    worker.interrupt()
        sequence.status = SequenceStatus.FINISHED
        return True

    def _stop(self, fatal: BaseException | None) -> None:
        """Has all workers end, and answers everybody who waits. More than once is harmless."""
        with self._lock:
            if not self._stopping:
                self._fatal = fatal
            self._stopping = True
            left = [future for future in list(self._open) if self._take_out(future)]
            for worker in self._workers:
                worker.interrupt()
            self._changed.notify_all()
        self._deliveries.end()
        for future in left:
            future.set_exception(EngineDeadError(self._failure_message()))

    def _sequences(
        self,
        sources: SequenceOf[SequenceOf[int]],
        generations: SequenceOf[GenerationConfig],
        options: SequenceOf[SequenceOptions],
        watchers: SequenceOf[Callable[[tuple[int, ...]], None] | None],
        *,
        deadline: float | None,
        priority: Priority,
        now: float,
    ) -> list[Sequence]:
        """The sequences of a request; raises what `submit` does if there is anything wrong."""
        if not sources:
            return []
        lengths = [len(source) for source in sources]
        tokens = self._checked(sources, lengths)
        beam_size = max([search.beam_size for search in generations])
        if beam_size > self.max_beam_size:
            raise InvalidRequestError(
                f"`beam_size` must be at most {self.max_beam_size}, the slots of one of the "
                f"engine's {len(self._workers)} workers, but is {beam_size}"
            )
        light_steps = steps_as_light(
            num_sources=len(sources),
            source_tokens=sum(lengths),
            beam_size=beam_size,
            max_slots=self._max_slots,
        )
        most = self.model_config.max_positions
        sequences = []
        begin = 0
        for length, search, own, watcher in zip(
            lengths, generations, options, watchers, strict=True
        ):
            end = begin + 4 * length
            sequences.append(
                Sequence(
                    tokens[begin:end],
                    search,
                    search.target_limit(length, most),
                    now,
                    own,
                    deadline,
                    priority,
                    light_steps,
                    watcher,
                )
            )
            begin = end
        self._check_options(sequences)
        return sequences

    def _checked(self, sources: SequenceOf[SequenceOf[int]], lengths: list[int]) -> bytes:
        """The tokens of all sources, one behind the other, as a `Sequence` has its own."""
        for length in (min(lengths), max(lengths)):
            if not 0 < length <= self.max_source_tokens:
                raise InvalidRequestError(
                    f"a source must have 1 to {self.max_source_tokens} tokens, but has {length}"
                )
        vocab_size = self.model_config.src_vocab_size
        try:
            packed = struct.pack(f"{sum(lengths)}i", *chain.from_iterable(sources))
        except struct.error:
            packed = None
        # Those below zero are the largest when they are read without a sign.
        if packed is None or np.frombuffer(packed, np.uint32).max() >= vocab_size:
            found = next(
                each for each in chain.from_iterable(sources) if not _is_id(each, vocab_size)
            )
            raise InvalidRequestError(
                f"source ids must be whole numbers in [0, {vocab_size}), but one is {found!r}"
            )
        return packed

    def _check_options(self, sequences: list[Sequence]) -> None:
        config = self.model_config
        for sequence in [each for each in sequences if each.options is not NO_OPTIONS]:
            sequence.options.check(
                vocab_size=config.tgt_vocab_size,
                eos_id=config.eos_id,
                max_new_tokens=sequence.max_new_tokens,
                source_len=sequence.source_len,
            )

    def _failure_message(self) -> str:
        if self._fatal is not None:
            return f"the engine has died: {type(self._fatal).__name__}: {self._fatal}"
        return "the engine has been closed"


def _settle(finished: FinishedSequences, now: float) -> None:
    """Ends the futures of sequences: nobody else would."""
    sequences, hypotheses = finished
    if not sequences:
        return
    try:
        results = results_of(sequences, hypotheses, now)
    except Exception as error:
        if len(sequences) == 1:
            sequences[0].future.set_exception(error)
        else:  # an error of one is nobody else's
            for sequence, found in zip(sequences, hypotheses, strict=True):
                _settle(FinishedSequences([sequence], [found]), now)
    else:
        settle([sequence.future for sequence in sequences], results)


def _is_id(value: object, vocab_size: int) -> bool:
    return isinstance(value, Integral) and 0 <= int(value) < vocab_size


def _tell(decided: DecidedTokens) -> None:
    """Calls who asked for them; as with futures, what that raises concerns nobody else."""
    with contextlib.suppress(BaseException):
        if decided.sequence.on_decided is not None:
            decided.sequence.on_decided(decided.token_ids)


def _step_stats(worker: _Worker, plan: StepPlan, outcome: StepOutcome) -> StepStats:
    return StepStats(
        steps=outcome.steps,
        rows=outcome.rows,
        running=len(worker.scheduler.running),
        newcomers=len(plan.newcomers),
        encoded_tokens=plan.source_tokens,
        encode_seconds=outcome.encode_seconds,
        decode_seconds=outcome.decode_seconds,
    )
