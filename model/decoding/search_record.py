"""The search for the target of one source, with all that it has looked at: no torch in here.

The same search as that of the engine, with the same `BeamSearch`, on the network in NumPy and in
float32: what it finds may differ from what an engine finds that rounds otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.config import GenerationConfig
from model.decoding.candidate_state import CandidateState
from model.decoding.repeats import banned_tokens, most_copies
from model.decoding.search import BeamSearch, Candidate, Hypothesis, Survivor, length_penalty
from model.decoding.sequence_options import SequenceOptions
from model.errors import InvalidRequestError
from model.network.step_decoder import StepDecoder
from model.network.weights import Floats, Weights

__all__ = ["SearchNode", "SearchRecord", "record_search"]

_NEVER = float("-inf")


class SearchNode(NamedTuple):
    """A candidate: a hypothesis and one more token."""

    parent: int | None
    """The node that it continues; None at the beginning."""
    token_id: int
    log_prob: float
    """Log-probability of the whole hypothesis."""
    state: CandidateState
    score: float | None
    """The score of a finished hypothesis, by which these are ranked."""


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """All candidates that a search has looked at."""

    nodes: tuple[SearchNode, ...]
    """Step by step, those of a step best first."""
    best: tuple[int, ...]
    """The nodes of the best hypothesis, from its first token to its last."""
    hypotheses: tuple[Hypothesis, ...]
    """What the search has found, best first."""


def record_search(
    weights: Weights,
    source_ids: Sequence[int],
    generation: GenerationConfig,
    options: SequenceOptions,
    *,
    most_candidates: int,
    check: Callable[[], None] = lambda: None,
) -> SearchRecord:
    """Searches for the target of a source.

    Args:
        weights: of the model.
        source_ids: S of them, with the end token.
        generation: how to search.
        options: what the search is bound to.
        most_candidates: that the record may have.
        check: called before each layer of each step; may raise.

    Raises:
        InvalidRequestError: the search looks at more candidates.
    """
    config = weights.config
    limit = generation.target_limit(len(source_ids), config.max_positions)
    search = _RecordedSearch(
        generation,
        eos_id=config.eos_id,
        max_new_tokens=limit,
        options=options,
        source_copies=most_copies(source_ids),
    )
    decoder = StepDecoder(weights, source_ids, check)
    last_tokens = [config.bos_id] * generation.beam_size
    while not search.done:
        logits, attention = decoder.step(last_tokens)
        attended = _attended(options, attention)
        candidates = _candidates(logits, search, config.eos_id, attended)
        survivors = search.advance(candidates, attended)
        if len(search.nodes) > most_candidates:
            raise InvalidRequestError(
                f"the search must look at no more than {most_candidates} candidates, but has "
                f"looked at {len(search.nodes)}: a shorter sentence or a narrower beam has fewer"
            )
        last_tokens = [survivor.token_id for survivor in survivors]
        if survivors:
            decoder.reorder([survivor.parent for survivor in survivors])
    return search.record()


class _RecordedSearch(BeamSearch):
    """A search that takes note of its candidates."""

    nodes: list[SearchNode]
    _rows: list[int | None]
    """The node of each live hypothesis."""
    _ended: set[tuple[int, int]]
    """The parents and tokens of those that have ended in this step."""

    def advance(
        self, candidates: Sequence[Candidate], attended: Sequence[int] | None = None
    ) -> list[Survivor]:
        """See `BeamSearch`."""
        if not self.num_tokens:
            self.nodes, self._rows = [], [None] * self.beam_size
        self._ended = set()
        survivors = super().advance(candidates, attended)
        kept = {(each.parent, each.token_id) for each in survivors}
        numbers: dict[tuple[int, int], int] = {}
        for candidate in candidates:
            if candidate.log_prob > _NEVER:
                place = candidate.parent, candidate.token_id
                numbers[place] = len(self.nodes)
                self.nodes.append(self._node(candidate, place, place in kept))
        self._rows = [numbers.get((each.parent, each.token_id)) for each in survivors]
        return survivors

    def record(self) -> SearchRecord:
        """What has been noted of a search that is done."""
        hypotheses = self.hypotheses()
        ended = [
            number for number, node in enumerate(self.nodes) if node.state is CandidateState.ENDED
        ]
        wanted = hypotheses[0].token_ids
        given = len(self.options.target_prefix)
        paths = (self._path(number) for number in ended)
        best = next(path for path in paths if self._written(path)[given:] == wanted)
        return SearchRecord(nodes=tuple(self.nodes), best=best, hypotheses=hypotheses)

    def _finish(self, candidate: Candidate) -> None:
        self._ended.add((candidate.parent, candidate.token_id))
        super()._finish(candidate)

    def _node(self, candidate: Candidate, place: tuple[int, int], is_kept: bool) -> SearchNode:
        state = CandidateState.KEPT if is_kept else CandidateState.PRUNED
        score = None
        if place in self._ended:
            state = CandidateState.ENDED
            score = candidate.log_prob / length_penalty(self.num_tokens, self.generation)
        parent = self._rows[candidate.parent]
        return SearchNode(parent, candidate.token_id, candidate.log_prob, state, score)

    def _path(self, number: int | None) -> tuple[int, ...]:
        path: list[int] = []
        while number is not None:
            path.append(number)
            number = self.nodes[number].parent
        return tuple(reversed(path))

    def _written(self, path: Sequence[int]) -> tuple[int, ...]:
        """The tokens of a path, without the end token."""
        tokens = (self.nodes[number].token_id for number in path)
        return tuple(token for token in tokens if token != self._eos_id)


def _attended(options: SequenceOptions, attention: Floats) -> list[int] | None:
    """Where in the source each hypothesis attends most, if that is asked for; see
    `model.decoding.alignment`."""
    if (among := options.align_to) is None:
        return None
    best = attention[:, among.start : among.stop].argmax(axis=1)
    return [int(place) + among.start for place in best]


def _candidates(
    logits: Floats, search: BeamSearch, eos_id: int, attended: Sequence[int] | None
) -> Sequence[Candidate]:
    """What `model.decoding.candidates` says, in NumPy.

    Args:
        logits: (B, V), a row for each live hypothesis; may be written to.
        search: of the source.
        eos_id: the end token.
        attended: where each row looks, if asked for.
    """
    if (forced := search.forced()) is not None:
        return forced
    scores = logits
    if (allowed := search.options.predictable) is not None:
        scores = np.full_like(logits, _NEVER)
        scores[:, allowed] = logits[:, allowed]
    most = scores.max(axis=1, keepdims=True)
    log_probs = scores - (most + np.log(np.exp(scores - most).sum(axis=1, keepdims=True)))
    for row, of_row in enumerate(log_probs):
        place = None if attended is None else attended[row]
        _constrain(of_row, search, row, eos_id, place)
    totals = log_probs + np.array(search.live_log_probs, np.float32)[:, None]
    width = 1 if search.beam_size == 1 else min(2 * search.beam_size, totals.size)
    best = np.argpartition(-totals, width - 1, axis=None)[:width]
    places = best[np.argsort(-totals.flat[best], kind="stable")]
    rows, tokens = np.unravel_index(places, totals.shape)
    return [
        Candidate(int(row), int(token), float(totals[row, token]))
        for row, token in zip(rows, tokens, strict=True)
    ]


def _constrain(
    log_probs: Floats, search: BeamSearch, row: int, eos_id: int, attended: int | None
) -> None:
    """Applies the repetition guard and the lexical constraints to a row (V,), in place."""
    generation, history = search.generation, search.history(row)
    free = log_probs.copy() if search.constraints else log_probs
    if history:
        if generation.repetition_penalty != 1.0:
            log_probs[sorted(set(history))] *= np.float32(generation.repetition_penalty)
        banned = banned_tokens(history, generation, eos_id, search.source_copies)
        log_probs[sorted(banned)] = _NEVER
    search.constrain(row, log_probs, free, attended)
