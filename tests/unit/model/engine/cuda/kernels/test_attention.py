"""Attention of a decode step against three lines of float64, in both implementations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory
from tests.unit.model.engine.cuda.kernels.arena import arena_config, error, groups_at, random_memory

POSITIONS = [0, 1, 7, 31, 32, 33, 63, 64, 79]
SOURCE_LENS = [1, 80, 31, 32, 33, 2, 64, 65, 5]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 1e-2}


def naive(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(H, K), (H, M, K), (H, M, K) -> (H, K) float64."""
    scores = torch.einsum("hk,hmk->hm", query.double(), keys.double()) / math.sqrt(query.size(1))
    return torch.einsum("hm,hmk->hk", scores.softmax(dim=1), values.double())


def random_rows(num_rows: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(num_rows, width, generator=generator).to(device, dtype)


def past(cache: Tensor, memory: SlotMemory, slot: int, position: int, beams: int) -> Tensor:
    """(H, position, K) of a hypothesis, through its ancestors."""
    holders = memory.ancestors[position % 2, slot].tolist() if beams > 1 else [slot] * position
    columns = [cache[holders[p], :, p] for p in range(position)]
    return torch.stack(columns, dim=1) if columns else cache[0, :, :0]


def check_self(operations, device, dtype, *, head_dim: int, beams: int) -> None:
    config = arena_config(head_dim=head_dim)
    memory = random_memory(config, len(POSITIONS) * beams + 3, device, dtype)
    rows = groups_at(memory, POSITIONS, SOURCE_LENS, beams, seed=beams)
    _, positions = operations.read_rows(rows, memory)
    qkv = random_rows(rows.numel(), 3 * config.d_model, device, dtype)
    before = {1: (memory.self_keys[1].clone(), memory.self_values[1].clone())}
    untouched = memory.self_keys[0].clone()

    found = operations.attend_self(qkv, 1, rows, positions, memory)

    query, key, value = qkv.view(len(qkv), 3, config.num_heads, -1).unbind(1)
    wanted = []
    for row, slot in enumerate(rows[:-1].flatten().tolist()):
        position = POSITIONS[row // beams]
        keys, values = (
            torch.cat([past(cache, memory, slot, position, beams), new[row][:, None]], dim=1)
            for cache, new in zip(before[1], (key, value), strict=True)
        )
        wanted.append(naive(query[row], keys, values).flatten())
        assert torch.equal(memory.self_keys[1, slot, :, position], key[row])
        assert torch.equal(memory.self_values[1, slot, :, position], value[row])
    assert error(found[: len(wanted)], torch.stack(wanted)) < TOLERANCE[dtype]
    assert found.isfinite().all()
    assert torch.equal(memory.self_keys[0].nan_to_num(), untouched.nan_to_num())


@pytest.mark.parametrize("head_dim", [64, 32, 20])
@pytest.mark.parametrize("beams", [1, 3])
def test_self_attention(operations, device, head_dim: int, beams: int) -> None:
    check_self(operations, device, torch.float32, head_dim=head_dim, beams=beams)


@pytest.mark.parametrize("beams", [1, 4])
def test_self_attention_in_half_precision(rounding_operations, device, beams: int) -> None:
    check_self(rounding_operations, device, rounding_operations.dtype, head_dim=64, beams=beams)


def check_cross(operations, device, dtype, *, head_dim: int, beams: int) -> None:
    config = arena_config(head_dim=head_dim)
    memory = random_memory(config, len(POSITIONS) * beams, device, dtype)
    rows = groups_at(memory, POSITIONS, SOURCE_LENS, beams, seed=beams)
    query = random_rows(rows.numel(), config.d_model, device, dtype)

    found = operations.attend_cross(query, 1, rows, memory)

    wanted = []
    for group, slots in enumerate(rows[:-1].tolist()):
        length = SOURCE_LENS[group]
        for beam in range(beams):
            asked = query[group * beams + beam].view(config.num_heads, -1)
            keys = memory.cross_keys[1, slots[0], :, :length]
            values = memory.cross_values[1, slots[0], :, :length]
            wanted.append(naive(asked, keys, values).flatten())
    assert error(found[: len(wanted)], torch.stack(wanted)) < TOLERANCE[dtype]
    assert found.isfinite().all()


@pytest.mark.parametrize("head_dim", [64, 20])
@pytest.mark.parametrize("beams", [1, 3, 5])
def test_cross_attention(operations, device, head_dim: int, beams: int) -> None:
    check_cross(operations, device, torch.float32, head_dim=head_dim, beams=beams)


@pytest.mark.parametrize("beams", [1, 4])
def test_cross_attention_in_half_precision(rounding_operations, device, beams: int) -> None:
    check_cross(rounding_operations, device, rounding_operations.dtype, head_dim=64, beams=beams)


def test_a_row_does_not_depend_on_its_neighbours_or_its_slot(operations, device) -> None:
    """Alone in one slot, and among others in another: bit for bit, but for a GPU's own library."""
    config = arena_config(head_dim=16)
    qkv = random_rows(2, 3 * config.d_model, device, torch.float32)
    results = []
    for positions, seed in (([37], 0), ([5, 37, 60, 1], 1)):
        memory = random_memory(config, 9, device, torch.float32)
        rows = groups_at(memory, positions, [33] * len(positions), 1, seed=seed)
        place = positions.index(37)
        slot = int(rows[place, 0])
        generator = torch.Generator().manual_seed(9)
        for cache, length in (
            (memory.self_keys, 37), (memory.self_values, 37),
            (memory.cross_keys, 33), (memory.cross_values, 33),
        ):  # fmt: skip
            written = torch.randn(cache[:, slot, :, :length].shape, generator=generator)
            cache[:, slot, :, :length] = written.to(cache)
        mine = random_rows(rows.numel(), 3 * config.d_model, device, torch.float32)
        mine[place] = qkv[0]
        _, at = operations.read_rows(rows, memory)
        attended = operations.attend_self(mine, 0, rows, at, memory)[place]
        query = mine[:, : config.d_model].contiguous()
        results.append((attended, operations.attend_cross(query, 0, rows, memory)[place]))
    of_a_library = type(operations) is PlainOperations and device.type != "cpu"
    for alone, among in zip(*results, strict=True):
        torch.testing.assert_close(alone, among, rtol=0, atol=1e-6 if of_a_library else 0)


def test_who_is_done_is_read_as_if_at_the_beginning(operations, device) -> None:
    config = arena_config()
    memory = random_memory(config, 6, device, torch.float32)
    rows = groups_at(memory, [9, 4], [3, 3], 2, seed=0)
    memory.counters[Counter.DONE, rows[0, 0]] = 1
    token_ids, positions = operations.read_rows(rows, memory)
    assert positions.tolist() == [0, 0, 4, 4, 0, 0]
    own = [int(memory.tokens[slot, 4]) for slot in rows[1].tolist()]
    assert token_ids.tolist() == [config.bos_id] * 2 + own + [config.bos_id] * 2
