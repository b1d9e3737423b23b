"""What searches left behind on the device, as hypotheses. See `SlotMemory.trace`.

Tens of thousands of sequences end in a second: those that end together are looked at together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.config import LengthNormalization
from model.decoding.lexical_constraints import Missed
from model.decoding.search import FinishReason, Hypothesis
from model.engine.cuda.kernels.slot_memory import (
    ENDED,
    ENDED_PER_SLOT,
    option_columns,
    option_row,
)
from model.engine.cuda.lexical import HostSearch
from model.engine.named_rows import named_rows
from model.engine.sequence import Sequence as SourceSequence

__all__ = ["SearchColumns", "SearchTraces"]

_Integers = NDArray[np.signedinteger[Any]]

_NUM_HYPOTHESES, _LENGTH_PENALTY, _LENGTH_NORMALIZATION = map(
    option_row, ("num_hypotheses", "length_penalty", "length_normalization")
)
_GNMT = list(LengthNormalization).index(LengthNormalization.GNMT)


class SearchColumns(NamedTuple):
    """What of the options of S searches says which of their hypotheses are the best, each (S,)."""

    num_hypotheses: NDArray[np.int32]
    given: NDArray[np.int32]
    """Tokens of the target prefix."""
    exponents: NDArray[np.float64]
    """`length_penalty`"""
    gnmt: NDArray[np.bool_]
    """Whether lengths are normalized as GNMT does."""

    @classmethod
    def by_lead(cls, max_slots: int) -> SearchColumns:
        """Room for those of all who may run, each at its lead."""
        whole, real = np.zeros((2, max_slots), dtype=np.int32), np.zeros(max_slots)
        return cls(whole[0], whole[1], real, np.zeros(max_slots, dtype=np.bool_))

    @classmethod
    def of_sequences(cls, sequences: Sequence[SourceSequence]) -> SearchColumns:
        """Those of sequences."""
        columns = cls.by_lead(len(sequences))
        given = [len(sequence.options.target_prefix) for sequence in sequences]
        packed = option_columns([sequence.generation for sequence in sequences])
        columns.put(np.arange(len(sequences)), np.array(given, dtype=np.int32), *packed)
        return columns

    def put(
        self,
        leads: _Integers,
        given: NDArray[np.int32],
        integers: NDArray[np.int32],
        reals: NDArray[np.float64],
    ) -> None:
        """Those of newcomers; the last two as `option_columns` has them."""
        self.num_hypotheses[leads] = integers[_NUM_HYPOTHESES]
        self.given[leads] = given
        self.exponents[leads] = reals[_LENGTH_PENALTY]
        self.gnmt[leads] = integers[_LENGTH_NORMALIZATION] == _GNMT

    def of(self, leads: _Integers) -> SearchColumns:
        """Those of some leads."""
        return SearchColumns(
            self.num_hypotheses[leads], self.given[leads], self.exponents[leads], self.gnmt[leads]
        )


class _Ended(NamedTuple):
    """M ended hypotheses, each (M,)."""

    owners: _Integers
    """The numbers of their searches."""
    entries: _Integers
    """Which of those of their search they are."""
    log_probs: NDArray[np.float64]
    beams: NDArray[np.int32]
    """See `SlotMemory.ended_beams`, as for the two that follow."""
    lengths: NDArray[np.int32]
    last: NDArray[np.int32]


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
        endings = rows[:, 2 * positions :].reshape(-1, num_beams, 4, ENDED_PER_SLOT)
        # (4, S, 2K): entry by entry
        endings = np.ascontiguousarray(endings.transpose(2, 0, 1, 3))
        self._endings = endings.reshape(4, -1, num_beams * ENDED_PER_SLOT)
        self._log_probs = self._endings[0].view(np.float32)
        self._lengths = self._endings[2]

    def hypotheses(
        self,
        sequences: Sequence[SourceSequence],
        columns: SearchColumns,
        num_ended: NDArray[np.int32],
        searches: Sequence[HostSearch | None],
    ) -> list[tuple[Hypothesis, ...]]:
        """The best `num_hypotheses` of each search, all of which are done, best first.

        Args:
            sequences: the S sequences.
            columns: of their options.
            num_ended: (S,) hypotheses that have ended, from 1 to 2K - 1.
            searches: what the host knows of each that has phrases.
        """
        scores = self._scores(columns, num_ended)
        counts = np.minimum(columns.num_hypotheses, num_ended)
        ended = self._ended(*self._best(scores, counts))
        given = columns.given[ended.owners]
        paths = self._paths(ended)
        stop, length = FinishReason.STOP, FinishReason.LENGTH
        missed: list[Missed | None] = [None] * len(ended.owners)
        if any(searches):
            missed = [
                search and search.missed(beam, num_steps, last)
                for search, beam, num_steps, last in zip(
                    [searches[owner] for owner in ended.owners.tolist()],
                    ended.beams.tolist(), ended.lengths.tolist(), ended.last.tolist(),
                    strict=True,
                )
            ]  # fmt: skip
        found = named_rows(
            Hypothesis,
            self._targets(ended, paths, given),
            scores[ended.owners, ended.entries].tolist(),
            ended.log_probs.tolist(),
            [stop if each == ENDED else length for each in ended.last.tolist()],
            self._places(sequences, ended, paths, given),
            missed,
        )
        if len(found) == len(sequences):
            return list(zip(found, strict=True))
        ends = np.cumsum(counts)
        return [
            tuple(found[begin:end])
            for begin, end in zip((ends - counts).tolist(), ends.tolist(), strict=True)
        ]

    @staticmethod
    def _best(
        scores: NDArray[np.float64], counts: NDArray[np.int32]
    ) -> tuple[_Integers, _Integers]:
        """Owners and entries of the so many best hypotheses of each search, best first."""
        owners = np.arange(len(counts))
        if scores.shape[1] == 1 or (counts == 1).all():
            return owners, scores.argmax(axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        first = np.cumsum(counts) - counts
        owners = owners.repeat(counts)
        return owners, order[owners, np.arange(len(owners)) - first[owners]]

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
            scores = self._scores(SearchColumns.of_sequences(sequences), num_ended)
            ended = self._ended(has, scores.argmax(axis=1)[has])
            best, lengths = self._tokens_of(ended, self._paths(ended))
            shared = min(longest, best.shape[1])
            agrees[has, :shared] &= best[:, :shared] == first[has, :shared]
            agrees[has] &= place < lengths[:, None]
        count = np.logical_and.accumulate(agrees, axis=1).sum(axis=1).tolist()
        return [
            tuple(first[number, len(sequence.options.target_prefix) : count[number]].tolist())
            for number, sequence in enumerate(sequences)
        ]

    def _scores(self, columns: SearchColumns, num_ended: NDArray[np.int32]) -> NDArray[np.float64]:
        """(S, E), by `model.decoding.search.length_penalty`, of the E entries that some search has;
        -inf where nothing has ended."""
        most = int(num_ended.max(initial=1))
        lengths = np.maximum(self._lengths[:, :most], 1)
        penalties = np.where(columns.gnmt[:, None], (5 + lengths) / 6, lengths)
        penalties **= columns.exponents[:, None]
        scores: NDArray[np.float64] = self._log_probs[:, :most] / penalties
        if most > 1:
            scores[np.arange(most) >= num_ended[:, None]] = -np.inf
        return scores

    def _ended(self, owners: _Integers, entries: _Integers) -> _Ended:
        """Hypotheses by the numbers of their searches and their entries there."""
        log_probs, *others = self._endings[:, owners, entries]
        return _Ended(owners, entries, log_probs.view(np.float32).astype(np.float64), *others)

    def _paths(self, ended: _Ended) -> _Integers | None:
        """(T, M) row at each position of ended hypotheses; None with one beam, which has one row.

        Behind the last position of a hypothesis its row stays what it was there.
        """
        if self._beams == 1:
            return None
        return self._rows_back(ended.owners, ended.beams, ended.lengths - 1)

    def _rows_back(self, owners: _Integers, beams: _Integers, fed: _Integers) -> _Integers:
        """(T, M) rows, see `_paths`, of hypotheses whose last token was fed at `fed`."""
        longest = int(fed.max(initial=0))
        count, size = len(owners), self._beams
        if size == 1:
            return np.broadcast_to(owners, (longest + 1, count))
        # (T, M, K) the parent of each row of the owners: what is the same for all positions is done
        # for all at once. Behind the last position of a hypothesis a row is its own parent.
        parents = self._parents[:, : longest + 1].reshape(-1, size, longest + 1)
        parents = parents[owners].transpose(2, 0, 1)
        goes_on = fed >= np.arange(longest + 1)[:, None]
        tables = np.where(goes_on[:, :, None], parents, np.arange(size)).astype(np.intp)
        begins = np.arange(0, count * size, size)
        tables += begins[:, None]
        paths = np.empty((longest + 1, count), dtype=np.intp)
        paths[longest] = beams + begins
        flat = tables.reshape(longest + 1, -1)
        for table, row, before in zip(flat[:0:-1], paths[:0:-1], paths[-2::-1], strict=True):
            table.take(row, out=before, mode="clip")
        paths += owners * size - begins
        return paths

    def _tokens_of(
        self, ended: _Ended, paths: _Integers | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(M, T) tokens of ended hypotheses, and how many there are without the end token."""
        lengths, last = ended.lengths, ended.last
        longest = int(lengths.max(initial=1))
        tokens = np.zeros((len(lengths), longest), dtype=np.int32)
        # The token at place t was fed at position t + 1, unless it is the last of all.
        if paths is None:
            tokens[:, :-1] = self._tokens[ended.owners, 1:longest]
        else:
            tokens[:, :-1] = self._tokens[paths[1:].T, np.arange(1, longest)]
        cut = last >= 0
        if cut.any():
            tokens[cut, lengths[cut] - 1] = last[cut]
        return tokens, lengths - ~cut

    def _targets(self, ended: _Ended, paths: _Integers | None, given: _Integers) -> list[bytes]:
        """Their tokens, without what is given."""
        tokens, ends = self._tokens_of(ended, paths)
        row_bytes, token_bytes = tokens.strides
        rows = np.arange(0, tokens.nbytes, row_bytes)
        begins = rows + token_bytes * given
        ends = rows + token_bytes * np.maximum(ends, given)
        flat = tokens.tobytes()
        return [flat[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]

    def _places(
        self,
        sequences: Sequence[SourceSequence],
        ended: _Ended,
        paths: _Integers | None,
        given: _Integers,
    ) -> list[tuple[int, ...]]:
        """Where each step of ended hypotheses attends; nothing of those that do not ask."""
        owners, lengths = ended.owners, ended.lengths
        if self._attended is None:
            return [()] * len(owners)
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
