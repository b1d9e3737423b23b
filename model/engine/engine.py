"""The loop: schedule, execute, update, on a thread of its own.

Other threads hand sequences in and get futures; nothing else of theirs touches the scheduler. The
loop logs nothing and publishes nothing: it leaves numbers behind for whoever hosts it to collect.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as SequenceOf
from concurrent.futures import Future
from dataclasses import dataclass

import torch

from model.config import EngineConfig, GenerationConfig
from model.decoding.search import BeamSearch
from model.engine.runner import ModelRunner, Runner
from model.engine.scheduler import Scheduler, StepPlan
from model.engine.sequence import Sequence, SequenceResult
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    QueueFullError,
    RequestCancelledError,
)
from model.transformer import Transformer

__all__ = ["Engine", "EngineStats", "StepStats"]

_MAX_STEPS_KEPT = 10_000


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """How full the engine is now."""

    running: int
    """Sequences in the running batch."""
    waiting: int
    """Sequences accepted but not admitted."""
    slots_used: int
    max_slots: int


@dataclass(frozen=True, kw_only=True)
class StepStats:
    """What one step did."""

    rows: int
    """Of the decode step: hypotheses, not sequences."""
    running: int
    waiting: int
    newcomers: int
    encoded_tokens: int
    """Source tokens of the newcomers, without padding."""
    seconds: float


class Engine:
    """Translates token ids into token ids, many sequences at once.

    Args:
        model: is moved to the engine's device and dtype, and belongs to it from now on.
        config: sizes and device.
        runner: what executes a step; the plain PyTorch runner when not given.
    """

    def __init__(
        self, model: Transformer, config: EngineConfig, *, runner: Runner | None = None
    ) -> None:
        self.config = config
        self.model_config = model.config
        self._runner = runner or ModelRunner(model, config)
        self._scheduler = Scheduler(
            max_slots=config.max_slots, encode_token_budget=config.encode_token_budget
        )
        self._changed = threading.Condition()
        # Below: shared between threads, guarded by `_changed`.
        self._submitted: list[Sequence] = []
        self._cancelled: list[Sequence] = []
        self._open: dict[Future[SequenceResult], Sequence] = {}
        self._num_waiting = 0
        self._stopping = False
        self._fatal: BaseException | None = None
        self._steps: deque[StepStats] = deque(maxlen=_MAX_STEPS_KEPT)
        self._stats = EngineStats(running=0, waiting=0, slots_used=0, max_slots=config.max_slots)
        self._thread = threading.Thread(target=self._loop, name="polyhead-engine", daemon=True)
        self._thread.start()

    @property
    def max_source_tokens(self) -> int:
        """Longest source, the end token included."""
        return self.model_config.max_positions

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive() and self._fatal is None and not self._stopping

    def submit(
        self,
        sources: SequenceOf[SequenceOf[int]],
        generation: GenerationConfig,
        *,
        deadline: float | None = None,
    ) -> list[Future[SequenceResult]]:
        """Queues sources, all of them or none.

        Args:
            sources: token ids, each ending with the end token.
            generation: how to search, for all of them.
            deadline: `time.monotonic()` seconds; a sequence that is not finished by then fails with
                DeadlineExceededError.

        Returns:
            One future for each source.

        Raises:
            InvalidRequestError: a source is empty or too long or has unknown ids, the beam is wider
                than the engine, or the deadline is no number.
            QueueFullError: the waiting queue has no room for all of them.
            EngineDeadError: the engine has stopped.
        """
        if deadline is not None and math.isnan(deadline):
            raise InvalidRequestError(f"`deadline` must be seconds, but is {deadline}")
        now = time.monotonic()
        sequences = [self._sequence(source, generation, deadline, now) for source in sources]
        with self._changed:
            if self._fatal is not None or self._stopping:
                raise EngineDeadError(self._obituary())
            free = self.config.max_waiting - self._num_waiting
            if len(sequences) > free:
                raise QueueFullError(
                    f"the waiting queue has room for {free} more sequences "
                    f"(of {self.config.max_waiting}), but {len(sequences)} were submitted"
                )
            self._num_waiting += len(sequences)
            self._submitted += sequences
            self._open.update((sequence.future, sequence) for sequence in sequences)
            self._changed.notify()
        return [sequence.future for sequence in sequences]

    def cancel(self, futures: Iterable[Future[SequenceResult]]) -> None:
        """Gives sequences up; their slots are free within one step.

        Those that are done already stay done; the others fail with RequestCancelledError.
        """
        with self._changed:
            self._cancelled += [self._open[future] for future in futures if future in self._open]
            self._changed.notify()

    def stats(self) -> EngineStats:
        """How full the engine is."""
        with self._changed:
            stats, waiting = self._stats, self._num_waiting
        return EngineStats(
            running=stats.running,
            waiting=waiting,
            slots_used=stats.slots_used,
            max_slots=stats.max_slots,
        )

    def drain_steps(self) -> list[StepStats]:
        """The steps since the last call, oldest first; at most the last 10,000."""
        with self._changed:
            steps = list(self._steps)
            self._steps.clear()
        return steps

    def close(self) -> None:
        """Ends the thread; what is left fails with EngineDeadError."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        # A future's callback, or a collected owner, may close the engine from its own thread.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def step(self) -> None:
        """Schedule, execute, update."""
        started = time.monotonic()
        plan = self._scheduler.schedule(started)
        candidates = self._runner.execute(plan)
        now = time.monotonic()
        finished = self._scheduler.update(plan, candidates, now)
        self._publish(plan, now - started)
        for sequence in finished:
            # The result first: should there be none, the future must still be among the open ones.
            result = sequence.result(now)
            self._close(sequence).set_result(result)

    def _loop(self) -> None:
        try:
            if self.config.num_threads is not None:
                # PyTorch keeps this number for each thread: it is set on the one that computes.
                torch.set_num_threads(self.config.num_threads)
            while self._take_messages():
                if self._scheduler.has_work:
                    self.step()
        except BaseException as error:  # whatever it was, nobody may wait for ever
            self._fatal = error
        finally:
            self._end()

    def _take_messages(self) -> bool:
        """Takes in what other threads sent, and sleeps when there is nothing to do."""
        with self._changed:
            self._publish_idle()
            while not (
                self._submitted or self._cancelled or self._stopping or self._scheduler.has_work
            ):
                self._changed.wait()
            submitted, self._submitted = self._submitted, []
            cancelled, self._cancelled = self._cancelled, []
            stopping = self._stopping
        for sequence in submitted:
            self._scheduler.add(sequence)
        for sequence in cancelled:
            if self._scheduler.remove(sequence):
                self._close(sequence).set_exception(
                    RequestCancelledError("the request was cancelled")
                )
        for sequence in self._scheduler.expire(time.monotonic()):
            self._close(sequence).set_exception(
                DeadlineExceededError("the deadline passed before the translation was done")
            )
        return not stopping

    def _publish_idle(self) -> None:
        """With the lock held."""
        if self._scheduler.has_work:
            return
        self._scheduler.check_idle()
        self._num_waiting = len(self._submitted)
        self._stats = EngineStats(
            running=0, waiting=0, slots_used=0, max_slots=self.config.max_slots
        )

    def _publish(self, plan: StepPlan, seconds: float) -> None:
        scheduler = self._scheduler
        with self._changed:
            waiting = len(scheduler.waiting) + len(self._submitted)
            self._num_waiting = waiting
            self._stats = EngineStats(
                running=len(scheduler.running),
                waiting=waiting,
                slots_used=scheduler.slots.num_used,
                max_slots=scheduler.max_slots,
            )
            self._steps.append(
                StepStats(
                    rows=plan.num_rows,
                    running=len(plan.running),
                    waiting=waiting,
                    newcomers=len(plan.newcomers),
                    encoded_tokens=sum(sequence.source_len for sequence in plan.newcomers),
                    seconds=seconds,
                )
            )

    def _sequence(
        self,
        source: SequenceOf[int],
        generation: GenerationConfig,
        deadline: float | None,
        now: float,
    ) -> Sequence:
        config = self.model_config
        if not 0 < len(source) <= self.max_source_tokens:
            raise InvalidRequestError(
                f"a source must have 1 to {self.max_source_tokens} tokens, but has {len(source)}"
            )
        if not all(0 <= token < config.src_vocab_size for token in source):
            raise InvalidRequestError(
                f"source ids must be in [0, {config.src_vocab_size}), but are from {min(source)} "
                f"to {max(source)}"
            )
        if generation.beam_size > self.config.max_slots:
            raise InvalidRequestError(
                f"`beam_size` must be at most {self.config.max_slots}, the engine's slots, "
                f"but is {generation.beam_size}"
            )
        limit = generation.target_limit(len(source), config.max_positions)
        sequence = Sequence(
            source_ids=tuple(source),
            search=BeamSearch(generation, eos_id=config.eos_id, max_new_tokens=limit),
            last_tokens=[config.bos_id] * generation.beam_size,
            arrived_at=now,
            deadline=deadline,
        )
        # From here on only the engine may end it: a caller's Future.cancel() must not end the
        # future while its slots are still in use.
        sequence.future.set_running_or_notify_cancel()
        return sequence

    def _close(self, sequence: Sequence) -> Future[SequenceResult]:
        """Forgets a sequence that is done; its future is the caller's to settle."""
        with self._changed:
            self._open.pop(sequence.future, None)
        return sequence.future

    def _end(self) -> None:
        """Answers everybody who still waits."""
        with self._changed:
            self._stopping = True
            left = list(self._open)
            self._open.clear()
            self._submitted.clear()
            self._num_waiting = 0
            self._stats = EngineStats(
                running=0, waiting=0, slots_used=0, max_slots=self.config.max_slots
            )
        for future in left:
            # Whatever one caller's callback raises, the next caller must be answered too.
            with contextlib.suppress(BaseException):
                future.set_exception(EngineDeadError(self._obituary()))

    def _obituary(self) -> str:
        if self._fatal is not None:
            return f"the engine has died: {type(self._fatal).__name__}: {self._fatal}"
        return "the engine has been closed"
