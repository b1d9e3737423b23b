"""One step of an SSRU and of average attention against float64, in both implementations."""

from __future__ import annotations

import pytest
import torch

from model.engine.cuda.kernels.slot_memory import SlotMemory
from tests.unit.model.engine.cuda.kernels.arena import arena_config, error, groups_at, random_memory

POSITIONS = [0, 1, 2, 7, 40, 79]


def states_before(memory: SlotMemory, rows: torch.Tensor, beams: int) -> torch.Tensor:
    """(R, D) float64 of layer 1, those of the parents."""
    states = []
    for row, slot in enumerate(rows[:-1].flatten().tolist()):
        position = POSITIONS[row // beams]
        if position == 0:
            states.append(torch.zeros_like(memory.states[0, 1, slot]))
            continue
        holder = slot if beams == 1 else int(memory.ancestors[position % 2, slot, position - 1])
        states.append(memory.states[(position - 1) % 2, 1, holder].clone())
    return torch.stack(states).double()


@pytest.mark.parametrize("kind", ["ssru", "average_attention"])
@pytest.mark.parametrize("beams", [1, 3])
def test_a_step_reads_the_parents_state_and_leaves_its_own(
    operations, device, kind: str, beams: int
) -> None:
    config = arena_config(head_dim=10, decoder_kind=kind)
    memory = random_memory(config, len(POSITIONS) * beams + 3, device, torch.float32)
    rows = groups_at(memory, POSITIONS, [1] * len(POSITIONS), beams, seed=beams)
    _, positions = operations.read_rows(rows, memory)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(rows.numel(), 2 * config.d_model, generator=generator).to(device)
    before = states_before(memory, rows, beams)
    untouched = memory.states[:, 0].clone()
    used = x[: len(before)].double()

    if kind == "ssru":
        x[-1, config.d_model :] = -100.0  # whose exponential is no float
        found = operations.recur(x, 1, rows, positions, memory)
        update, forget = used.chunk(2, dim=1)
        state = torch.sigmoid(forget) * before + (1 - torch.sigmoid(forget)) * update
        wanted = state.clamp(min=0)
    else:
        x = x[:, : config.d_model].contiguous()
        found = operations.average(x, 1, rows, positions, memory)
        state = before + used[:, : config.d_model]
        wanted = state / (positions[: len(before), None] + 1)

    assert error(found[: len(wanted)], wanted) < 1e-6
    assert found.isfinite().all()
    for row, slot in enumerate(rows[:-1].flatten().tolist()):
        left = memory.states[POSITIONS[row // beams] % 2, 1, slot]
        assert error(left, state[row]) < 1e-6
    assert torch.equal(memory.states[:, 0].nan_to_num(), untouched.nan_to_num())
