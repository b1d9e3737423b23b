"""Phrases: token sequences that a target has once each, and where a target has them.

Which tokens may follow in the midst of one is what a search asks; where each was written is what
`trace` finds again in a hypothesis. No tensors, as in `search`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.decoding.sequence_options import SequenceOptions

__all__ = ["GuardedTokens", "Phrase", "PhraseMatcher", "PhraseSpan", "PhraseState", "trace"]


@dataclass(frozen=True)
class Phrase:
    """What a target has at most once, in one of several forms."""

    forms: tuple[tuple[int, ...], ...]
    """Token sequences, one of which is written: with and without a space before, or inflected."""
    places: range | None = None
    """The places in the source that it stands for. Where the model attends to them, it is this
    phrase that is written, if `SequenceOptions.align_to` is set."""
    required: bool = True
    """No target ends without it, if there is room for it."""


class GuardedTokens:
    """Target ids that only a phrase may write. To be made once for a tokenizer, and shared.

    Args:
        ids: digits, placeholders and the like.
        vocab_size: of the target.
        joined: those of `ids` that would be one word with what is written before them. Directly
            behind another guarded token none of them begins a phrase.
    """

    GUARDED = 1
    JOINED = 2

    def __init__(self, ids: Iterable[int], vocab_size: int, joined: Iterable[int] = ()) -> None:
        self.table: NDArray[np.uint8] = np.zeros(vocab_size, dtype=np.uint8)
        """(V,) 0 for a token that is not guarded, GUARDED, or GUARDED | JOINED."""
        self.table[list(ids)] = self.GUARDED
        self.table[list(joined)] = self.GUARDED | self.JOINED
        self.digest = blake2b(self.table.tobytes(), digest_size=16).digest()
        """A digest of the table: equal where that is."""


class PhraseSpan(NamedTuple):
    """Where a target has a phrase: its tokens in [begin, end)."""

    begin: int
    end: int
    number: int
    """Which of `SequenceOptions.phrases`."""


class PhraseState(NamedTuple):
    """What of its phrases a hypothesis has written."""

    num_tokens: int = 0
    last: int = -1
    """The last token."""
    spans: tuple[PhraseSpan, ...] = ()
    """What is complete, and cannot go on."""
    run: tuple[int, ...] = ()
    """The last tokens, if they begin a form of a phrase that is left, or are one that may go on."""
    bound: bool = False
    """Whether `run` must become a form: it has a guarded token, or the search has begun it."""


class PhraseMatcher:
    """Finds phrases in targets, token by token: the first that there is, and its longest form.

    Of phrases with the same form the first one is found first.
    """

    def __init__(self, phrases: Sequence[Phrase], guarded: GuardedTokens | None = None) -> None:
        self.phrases = phrases
        self._guarded = guarded
        self._first = frozenset(form[0] for phrase in phrases for form in phrase.forms if form)
        """What phrases begin with."""

    def guards(self, token_id: int) -> bool:
        """Whether only a phrase may write it."""
        return self._guarded is not None and token_id >= 0 and self._guarded.table[token_id] > 0

    def joins(self, state: PhraseState, token_id: int) -> bool:
        """Whether it would be one word with the guarded token before it."""
        if self._guarded is None or not self.guards(state.last):
            return False
        return bool(self._guarded.table[token_id] & GuardedTokens.JOINED)

    def advance(self, state: PhraseState, token_id: int, *, begun: bool = False) -> PhraseState:
        """The state one token later; `begun` if the search has begun a phrase with it."""
        spans = state.spans
        if not state.run and token_id not in self._first:
            return PhraseState(state.num_tokens + 1, token_id, spans)
        pending = (*state.run, token_id)
        begin = state.num_tokens - len(state.run)
        bound = state.bound
        while pending and not any(True for _ in self.continued(spans, pending)):
            length, number = self._longest(spans, pending)
            if number is not None:
                spans = (*spans, PhraseSpan(begin, begin + length, number))
            pending, begin = pending[length:], begin + length
            bound = False
        number = self.complete(spans, pending)
        if number is not None and not self._goes_on(spans, pending):
            spans = (*spans, PhraseSpan(begin, begin + len(pending), number))
            pending = ()
        bound = bool(pending) and (bound or begun or any(map(self.guards, pending)))
        return PhraseState(state.num_tokens + 1, token_id, spans, pending, bound)

    def ended(self, state: PhraseState) -> PhraseState:
        """The state with all that is complete, if nothing follows."""
        spans, pending = state.spans, state.run
        begin = state.num_tokens - len(pending)
        while pending:
            length, number = self._longest(spans, pending)
            if number is not None:
                spans = (*spans, PhraseSpan(begin, begin + length, number))
            pending, begin = pending[length:], begin + length
        return state._replace(spans=spans, run=(), bound=False)

    def left(self, spans: Iterable[PhraseSpan]) -> list[int]:
        """The numbers of the phrases that are not in `spans`."""
        written = {span.number for span in spans}
        return [number for number in range(len(self.phrases)) if number not in written]

    def continued(
        self, spans: Iterable[PhraseSpan], run: tuple[int, ...]
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """(number, form) of the phrases that are left and begin with `run`, or are it."""
        for number in self.left(spans):
            for form in self.phrases[number].forms:
                if form[: len(run)] == run:
                    yield number, form

    def complete(self, spans: Iterable[PhraseSpan], run: tuple[int, ...]) -> int | None:
        """The phrase that is left and has the form `run`."""
        if not run:
            return None
        return next((number for number, form in self.continued(spans, run) if form == run), None)

    def _goes_on(self, spans: Iterable[PhraseSpan], run: tuple[int, ...]) -> bool:
        return any(len(form) > len(run) for _, form in self.continued(spans, run))

    def _longest(self, spans: Iterable[PhraseSpan], run: tuple[int, ...]) -> tuple[int, int | None]:
        """Length and phrase of the longest form that `run` begins with, else (1, None)."""
        for length in range(len(run), 0, -1):
            number = self.complete(spans, run[:length])
            if number is not None:
                return length, number
        return 1, None


def trace(token_ids: Sequence[int], options: SequenceOptions) -> list[PhraseSpan]:
    """Where each phrase is in a hypothesis, in order.

    Args:
        token_ids: of the hypothesis, without its target prefix and the end token.
        options: of its sequence. What the target prefix has of a phrase is not in the answer, nor
            is what only begins in it.
    """
    if not options.phrases:
        return []
    matcher = PhraseMatcher(options.phrases, options.guarded)
    state = PhraseState()
    for token_id in (*options.target_prefix, *token_ids):
        state = matcher.advance(state, token_id)
    given = len(options.target_prefix)
    return [
        PhraseSpan(span.begin - given, span.end - given, span.number)
        for span in matcher.ended(state).spans
        if span.begin >= given
    ]
