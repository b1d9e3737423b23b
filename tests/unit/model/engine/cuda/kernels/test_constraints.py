"""The repetition guard on the device against the host's, on the same histories."""

from __future__ import annotations

import pytest
import torch

from model.config import GenerationConfig
from model.decoding.constraints import constrain
from model.engine.cuda.kernels.slot_memory import Counter
from tests.unit.model.engine.cuda.kernels.arena import (
    arena_config,
    groups_at,
    random_memory,
    set_options,
)

EOS = 5
POSITIONS = [0, 1, 2, 3, 9, 40, 79]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("ngram", [0, 1, 2, 3, 5])
def test_constraints(operations, device, beams: int, ngram: int) -> None:
    """Histories are of six tokens, the end token among them, so they repeat all the time."""
    memory = random_memory(arena_config(), len(POSITIONS) * beams, device, torch.float32)
    rows = groups_at(memory, POSITIONS, [1] * len(POSITIONS), beams, seed=ngram)
    generation = GenerationConfig(
        no_repeat_ngram_size=ngram, repetition_penalty=1.25, limit_repeats=ngram != 1
    )
    set_options(memory, slice(None), generation)
    copies = torch.arange(len(rows), device=device) % 2 + 1
    memory.counters[Counter.SOURCE_COPIES, rows[:, 0]] = copies.int()
    _, positions = operations.read_rows(rows, memory)
    generator = torch.Generator().manual_seed(1)
    log_probs = torch.randn(rows.numel(), 50, generator=generator).log_softmax(dim=1)
    wanted = log_probs.clone()
    for row, slot in enumerate(rows.flatten().tolist()):
        position = int(positions[row])
        holders = [*memory.ancestors[position % 2, slot, :position].tolist(), slot]
        if beams == 1:
            holders = [slot] * (position + 1)
        history = [int(memory.tokens[holders[p], p]) for p in range(1, position + 1)]
        constrain(wanted[row], history, generation, EOS, copies=1 + row // beams % 2)

    guard = operations.guard(rows, positions, memory, 50, EOS)
    found = operations.guarded(log_probs.to(device), guard, rows, memory)

    assert torch.equal(found.cpu(), wanted)
    if 0 < ngram < 3:
        assert (wanted == -torch.inf).any(), "the histories must repeat, or nothing is tested"
