"""One source on its way through the engine."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from enum import Enum, auto
from typing import NamedTuple

from model.config import GenerationConfig, Priority
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.second_pass import SecondPass, second_pass
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.decoding.token_ids import unpacked_ids
from model.engine.named_rows import named_rows
from model.engine.result_future import ResultFuture

__all__ = [
    "FinishReason",
    "Sequence",
    "SequenceResult",
    "SequenceStatus",
    "results_of",
]


class SequenceStatus(Enum):
    """Where a sequence is."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()
    """Translated, cancelled or expired."""


# A member of an enumeration is looked up by Python code, which a name of a module is not.
_WAITING, _BATCH = SequenceStatus.WAITING, Priority.BATCH


class SequenceResult(NamedTuple):
    """What came of one source. Seconds are of the engine's monotonic clock."""

    hypotheses: tuple[Hypothesis, ...]
    """Best first, at least one."""
    source_tokens: int
    """The end token included."""
    target_tokens: int
    """Length of the best hypothesis, the end token included, the target prefix not."""
    queue_seconds: float
    """From submission to admission."""
    encode_seconds: float
    """What encoding its whole batch took."""
    decode_seconds: float
    """From the end of encoding to the last token."""
    time_to_first_token_seconds: float
    """From submission."""


class Sequence:
    """A source, how to search for its target, and where it stands.

    There are tens of thousands in a second: they are cheap to make.

    Args:
        source: token ids, int32 one behind the other (`packed_ids`); the last is the end token.
        generation: how to search.
        max_new_tokens: most target tokens, prefix and end token included: `generation`'s wish
            within the model's limits.
        arrived_at: monotonic seconds, as are all times here.
        options: what is its own.
        deadline: when it is too late.
        priority: whether others go first.
        light_steps: decode steps after which it counts as heavy (see `scheduler`): 0 is from the
            start, None is never.
        on_decided: called on an engine's thread with tokens that its best hypothesis will have,
            behind those of the calls before; None if nobody asks.
        future: what its result is put into; a new one when not given.
        second_pass: set if it is a further search for its source.
    """

    __slots__ = (
        "arrived_at", "beam_size", "deadline", "encode_seconds", "encoded_at", "first_token_at",
        "future", "generation", "heavy", "light_steps", "max_new_tokens", "on_decided", "options",
        "priority", "scheduled_at", "second_pass", "slots", "source", "source_len", "status",
        "waits_in",
    )  # fmt: skip

    def __init__(
        self,
        source: bytes,
        generation: GenerationConfig,
        max_new_tokens: int,
        arrived_at: float,
        options: SequenceOptions = NO_OPTIONS,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        light_steps: int | None = None,
        on_decided: Callable[[tuple[int, ...]], None] | None = None,
        future: ResultFuture[SequenceResult] | None = None,
        second_pass: SecondPass | None = None,
    ) -> None:
        self.source = source
        self.generation = generation
        self.max_new_tokens = max_new_tokens
        self.arrived_at = arrived_at
        self.options = options
        self.deadline = deadline
        self.priority = priority
        self.light_steps = light_steps
        self.on_decided = on_decided
        self.future: ResultFuture[SequenceResult] = future or ResultFuture()
        self.second_pass = second_pass
        # Of the above, which is not changed any more.
        self.beam_size = generation.beam_size
        """Slots it needs."""
        self.source_len = len(source) // 4
        """Tokens to encode."""
        self.heavy = light_steps == 0 or priority is _BATCH
        """Whether it counts as heavy from the start."""
        # The queue's and the scheduler's.
        self.waits_in: object = None
        """The request with which it waits; None when it does not."""
        self.status = _WAITING
        self.slots: list[int] = []
        """One for each hypothesis; the first also names the source's cross-attention entry. Set on
        admission and never changed: a sequence that has finished does not own them any more."""
        self.scheduled_at = 0.0
        # The runner's.
        self.encode_seconds = 0.0
        self.encoded_at = 0.0
        self.first_token_at = 0.0
        """When the first decode step had ended."""

    @property
    def source_ids(self) -> tuple[int, ...]:
        """The source's tokens."""
        return unpacked_ids(self.source)

    @property
    def reports(self) -> bool:
        """Whether runners tell which of its tokens are decided. Where there are phrases, none is
        before the end: a second search may begin anywhere."""
        return self.on_decided is not None and not self.options.phrases

    def whole(self, hypotheses: tuple[Hypothesis, ...]) -> tuple[Hypothesis, ...]:
        """All that has been found, best first: what the search has, with what earlier ones have."""
        return self.second_pass.whole(hypotheses) if self.second_pass else hypotheses

    def again(self, hypotheses: tuple[Hypothesis, ...]) -> Sequence | None:
        """The next search for its source, if it needs one after these; they are whole."""
        if not any(hypothesis.missed for hypothesis in hypotheses):
            return None
        first = self.second_pass.first if self.second_pass else self.options
        following = second_pass(hypotheses, first, self.second_pass)
        if following is None or len(following.options.target_prefix) >= self.max_new_tokens:
            return None
        return Sequence(
            self.source,
            self.generation,
            self.max_new_tokens,
            self.arrived_at,
            following.options,
            self.deadline,
            self.priority,
            self.light_steps,
            self.on_decided,
            self.future,
            following,
        )


def results_of(
    sequences: SequenceOf[Sequence], hypotheses: SequenceOf[tuple[Hypothesis, ...]], now: float
) -> list[SequenceResult]:
    """The outcomes of sequences.

    Args:
        sequences: those that are done.
        hypotheses: of each, best first, at least one.
        now: when they were found.
    """
    best = [each[0] for each in hypotheses]
    stop = FinishReason.STOP
    return named_rows(
        SequenceResult,
        hypotheses,
        [each.source_len for each in sequences],
        [each.num_tokens + (each.finish_reason is stop) for each in best],
        [each.scheduled_at - each.arrived_at for each in sequences],
        [each.encode_seconds for each in sequences],
        [now - each.encoded_at for each in sequences],
        [each.first_token_at - each.arrived_at for each in sequences],
    )
