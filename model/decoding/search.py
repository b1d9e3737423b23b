"""Beam search over the candidates of one source (section 6.1). Greedy search is a beam of one.

No tensors: a search is fed the best continuations of its live hypotheses and answers which of them
live on. Hypotheses share their past through parent links, so a step costs O(beam_size).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from model.config import GenerationConfig, LengthNormalization, SearchRules
from model.decoding.finish_reason import FinishReason
from model.decoding.lexical_constraints import LexicalConstraints, LexicalState, Missed, Ruling
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.decoding.token_ids import packed_ids, unpacked_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BeamSearch",
    "Candidate",
    "FinishReason",
    "Hypothesis",
    "Survivor",
    "common_beginning",
    "length_penalty",
]


class Hypothesis(NamedTuple):
    """One finished translation of one source."""

    target: bytes
    """Token ids, int32 one behind the other (`packed_ids`), without the end token and without the
    target prefix. A million of them come in a second: none is an object."""
    score: float
    """`log_prob` divided by the length penalty; hypotheses are ranked by it."""
    log_prob: float
    """Sum of the natural log-probabilities, the end token's included."""
    finish_reason: FinishReason
    attended: tuple[int, ...] = ()
    """For each step, from the one that predicted the first of `token_ids` to the last one, which
    predicted the end token if there is one: the place in the source to which the model's alignment
    heads attend most. Empty if nobody asks (`SequenceOptions.align_to`)."""
    missed: Missed | None = None
    """The first of `SequenceOptions.phrases` that has missed its place; counted from the first of
    `token_ids`."""

    @property
    def token_ids(self) -> tuple[int, ...]:
        """`target` as numbers; made anew by each call."""
        return unpacked_ids(self.target)

    @property
    def num_tokens(self) -> int:
        """Tokens of `target`."""
        return len(self.target) // 4


class Candidate(NamedTuple):
    """A live hypothesis and one more token."""

    parent: int
    """Which of the live hypotheses, counted from 0."""
    token_id: int
    log_prob: float
    """Log-probability of the whole hypothesis."""


class Survivor(NamedTuple):
    """A live hypothesis of the next step."""

    parent: int
    """Whose past it continues: a row of this step."""
    token_id: int


class _Node(NamedTuple):
    token_id: int
    parent: _Node | None
    attended: int
    """By the step that predicted it; 0 if nobody asks."""
    lexical: LexicalState
    """What the lexical constraints know of the target up to this token."""


def length_penalty(length: int, generation: GenerationConfig) -> float:
    """What the log-probability of so many tokens is divided by: see LengthNormalization."""
    gnmt = generation.length_normalization is LengthNormalization.GNMT
    return float(((5 + length) / 6 if gnmt else length) ** generation.length_penalty)


def common_beginning(histories: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens with which all of some hypotheses begin; there is at least one."""
    first, *others = histories
    count = 0
    for token_id, *of_others in zip(first, *others, strict=False):
        if any(other != token_id for other in of_others):
            break
        count += 1
    return first[:count]


class BeamSearch:
    """The hypotheses of one source, from the first step to the last.

    Args:
        generation: how to search; what guards predictions is read by `candidates`.
        eos_id: the end token.
        max_new_tokens: most tokens of a hypothesis, those of its prefix and the end token included.
        options: of the sequence; its prefix is forced, step by step.
        source_copies: `most_copies` of the source.
    """

    def __init__(
        self,
        generation: GenerationConfig,
        *,
        eos_id: int,
        max_new_tokens: int,
        options: SequenceOptions = NO_OPTIONS,
        source_copies: int = 1,
    ) -> None:
        self.beam_size = generation.beam_size
        self.generation = generation
        self.options = options
        self.source_copies = source_copies
        self._eos_id = eos_id
        self._max_new_tokens = max_new_tokens
        self._finished: list[Hypothesis] = []
        self._attended: Sequence[int] = [0] * self.beam_size
        self.constraints = (
            LexicalConstraints(options, eos_id) if options.lexically_constrained else None
        )
        self._rulings = [Ruling()] * self.beam_size
        self._live: list[_Node | None] = [None] * self.beam_size
        # One hypothesis to begin with: the other rows are copies that must not be chosen.
        self.live_log_probs = [0.0] + [float("-inf")] * (self.beam_size - 1)
        self.num_tokens = 0
        self.done = False

    def forced(self) -> list[Candidate] | None:
        """All continuations that the next step may have, where no prediction decides; else None."""
        prefix = self.options.target_prefix
        if self.num_tokens < len(prefix):
            token_id = prefix[self.num_tokens]
        elif self.generation.forced_end and self.num_tokens == self._max_new_tokens - 1:
            token_id = self._eos_id
        else:
            return None
        return [Candidate(row, token_id, each) for row, each in enumerate(self.live_log_probs)]

    def advance(
        self, candidates: Sequence[Candidate], attended: Sequence[int] | None = None
    ) -> list[Survivor]:
        """Takes one step.

        Args:
            candidates: the best continuations of all live hypotheses, best first; 2 * beam_size of
                them (1 for a beam of one), so that end tokens cannot crowd out what lives on; or
                what `forced` gave.
            attended: where in the source each live hypothesis looks in this step, if asked for.

        Returns:
            The `beam_size` survivors in row order, or nothing when the search is done.
        """
        self.num_tokens += 1
        if attended is not None:
            self._attended = attended
        full = self.num_tokens >= self._max_new_tokens
        compete = full and self.generation.search is not SearchRules.PAPER
        survivors: list[Candidate] = []
        width = self.beam_size
        if self.generation.search is SearchRules.MARIAN:
            width -= len(self._finished)
            candidates = candidates[:width]
        for rank, candidate in enumerate(candidates):
            ends = candidate.token_id == self._eos_id
            # An end token below the beam would have been pruned, had it not been an end token.
            if (ends or compete) and rank < width and candidate.log_prob > float("-inf"):
                self._finish(candidate)
            if not ends:
                survivors.append(candidate)
            if len(survivors) == width:
                break
        if self.generation.search is SearchRules.MARIAN:
            # Rows that nobody will choose.
            missing = self.beam_size - len(survivors)
            survivors += [Candidate(0, self._eos_id, float("-inf"))] * missing
        if full:
            self.done = True
            if not compete:
                self._cut_off(survivors)
        else:
            self.done = self._cannot_improve(survivors)
        if self.done:
            return []
        self._live = [self._extend(candidate) for candidate in survivors]
        self._rulings = [Ruling()] * self.beam_size
        self.live_log_probs = [candidate.log_prob for candidate in survivors]
        return [Survivor(candidate.parent, candidate.token_id) for candidate in survivors]

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The best `num_hypotheses` finished ones, best first."""
        ranked = sorted(self._finished, key=lambda hypothesis: -hypothesis.score)
        return tuple(ranked[: self.generation.num_hypotheses])

    def history(self, row: int) -> list[int]:
        """The target tokens of a live hypothesis so far."""
        return _token_ids(self._live[row])

    def decided(self) -> tuple[int, ...]:
        """The first tokens, behind the prefix, of whatever hypothesis becomes the best: those that
        all live ones have, and the best of the finished ones."""
        given = len(self.options.target_prefix)
        candidates = [
            tuple(_token_ids(node)[given:])
            for node, log_prob in zip(self._live, self.live_log_probs, strict=True)
            if log_prob > float("-inf")
        ]
        if self._finished:
            candidates.append(max(self._finished, key=lambda each: each.score).token_ids)
        return common_beginning(candidates)

    def constrain(
        self,
        row: int,
        log_probs: NDArray[np.float32],
        free: NDArray[np.float32],
        attended: int | None,
    ) -> None:
        """Applies phrases, guarded tokens and banned sequences to the next step of a hypothesis.

        Args:
            row: of the live hypothesis.
            log_probs: (V,) its log-probabilities under the repetition guard; changed in place.
            free: (V,) without it.
            attended: where in the source it looks in this step, if asked for.
        """
        if self.constraints is None or self.live_log_probs[row] == float("-inf"):
            return
        self._rulings[row] = self.constraints.apply(
            log_probs,
            free,
            self._lexical(self._live[row]).phrases,
            self.history(row),
            room=self._max_new_tokens - self.num_tokens,
            attended=attended,
        )

    def _lexical(self, node: _Node | None) -> LexicalState:
        return LexicalState() if node is None else node.lexical

    def _missed(self, last: _Node | None) -> Missed | None:
        if self.constraints is None or last is None:
            return None
        missed = self.constraints.missed(last.lexical)
        given = len(self.options.target_prefix)
        return missed and Missed(missed.begin - given, missed.step - given)

    def _extend(self, candidate: Candidate) -> _Node:
        parent, token_id = candidate.parent, candidate.token_id
        lexical = self._lexical(self._live[parent])
        if self.constraints is not None:
            lexical = self.constraints.advance(lexical, token_id, self._rulings[parent])
        return _Node(token_id, self._live[parent], self._attended[parent], lexical)

    def _finish(self, candidate: Candidate) -> None:
        """It has ended, by the end token unless the limit forced that, or was cut off."""
        ends = candidate.token_id == self._eos_id
        last = self._extend(candidate)
        full = self.num_tokens >= self._max_new_tokens
        stopped = ends and not (full and self.generation.forced_end)
        given = len(self.options.target_prefix)
        token_ids = _token_ids(last.parent if ends else last)
        asked = self.options.align_to is not None
        self._finished.append(
            Hypothesis(
                target=packed_ids(token_ids[given:]),
                score=candidate.log_prob / length_penalty(self.num_tokens, self.generation),
                log_prob=candidate.log_prob,
                finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
                attended=tuple(_attended(last)[given:]) if asked else (),
                missed=self._missed(last.parent if ends else last),
            )
        )
        if self.generation.search is SearchRules.TRANSFORMERS:
            self._finished.sort(key=lambda hypothesis: -hypothesis.score)
            del self._finished[self.beam_size :]

    def _cut_off(self, survivors: Sequence[Candidate]) -> None:
        """No room for another token. What ended by itself is preferred over what was cut off."""
        missing = self.generation.num_hypotheses - len(self._finished)
        for candidate in survivors[: max(missing, 0)]:
            if candidate.log_prob > float("-inf"):
                self._finish(candidate)

    def _cannot_improve(self, survivors: Sequence[Candidate]) -> bool:
        if len(survivors) < self.beam_size or survivors[0].log_prob == float("-inf"):
            return True
        if self.generation.search is SearchRules.MARIAN:
            return False
        num_finished = len(self._finished)
        if self.generation.search is SearchRules.TRANSFORMERS:
            # The guess is that a hypothesis becomes no better than it is by now.
            wanted, length = self.beam_size, self.num_tokens
        elif num_finished >= self.beam_size:
            return True
        else:
            # Log-probabilities only fall, and the penalty divides by at most its value at the
            # limit.
            wanted, length = self.generation.num_hypotheses, self._max_new_tokens
        if num_finished < wanted:
            return False
        best_possible = survivors[0].log_prob / length_penalty(length, self.generation)
        worst_kept = sorted((h.score for h in self._finished), reverse=True)[wanted - 1]
        return best_possible <= worst_kept


def _path(node: _Node | None) -> list[_Node]:
    path = []
    while node is not None:
        path.append(node)
        node = node.parent
    return path[::-1]


def _token_ids(node: _Node | None) -> list[int]:
    return [each.token_id for each in _path(node)]


def _attended(node: _Node) -> list[int]:
    return [each.attended for each in _path(node)]
