"""What searches left behind on the device, as hypotheses. See `SlotMemory.trace`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.config import GenerationConfig
from model.decoding.lexical_constraints import Missed
from model.decoding.search import FinishReason, Hypothesis, common_beginning, length_penalty
from model.engine.cuda.kernels.slot_memory import ENDED, ENDED_PER_SLOT

__all__ = ["SearchTrace"]


class SearchTrace:
    """Rows of the trace, read on the host.

    What all rows have is converted at once: tens of thousands of sequences end in a second.

    Args:
        rows: (R, 2P + 8), those of a sequence one behind the other.
        attended: (R, P) of the same rows, if some of the sequences ask for it.
    """

    def __init__(self, rows: NDArray[np.int32], attended: NDArray[np.int32] | None = None) -> None:
        # (4, R * 2): entry by entry
        endings = rows[:, -4 * ENDED_PER_SLOT :].reshape(len(rows), 4, ENDED_PER_SLOT)
        log_probs, beams, lengths, last = endings.transpose(1, 0, 2).reshape(4, -1)
        self._log_probs: list[float] = np.ascontiguousarray(log_probs).view(np.float32).tolist()
        self._beams: list[int] = beams.tolist()
        self._lengths: list[int] = lengths.tolist()
        self._last: list[int] = last.tolist()
        self._max_positions = (rows.shape[1] - 4 * ENDED_PER_SLOT) // 2
        self._rows = rows
        self._attended = attended

    def hypotheses(
        self,
        first: int,
        num_ended: int,
        generation: GenerationConfig,
        num_given: int = 0,
        *,
        aligned: bool = False,
        missed: Callable[[int, int, int], Missed | None] | None = None,
    ) -> tuple[Hypothesis, ...]:
        """The best `num_hypotheses` of a search that is done, best first.

        Args:
            first: its first row.
            num_ended: hypotheses that have ended, at most 2 * beam_size - 1.
            num_given: tokens of the target prefix.
            aligned: whether it asks where its steps attend.
            missed: the phrase that has missed its place, by the last beam of a hypothesis, its
                steps and its last token, which is below 0 for the end token.

        Raises:
            RuntimeError: none has, which only numbers that are not finite cause.
        """
        if num_ended == 0:
            raise RuntimeError("the model's predictions must be finite, but are not")
        entries = range(ENDED_PER_SLOT * first, ENDED_PER_SLOT * first + num_ended)
        scores = {
            entry: self._log_probs[entry] / length_penalty(self._lengths[entry], generation)
            for entry in entries
        }
        ranked = sorted(entries, key=lambda entry: -scores[entry])
        # Histories are followed back for those alone who are wanted.
        return tuple(
            Hypothesis(
                token_ids=self._token_ids(first, generation.beam_size, entry)[num_given:],
                score=scores[entry],
                log_prob=self._log_probs[entry],
                finish_reason=FinishReason.STOP
                if self._last[entry] == ENDED
                else FinishReason.LENGTH,
                attended=self._places(first, generation.beam_size, entry)[num_given:]
                if aligned
                else (),
                missed=missed
                and missed(self._beams[entry], self._lengths[entry], self._last[entry]),
            )
            for entry in ranked[: generation.num_hypotheses]
        )

    def decided(
        self,
        first: int,
        position: int,
        num_ended: int,
        live: Sequence[int],
        generation: GenerationConfig,
        num_given: int,
    ) -> tuple[int, ...]:
        """See `BeamSearch.decided`.

        Args:
            first: the search's first row.
            position: of the tokens that are fed next: the number of those that there are.
            num_ended: hypotheses that have ended.
            live: the beams that go on, at least one.
            generation: how it searches.
            num_given: tokens of the target prefix.
        """
        num_beams = generation.beam_size
        rows = self._rows[first : first + num_beams]
        histories = [tuple(self._history(rows, beam, position)) for beam in live]
        if num_ended:
            entries = range(ENDED_PER_SLOT * first, ENDED_PER_SLOT * first + num_ended)
            best = max(
                entries,
                key=lambda entry: (
                    self._log_probs[entry] / length_penalty(self._lengths[entry], generation)
                ),
            )
            histories.append(self._token_ids(first, num_beams, best))
        return common_beginning(histories)[num_given:]

    def _token_ids(self, first: int, num_beams: int, entry: int) -> tuple[int, ...]:
        """Without the end token."""
        fed = self._lengths[entry] - 1
        history: list[int]
        if num_beams == 1:
            history = self._rows[first, 1 : fed + 1].tolist()
        else:
            history = self._history(self._rows[first : first + num_beams], self._beams[entry], fed)
        if self._last[entry] >= 0:
            history.append(self._last[entry])
        return tuple(history)

    def _places(self, first: int, num_beams: int, entry: int) -> tuple[int, ...]:
        """Where each step of an ended hypothesis attends."""
        assert self._attended is not None
        num_steps = self._lengths[entry]
        if num_beams == 1:
            return tuple(self._attended[first, :num_steps].tolist())
        rows = slice(first, first + num_beams)
        path = self._path(self._rows[rows], self._beams[entry], num_steps - 1)
        attended = self._attended[rows, :num_steps].tolist()
        return tuple(attended[beam][place] for place, beam in enumerate(path))

    def _history(self, rows: NDArray[np.int32], beam: int, fed: int) -> list[int]:
        """The `fed` tokens behind the first."""
        tokens = rows[:, 1 : fed + 1].tolist()
        path = self._path(rows, beam, fed)
        return [tokens[beam][place] for place, beam in enumerate(path[1:])]

    def _path(self, rows: NDArray[np.int32], beam: int, fed: int) -> list[int]:
        """The beam of each of the first `fed + 1` positions, from the last one back."""
        parents = rows[:, self._max_positions + 1 : self._max_positions + fed + 1].tolist()
        path = [beam]
        for place in reversed(range(fed)):
            path.append(parents[path[-1]][place])
        return path[::-1]
