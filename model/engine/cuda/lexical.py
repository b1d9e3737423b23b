"""Lexical constraints of sequences on a device: the host applies them, between two parts of a step.

Such a step is no graph, and waits for the host. Sequences without such constraints take part in
others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.decoding.lexical_constraints import LexicalConstraints, LexicalState, Ruling
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory
from model.engine.sequence import Sequence

__all__ = ["HostConstraints"]


@dataclass(kw_only=True)
class _Search:
    """What the host knows of a search on the device, row by row."""

    sequence: Sequence
    constraints: LexicalConstraints
    position: int = 0
    states: list[LexicalState]
    histories: list[tuple[int, ...]]
    rulings: dict[int, Ruling] = field(default_factory=dict)


class HostConstraints:
    """The constraints of all sequences that have some.

    Args:
        memory: where the device keeps the searches.
        eos_id: the end token.
    """

    def __init__(self, memory: SlotMemory, eos_id: int) -> None:
        self._memory = memory
        self._eos_id = eos_id
        self._searches: dict[int, _Search] = {}

    def begin(self, sequence: Sequence) -> None:
        """In the order of the stream: a slot's last owner may have a step under way."""
        self._searches[sequence.slots[0]] = _Search(
            sequence=sequence,
            constraints=LexicalConstraints(sequence.options, self._eos_id),
            states=[LexicalState()] * sequence.beam_size,
            histories=[()] * sequence.beam_size,
        )

    def apply(self, log_probs: Tensor, free: Tensor, rows: Tensor) -> None:
        """Changes the predictions of a step.

        Args:
            log_probs: (R, V) under the repetition guard; changed in place.
            free: (R, V) without it.
            rows: (G, beam) int32 slots, R = G * beam.
        """
        memory = self._memory
        leads = rows[:, 0].long()
        positions = memory.counters[Counter.POSITION, leads].tolist()
        done = memory.counters[Counter.DONE, leads].tolist()
        first = 0
        for slots, position, over in zip(rows.tolist(), positions, done, strict=True):
            search = None if over else self._searches.get(slots[0])
            if search is not None:
                self._follow(search, slots, position)
                block = slice(first, first + len(slots))
                self._constrain(search, slots, log_probs[block], free[block])
            first += len(slots)

    def _follow(self, search: _Search, slots: list[int], position: int) -> None:
        if position == search.position:
            return
        index = torch.tensor(slots, device=self._memory.tokens.device)
        tokens = self._memory.tokens[index, position].tolist()
        alone = len(slots) == 1
        parents = [0] if alone else self._memory.parents[index, position].tolist()
        chosen = list(zip(parents, tokens, strict=True))
        search.states = [
            search.constraints.advance(
                search.states[parent], token, search.rulings.get(parent, Ruling())
            )
            for parent, token in chosen
        ]
        search.histories = [(*search.histories[parent], token) for parent, token in chosen]
        search.position, search.rulings = position, {}

    def _constrain(
        self, search: _Search, slots: list[int], log_probs: Tensor, free: Tensor
    ) -> None:
        sequence, position = search.sequence, search.position
        room = sequence.max_new_tokens - position
        if position < len(sequence.options.target_prefix):
            return
        if room == 1 and sequence.generation.forced_end:
            return
        index = torch.tensor(slots, device=log_probs.device)
        live = self._memory.live_log_probs[index].tolist()
        attended = self._memory.attended[index, position].tolist()
        asked = sequence.options.align_to is not None
        for row in range(len(slots) if position else 1):
            if position and live[row] == float("-inf"):
                continue
            changed = log_probs[row].float().cpu().numpy().copy()
            search.rulings[row] = search.constraints.apply(
                changed,
                free[row].float().cpu().numpy(),
                search.states[row].phrases,
                search.histories[row],
                room=room,
                attended=attended[row] if asked else None,
            )
            log_probs[row] = torch.from_numpy(changed).to(log_probs.device)
