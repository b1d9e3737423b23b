"""Lexical constraints of sequences on a device: the host applies them, between two parts of a step.

Such a step is no graph, and waits for the host. Sequences without such constraints take part in
others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.decoding.lexical_constraints import LexicalConstraints, LexicalState, Missed, Ruling
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory
from model.engine.sequence import Sequence

__all__ = ["HostConstraints", "HostSearch"]


@dataclass(kw_only=True)
class HostSearch:
    """What the host knows of a search on the device, row by row."""

    sequence: Sequence
    constraints: LexicalConstraints
    position: int = 0
    states: list[LexicalState]
    histories: list[tuple[int, ...]]
    rulings: dict[int, Ruling] = field(default_factory=dict)
    steps: list[tuple[list[LexicalState], dict[int, Ruling]]] = field(default_factory=list)
    """The states and rulings of the steps before this one."""

    def missed(self, beam: int, num_steps: int, last: int) -> Missed | None:
        """The first phrase that has missed its place in a hypothesis that has ended.

        Args:
            beam: its row in the last step.
            num_steps: that it has, those of the target prefix included.
            last: the token of the last step, if the limit and not the end token ended it; else
                below 0.
        """
        states, rulings = [*self.steps, (self.states, self.rulings)][num_steps - 1]
        state = states[beam]
        if last >= 0:
            state = self.constraints.advance(state, last, rulings.get(beam, Ruling()))
        missed = self.constraints.missed(state)
        given = len(self.sequence.options.target_prefix)
        return missed and Missed(missed.begin - given, missed.step - given)


class HostConstraints:
    """The constraints of all sequences that have some.

    Args:
        memory: where the device keeps the searches.
        eos_id: the end token.
    """

    def __init__(self, memory: SlotMemory, eos_id: int) -> None:
        self._memory = memory
        self._eos_id = eos_id
        self._searches: dict[int, HostSearch] = {}

    def begin(self, sequence: Sequence) -> None:
        """In the order of the stream: a slot's last owner may have a step under way."""
        self._searches[sequence.slots[0]] = HostSearch(
            sequence=sequence,
            constraints=LexicalConstraints(sequence.options, self._eos_id),
            states=[LexicalState()] * sequence.beam_size,
            histories=[()] * sequence.beam_size,
        )

    def search(self, lead: int) -> HostSearch:
        """What is known of a search that is done, whatever becomes of its slots."""
        return self._searches[lead]

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

    def _follow(self, search: HostSearch, slots: list[int], position: int) -> None:
        if position == search.position:
            return
        search.steps.append((search.states, search.rulings))
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
        self, search: HostSearch, slots: list[int], log_probs: Tensor, free: Tensor
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
