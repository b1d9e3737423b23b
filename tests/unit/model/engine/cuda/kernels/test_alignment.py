"""Where a decode step attends to most, against float64, in both implementations."""

from __future__ import annotations

import math

import pytest
import torch

from model.engine.cuda.kernels.slot_memory import Counter
from tests.unit.model.engine.cuda.kernels.arena import arena_config, error, groups_at, random_memory

POSITIONS = [0, 1, 7, 31, 79]
SOURCE_LENS = [1, 80, 31, 33, 5]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("heads", [(1,), (0, 2)])
def test_the_attention_of_some_heads_is_added(operations, device, beams: int, heads) -> None:
    config = arena_config(head_dim=20, num_heads=3)
    memory = random_memory(config, len(POSITIONS) * beams, device, torch.float32)
    rows = groups_at(memory, POSITIONS, SOURCE_LENS, beams, seed=beams)
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(rows.numel(), config.d_model, generator=generator).to(device)
    weights = torch.full((rows.numel(), memory.max_positions), 2.0, device=device)

    operations.add_attention(weights, query, 1, heads, rows, memory)

    for row in range(rows.numel() - beams):
        group = row // beams
        length = SOURCE_LENS[group]
        asked = query[row].view(config.num_heads, -1)[list(heads)].double()
        keys = memory.cross_keys[1, rows[group, 0], list(heads), :length].double()
        scores = torch.einsum("hk,hmk->hm", asked, keys) / math.sqrt(20)
        assert error(weights[row, :length], 2.0 + scores.softmax(dim=1).sum(0)) < 1e-5


@pytest.mark.parametrize("beams", [1, 3])
def test_the_largest_weight_of_those_to_align_to_is_noted(operations, device, beams: int) -> None:
    memory = random_memory(arena_config(), len(POSITIONS) * beams, device, torch.float32)
    rows = groups_at(memory, POSITIONS, SOURCE_LENS, beams, seed=beams)
    _, positions = operations.read_rows(rows, memory)
    weights = torch.zeros(rows.numel(), memory.max_positions, device=device)
    weights[:, 0] = 9.0
    weights[:, 3] = torch.arange(rows.numel()) % 2
    memory.counters[Counter.ALIGN_FIRST, rows[:, 0].long()] = 1
    memory.counters[Counter.ALIGN_END, rows[:, 0].long()] = 5
    memory.counters[Counter.DONE, rows[1, 0].long()] = 1
    memory.attended.fill_(-7)

    operations.note_attended(weights, rows, positions, memory)

    for row, slot in enumerate(rows[:-1].flatten().tolist()):
        group = row // beams
        noted = int(memory.attended[slot, POSITIONS[group]])
        assert noted == (-7 if group == 1 else 3 if row % 2 else 1)
    assert (memory.attended == -7).sum() >= memory.attended.numel() - rows.numel()
