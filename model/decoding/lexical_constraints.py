"""Lexically constrained search: what phrases, guarded tokens and banned sequences do to a step.

In the midst of a phrase, what continues it is all that there is. Elsewhere only what is impossible
is taken away, and a row whose best token is impossible begins a phrase instead: where that is the
end token, a required one; where it is a guarded token, one that has such tokens. Of several, it is
the one whose places in the source the row attends to, else the likeliest.

A phrase that begins only because the target could not end without it has missed its place. For each
required phrase it is remembered at which step its beginning was likeliest.

Phrases that no longer fit before the limit are not begun. Required ones begin, whatever the
predictions, when only as many tokens are left as their shortest forms have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.decoding.phrases import PhraseMatcher, PhraseState
from model.decoding.sequence_options import SequenceOptions

__all__ = ["LexicalConstraints", "LexicalState", "Missed", "Ruling"]

_NEVER = float("-inf")


class Missed(NamedTuple):
    """A phrase that was begun only because the target could not end without it."""

    begin: int
    """Its first token's place in the target."""
    step: int
    """The step before it in which the model was likeliest to begin it."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What the constraints say of the next token of a hypothesis, beside its probabilities."""

    begun: frozenset[int] = frozenset()
    """Tokens that begin a phrase which must then be written."""
    at_end: bool = False
    """Whether they are begun because the hypothesis would have ended."""
    offers: Mapping[int, float] = field(default_factory=dict)
    """For each required phrase that is left, the log-probability of its likeliest beginning."""


class LexicalState(NamedTuple):
    """What the constraints know of a hypothesis."""

    phrases: PhraseState = PhraseState()
    best_offers: Mapping[int, tuple[float, int]] = {}
    """For each required phrase: the best of the offers that were not taken, and its step."""
    begun_at_end: tuple[int, ...] = ()
    """The steps at which phrases were begun because it would have ended."""


class LexicalConstraints:
    """The rules for the target of one source.

    Args:
        options: of the sequence.
        eos_id: the end token.
    """

    def __init__(self, options: SequenceOptions, eos_id: int) -> None:
        self.matcher = PhraseMatcher(options.phrases, options.guarded)
        self._options = options
        self._eos_id = eos_id
        self._shortest = [min(map(len, phrase.forms)) for phrase in options.phrases]
        self._guarded = [
            any(self.matcher.guards(token) for form in phrase.forms for token in form)
            for phrase in options.phrases
        ]

    def apply(
        self,
        log_probs: NDArray[np.float32],
        free: NDArray[np.float32],
        state: PhraseState,
        history: Sequence[int],
        *,
        room: int,
        attended: int | None = None,
    ) -> Ruling:
        """Changes a row of log-probabilities (V,) in place.

        Args:
            log_probs: under the repetition guard.
            free: without it; guarded tokens and phrases are not subject to it.
            state: of the hypothesis.
            history: its tokens.
            room: tokens that it may still have, the end token included.
            attended: the place in the source to which the row attends most, if it is known.
        """
        step = _Step(self, state, room)
        if state.bound and step.complete is None:
            _keep_only(log_probs, free, step.continuing)
            return Ruling()
        offers = self._offers(free, state)
        possible = step.continuing.union(*step.starts.values())
        exempt = self._lift_guard(log_probs, free, step.continuing, possible)
        begun = frozenset[int]()
        if step.urgent:
            begun = step.beginning(attended, step.required)
            _keep_only(log_probs, free, begun)
            return Ruling(begun=begun, offers=offers)
        banned = _banned(history, self._options.banned)
        log_probs[[*banned - exempt]] = _NEVER
        best = int(log_probs.argmax())
        if best == self._eos_id and step.required:
            begun = step.beginning(attended, step.required)
        elif self.matcher.guards(best) and best not in possible:
            begun = step.beginning(attended, [n for n in step.starts if self._guarded[n]])
        if begun:
            _raise_to(log_probs, free, begun, log_probs[best])
        begun |= banned & step.continuing  # they may only be written as the phrase's
        self._take_away(log_probs, possible, end=not step.required)
        if self.matcher.guards(state.last):
            total = _log_sum(log_probs)
            if total > _NEVER:
                log_probs -= total
        if log_probs.max() == _NEVER:
            log_probs[self._eos_id] = 0.0
        return Ruling(begun=begun, at_end=best == self._eos_id, offers=offers)

    def advance(self, state: LexicalState, token_id: int, ruling: Ruling) -> LexicalState:
        """The state one token later."""
        step = state.phrases.num_tokens
        begun = token_id in ruling.begun
        phrases = self.matcher.advance(state.phrases, token_id, begun=begun)
        if begun and ruling.at_end:
            return LexicalState(phrases, state.best_offers, (*state.begun_at_end, step))
        if phrases.run or len(phrases.spans) > len(state.phrases.spans):
            return state._replace(phrases=phrases)
        better = {
            number: (log_prob, step)
            for number, log_prob in ruling.offers.items()
            if number not in state.best_offers or log_prob > state.best_offers[number][0]
        }
        return state._replace(phrases=phrases, best_offers={**state.best_offers, **better})

    def missed(self, state: LexicalState) -> Missed | None:
        """The first phrase that has missed its place in a hypothesis that ends here."""
        for span in self.matcher.ended(state.phrases).spans:
            if span.begin in state.begun_at_end and span.number in state.best_offers:
                return Missed(span.begin, state.best_offers[span.number][1])
        return None

    def _offers(self, free: NDArray[np.float32], state: PhraseState) -> dict[int, float]:
        if state.run:
            return {}
        phrases = self.matcher.phrases
        left = (n for n in self.matcher.left(state.spans) if phrases[n].required)
        return {n: float(free[[form[0] for form in phrases[n].forms]].max()) for n in left}

    def _lift_guard(
        self,
        log_probs: NDArray[np.float32],
        free: NDArray[np.float32],
        continuing: frozenset[int],
        possible: frozenset[int],
    ) -> frozenset[int]:
        """Restores what no repetition guard and no banned sequence concerns, and returns it."""
        guarded = self._options.guarded
        if guarded is not None:
            log_probs[guarded.table > 0] = free[guarded.table > 0]
        log_probs[[*continuing]] = free[[*continuing]]
        return continuing | frozenset(filter(self.matcher.guards, possible))

    def _take_away(
        self, log_probs: NDArray[np.float32], possible: frozenset[int], *, end: bool
    ) -> None:
        """Makes guarded tokens impossible, but for those that are `possible`, and the end."""
        guarded = self._options.guarded
        if guarded is not None:
            kept = [*filter(self.matcher.guards, possible)]
            values = log_probs[kept]
            log_probs[guarded.table > 0] = _NEVER
            log_probs[kept] = values
        if not end:
            log_probs[self._eos_id] = _NEVER


class _Step:
    """What may be written next in a state.

    Args:
        rules: of the sequence.
        state: of the hypothesis.
        room: see `LexicalConstraints.apply`.
    """

    def __init__(self, rules: LexicalConstraints, state: PhraseState, room: int) -> None:
        matcher, phrases = rules.matcher, rules.matcher.phrases
        self.complete = matcher.complete(state.spans, state.run)
        """The phrase that `state.run` is, where it may go on."""
        left = [n for n in matcher.left(state.spans) if n != self.complete]
        self.required = [n for n in left if phrases[n].required and rules._shortest[n] < room]
        """Those that must be written before the end, and fit."""
        need = {n: rules._shortest[n] for n in self.required}
        full = sum(need.values()) >= room

        def fits(number: int, length: int) -> bool:
            if full and phrases[number].required:
                return length < room
            return length + sum(need.values()) - need.get(number, 0) < room

        forms = [*matcher.continued(state.spans, state.run)] if state.run else []
        longer = [(n, form) for n, form in forms if len(form) > len(state.run)]
        fitting = [each for each in longer if fits(each[0], len(each[1]) - len(state.run))]
        if not fitting and self.complete is None:
            fitting = longer
        self.continuing = frozenset(form[len(state.run)] for _, form in fitting)
        """What continues `state.run`."""
        self.starts = {
            n: frozenset(
                form[0]
                for form in phrases[n].forms
                if fits(n, len(form)) and not matcher.joins(state, form[0])
            )
            for n in left
        }
        """What begins each phrase that is left."""
        self._places = {n: phrases[n].places for n in left}
        self._unbound = self.continuing if self.complete is None else frozenset[int]()
        self.urgent = bool(
            self.required
            and sum(need.values()) >= room - 1
            and (self._unbound or any(self.starts[n] for n in self.required))
        )
        """Whether there is room for the required phrases only."""

    def beginning(self, attended: int | None, among: Iterable[int]) -> frozenset[int]:
        """What begins, or goes on with, one of the phrases: if there is one, that attended to."""
        for number in among:
            places = self._places[number] or range(0)
            if attended in places and self.starts[number]:
                return self.starts[number]
        return self._unbound.union(*(self.starts[number] for number in among))


def _keep_only(
    log_probs: NDArray[np.float32], free: NDArray[np.float32], tokens: frozenset[int]
) -> None:
    kept = sorted(tokens)
    values = free[kept]
    log_probs[:] = _NEVER
    total = _log_sum(values)
    log_probs[kept] = values - total if total > _NEVER else -np.log(np.float32(len(kept)))


def _raise_to(
    log_probs: NDArray[np.float32],
    free: NDArray[np.float32],
    tokens: frozenset[int],
    value: np.float32,
) -> None:
    """The likeliest of the tokens gets the value, the others as much more."""
    raised = sorted(tokens)
    most = free[raised].max()
    log_probs[raised] = free[raised] + (value - most) if most > _NEVER else value


def _log_sum(values: NDArray[np.float32]) -> np.float32:
    most = values.max()
    if most == _NEVER:
        return np.float32(_NEVER)
    return np.float32(most + np.log(np.exp(values - most).sum()))


def _banned(history: Sequence[int], banned: Iterable[Sequence[int]]) -> set[int]:
    """The tokens that would complete one of the sequences."""
    return {
        tokens[-1]
        for tokens in banned
        if len(tokens) == 1 or tuple(history[1 - len(tokens) :]) == tuple(tokens[:-1])
    }
