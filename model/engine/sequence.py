"""One source on its way through the engine."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import NamedTuple

from model.config import GenerationConfig, Priority
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.second_pass import SecondPass, second_pass
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.engine.named_rows import named_rows
from model.engine.result_future import ResultFuture

__all__ = ["FinishReason", "Sequence", "SequenceResult", "SequenceStatus", "results_of"]


class SequenceStatus(Enum):
    """Where a sequence is."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()
    """Translated, cancelled or expired."""


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


@dataclass(eq=False, kw_only=True, slots=True)
class Sequence:
    """A source, how to search for its target, and where it stands."""

    source_ids: tuple[int, ...]
    """Ends with the end token."""
    generation: GenerationConfig
    options: SequenceOptions = NO_OPTIONS
    max_new_tokens: int
    """Most target tokens, prefix and end token included: `generation`'s wish within the model's
    limits."""
    arrived_at: float
    """Monotonic seconds, as are all times here."""
    deadline: float | None = None
    priority: Priority = Priority.INTERACTIVE
    light_steps: int | None = None
    """Decode steps after which it counts as heavy (see `scheduler`): 0 is from the start, None is
    never."""
    future: ResultFuture[SequenceResult] = field(default_factory=ResultFuture)
    second_pass: SecondPass | None = None
    """Set if it is a further search for its source."""
    on_decided: Callable[[tuple[int, ...]], None] | None = None
    """Called on an engine's thread with tokens that its best hypothesis will have, behind those of
    the calls before; None if nobody asks."""

    # Of the above, which is not changed any more.
    beam_size: int = field(init=False)
    """Slots it needs."""
    source_len: int = field(init=False)
    """Tokens to encode."""
    heavy: bool = field(init=False)
    """Whether it counts as heavy from the start."""

    # The scheduler's.
    status: SequenceStatus = SequenceStatus.WAITING
    slots: list[int] = field(default_factory=list)
    """One for each hypothesis; the first also names the source's cross-attention entry. Set on
    admission and never changed: a sequence that has finished does not own them any more."""
    scheduled_at: float = 0.0

    # The runner's.
    encode_seconds: float = 0.0
    encoded_at: float = 0.0
    first_token_at: float = 0.0
    """When the first decode step had ended."""

    def __post_init__(self) -> None:
        self.beam_size = self.generation.beam_size
        self.source_len = len(self.source_ids)
        self.heavy = self.light_steps == 0 or self.priority is Priority.BATCH

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
        return replace(
            self,
            options=following.options,
            second_pass=following,
            status=SequenceStatus.WAITING,
            slots=[],
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
        [len(each.token_ids) + (each.finish_reason is stop) for each in best],
        [each.scheduled_at - each.arrived_at for each in sequences],
        [each.encode_seconds for each in sequences],
        [now - each.encoded_at for each in sequences],
        [each.first_token_at - each.arrived_at for each in sequences],
    )
