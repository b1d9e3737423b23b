"""One source on its way through the engine."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto

from model.decoding.search import BeamSearch, FinishReason, Hypothesis

__all__ = ["FinishReason", "Sequence", "SequenceResult", "SequenceStatus"]


class SequenceStatus(Enum):
    """Where a sequence is."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(frozen=True, kw_only=True)
class SequenceResult:
    """What came of one source. Seconds are of the engine's monotonic clock."""

    hypotheses: tuple[Hypothesis, ...]
    """Best first, at least one."""
    source_tokens: int
    """The end token included."""
    target_tokens: int
    """Of the best hypothesis, the end token included."""
    queue_seconds: float
    """From submission to the start of encoding."""
    encode_seconds: float
    """Of the batch it was encoded in."""
    decode_seconds: float
    """From the end of encoding to the last token."""
    time_to_first_token_seconds: float
    """From submission."""


@dataclass(eq=False, kw_only=True)
class Sequence:
    """A source, its search and its slots. Only the engine's thread changes it."""

    source_ids: tuple[int, ...]
    """Ends with the end token."""
    search: BeamSearch
    last_tokens: list[int]
    """What each live hypothesis feeds into the next step."""
    arrived_at: float
    """Monotonic seconds, as are all times here."""
    deadline: float | None = None
    future: Future[SequenceResult] = field(default_factory=Future)
    status: SequenceStatus = SequenceStatus.WAITING
    slots: list[int] = field(default_factory=list)
    """One for each hypothesis; the first also holds the source's cross-attention entry."""
    position: int = 0
    """Of the tokens that are fed next."""
    scheduled_at: float = 0.0
    encoded_at: float = 0.0
    encode_seconds: float = 0.0
    first_token_at: float = 0.0

    @property
    def beam_size(self) -> int:
        """How many slots it needs."""
        return self.search.beam_size

    @property
    def source_len(self) -> int:
        """Tokens to encode."""
        return len(self.source_ids)

    def result(self, now: float) -> SequenceResult:
        """The outcome of a search that is done.

        Raises:
            RuntimeError: the search found nothing, which only numbers that are not finite cause.
                They stay in the KV cache, so the engine must not go on.
        """
        hypotheses = self.search.hypotheses()
        if not hypotheses:
            raise RuntimeError("the model's predictions must be finite, but are not")
        best = hypotheses[0]
        ended = best.finish_reason is FinishReason.STOP
        return SequenceResult(
            hypotheses=hypotheses,
            source_tokens=self.source_len,
            target_tokens=len(best.token_ids) + int(ended),
            queue_seconds=self.scheduled_at - self.arrived_at,
            encode_seconds=self.encode_seconds,
            decode_seconds=now - self.encoded_at,
            time_to_first_token_seconds=self.first_token_at - self.arrived_at,
        )
