"""What searches left behind on the device, as hypotheses. See `SlotMemory.trace`.

Tens of thousands of sequences end in a second: those that end together are looked at together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import GenerationConfig, LengthNormalization
from model.decoding.lexical_constraints import Missed
from model.decoding.search import FinishReason, Hypothesis
from model.engine.cuda.kernels.slot_memory import ENDED, ENDED_PER_SLOT
from model.engine.cuda.lexical import HostSearch
from model.engine.named_rows import named_rows
from model.engine.sequence import Sequence as SourceSequence

__all__ = ["SearchTraces"]

_Integers = NDArray[np.signedinteger[Any]]


class SearchTraces:
    """Rows of the trace of searches that have equally many beams, read on the host.

    S sequences, K beams, P positions.

    Args:
        rows: (S * K, 2P + 8), those of a sequence one behind the other.
        num_beams: K.
        attended: (S * K, P) of the same rows, if some of the sequences ask for it.
    """

    def __init__(
        self,
        rows: NDArray[np.int32],
        num_beams: int,
        attended: NDArray[np.int32] | None = None,
    ) -> None:
        self._beams = num_beams
        self._attended = attended
        positions = (rows.shape[1] - 4 * ENDED_PER_SLOT) // 2
        self._tokens = rows[:, :positions]
        self._parents = rows[:, positions : 2 * positions]
        # (4, S, 2K): entry by entry
        endings = rows[:, 2 * positions :].reshape(-1, num_beams, 4, ENDED_PER_SLOT)
        log_probs, beams, lengths, last = (
            np.ascontiguousarray(endings[:, :, kind]).reshape(-1, num_beams * ENDED_PER_SLOT)
            for kind in range(4)
        )
        self._log_probs = log_probs.view(np.float32).astype(np.float64)
        self._ended_beams, self._lengths, self._last = beams, lengths, last

    def hypotheses(
        self,
        sequences: Sequence[SourceSequence],
        num_ended: NDArray[np.int32],
        searches: Sequence[HostSearch | None],
    ) -> list[tuple[Hypothesis, ...]]:
        """The best `num_hypotheses` of each search, all of which are done, best first.

        Args:
            sequences: the S sequences.
            num_ended: (S,) hypotheses that have ended, from 1 to 2K - 1.
            searches: what the host knows of each that has phrases.
        """
        generations = [sequence.generation for sequence in sequences]
        scores = self._scores(generations, num_ended)
        order = np.argsort(-scores, axis=1, kind="stable")
        wanted = np.array([generation.num_hypotheses for generation in generations])
        counts = np.minimum(wanted, num_ended)
        # M hypotheses: number of the sequence, entry
        owners = np.repeat(np.arange(len(sequences)), counts)
        first = np.cumsum(counts) - counts
        entries = order[owners, np.arange(len(owners)) - first[owners]]
        given = np.array([len(sequence.options.target_prefix) for sequence in sequences])[owners]
        paths = self._paths(owners, entries)
        token_ids = self._token_ids(owners, entries, paths, given)
        places = self._places(sequences, owners, entries, paths, given)
        stop, length = FinishReason.STOP, FinishReason.LENGTH
        missed: list[Missed | None] = [None] * len(owners)
        for number, owner in enumerate(owners.tolist() if any(searches) else ()):
            if (search := searches[owner]) is not None:
                missed[number] = self._missed(search, owner, int(entries[number]))
        stopped = (self._last[owners, entries] == ENDED).tolist()
        found = named_rows(
            Hypothesis,
            token_ids,
            scores[owners, entries].tolist(),
            self._log_probs[owners, entries].tolist(),
            [stop if each else length for each in stopped],
            places,
            missed,
        )
        if len(found) == len(sequences):
            return list(zip(found, strict=True))
        begins = first.tolist()
        return [
            tuple(found[begin : begin + count])
            for begin, count in zip(begins, counts.tolist(), strict=True)
        ]

    def decided(
        self,
        sequences: Sequence[SourceSequence],
        positions: NDArray[np.int32],
        num_ended: NDArray[np.int32],
        live: NDArray[np.bool_],
    ) -> list[tuple[int, ...]]:
        """What is decided of searches that go on: see `BeamSearch.decided`.

        Args:
            sequences: the S sequences.
            positions: (S,) of the tokens that are fed next: the number of those that there are.
            num_ended: (S,) hypotheses that have ended.
            live: (S, K) the beams that go on, at least one of each.
        """
        each, beams = np.arange(len(sequences)), np.arange(self._beams)
        owners = np.repeat(each, self._beams)
        paths = self._rows_back(owners, np.tile(beams, len(sequences)), positions[owners])
        longest = len(paths) - 1
        place = np.arange(longest)
        # (S, K, T): the token at place t was fed at position t + 1.
        tokens = self._tokens[paths[1:].T, place + 1].reshape(*live.shape, longest)
        first = tokens[each, live.argmax(axis=1)]
        agrees = ((tokens == first[:, None]) | ~live[:, :, None]).all(axis=1)
        agrees &= place < positions[:, None]
        has = np.flatnonzero(num_ended)
        if len(has):
            scores = self._scores([sequence.generation for sequence in sequences], num_ended)
            entries = scores.argmax(axis=1)[has]
            best, lengths = self._tokens_of(has, entries, self._paths(has, entries))
            shared = min(longest, best.shape[1])
            agrees[has, :shared] &= best[:, :shared] == first[has, :shared]
            agrees[has] &= place < lengths[:, None]
        count = np.logical_and.accumulate(agrees, axis=1).sum(axis=1).tolist()
        return [
            tuple(first[number, len(sequence.options.target_prefix) : count[number]].tolist())
            for number, sequence in enumerate(sequences)
        ]

    def _scores(
        self, generations: list[GenerationConfig], num_ended: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """(S, 2K), by `model.decoding.search.length_penalty`; -inf where nothing has ended."""
        exponents = np.array([generation.length_penalty for generation in generations])
        gnmt = np.array(
            [
                generation.length_normalization is LengthNormalization.GNMT
                for generation in generations
            ]
        )
        lengths = np.maximum(self._lengths, 1).astype(np.float64)
        penalties = np.where(gnmt[:, None], (5 + lengths) / 6, lengths) ** exponents[:, None]
        has_ended = np.arange(lengths.shape[1]) < num_ended[:, None]
        log_probs = np.where(has_ended, self._log_probs, -np.inf)
        scores: NDArray[np.float64] = log_probs / penalties
        return scores

    def _paths(self, owners: _Integers, entries: _Integers) -> _Integers | None:
        """(T, M) row at each position of ended hypotheses; None with one beam, which has one row.

        Behind the last position of a hypothesis its row stays what it was there.
        """
        if self._beams == 1:
            return None
        fed = self._lengths[owners, entries] - 1
        return self._rows_back(owners, self._ended_beams[owners, entries], fed)

    def _rows_back(self, owners: _Integers, beams: _Integers, fed: _Integers) -> _Integers:
        """(T, M) rows, see `_paths`, of hypotheses whose last token was fed at `fed`."""
        longest = int(fed.max(initial=0))
        if self._beams == 1:
            return np.broadcast_to(owners, (longest + 1, len(owners)))
        row = owners * self._beams + beams
        paths = np.empty((longest + 1, len(owners)), dtype=np.intp)
        # What can be done for all positions at once, is.
        first = np.arange(len(self._parents)) // self._beams * self._beams
        parents = np.ascontiguousarray(self._parents[:, : longest + 1].T) + first
        began = fed >= np.arange(longest + 1)[:, None]
        for position in range(longest, 0, -1):
            paths[position] = row
            row = np.where(began[position], parents[position].take(row), row)
        paths[0] = row
        return paths

    def _tokens_of(
        self, owners: _Integers, entries: _Integers, paths: _Integers | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(M, T) tokens of ended hypotheses, and how many there are without the end token."""
        lengths, last = self._lengths[owners, entries], self._last[owners, entries]
        longest = int(lengths.max(initial=1))
        # The token at place t was fed at position t + 1, unless it is the last of all.
        if paths is None:
            tokens = self._tokens[owners, 1:longest]
        else:
            tokens = self._tokens[paths[1:].T, np.arange(1, longest)]
        tokens = np.concatenate([tokens, np.zeros((len(owners), 1), np.int32)], axis=1)
        cut = last >= 0
        tokens[cut, lengths[cut] - 1] = last[cut]
        return tokens, lengths - ~cut

    def _token_ids(
        self, owners: _Integers, entries: _Integers, paths: _Integers | None, given: _Integers
    ) -> list[tuple[int, ...]]:
        """Those, without what is given."""
        tokens, ends = self._tokens_of(owners, entries, paths)
        ends = np.maximum(given, ends)
        place = np.arange(tokens.shape[1])
        flat = tuple(tokens[(place >= given[:, None]) & (place < ends[:, None])].tolist())
        behind = np.cumsum(ends - given)
        return [
            flat[begin:end]
            for begin, end in zip((behind - ends + given).tolist(), behind.tolist(), strict=True)
        ]

    def _places(
        self,
        sequences: Sequence[SourceSequence],
        owners: _Integers,
        entries: _Integers,
        paths: _Integers | None,
        given: _Integers,
    ) -> list[tuple[int, ...]]:
        """Where each step of ended hypotheses attends; nothing of those that do not ask."""
        if self._attended is None:
            return [()] * len(owners)
        lengths = self._lengths[owners, entries]
        longest = int(lengths.max(initial=1))
        if paths is None:
            attended = self._attended[owners, :longest]
        else:
            attended = self._attended[paths.T, np.arange(longest)]
        asked = [sequence.options.align_to is not None for sequence in sequences]
        return [
            tuple(row[begin:end].tolist()) if asked[owner] else ()
            for row, begin, end, owner in zip(
                attended, given.tolist(), lengths.tolist(), owners.tolist(), strict=True
            )
        ]

    def _missed(self, search: HostSearch, owner: int, entry: int) -> Missed | None:
        beams, lengths, last = self._ended_beams, self._lengths, self._last
        return search.missed(
            int(beams[owner, entry]), int(lengths[owner, entry]), int(last[owner, entry])
        )
