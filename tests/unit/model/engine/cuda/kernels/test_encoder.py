"""Packed attention against each source by itself, and where its keys and values are put."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from model.engine.cuda.kernels.operations import PACKED_BLOCK
from tests.unit.model.engine.cuda.kernels.arena import arena_config, error, random_memory

LENGTHS = [1, 31, 32, 33, 2, 70, 64]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 1e-2}


def blocks_of(lengths: list[int], spare: int, device: torch.device) -> Tensor:
    blocks, start = [], 0
    for length in lengths:
        first = range(start, start + length, PACKED_BLOCK)
        blocks += [(query, start, start + length) for query in first]
        start += length
    return torch.tensor(blocks + [(0, 0, 0)] * spare, dtype=torch.int32, device=device)


def naive(qkv: Tensor, lengths: list[int], num_heads: int) -> Tensor:
    """(N, 3D) -> (N, D) float64, one source after the other."""
    query, key, value = qkv.double().view(len(qkv), 3, num_heads, -1).permute(1, 2, 0, 3)
    outs, start = [], 0
    for length in lengths:
        here = slice(start, start + length)
        scores = query[:, here] @ key[:, here].mT / math.sqrt(query.size(-1))
        outs.append((scores.softmax(-1) @ value[:, here]).transpose(0, 1).flatten(1))
        start += length
    return torch.cat(outs)


def check(operations, device, dtype, head_dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    num_tokens = sum(LENGTHS)
    qkv = torch.randn(num_tokens + 5, 3 * 2 * head_dim, generator=generator).to(device, dtype)
    # Nobody may read what only fills up.
    qkv[num_tokens:] = float("nan")
    found = operations.attend_packed(qkv, blocks_of(LENGTHS, 3, device), 2)
    wanted = naive(qkv[:num_tokens], LENGTHS, 2)
    assert error(found[:num_tokens], wanted) < TOLERANCE[dtype]
    assert torch.equal(found[num_tokens:], torch.zeros_like(found[num_tokens:]))


@pytest.mark.parametrize("head_dim", [64, 32, 20, 8])
def test_packed_attention(operations, device, head_dim: int) -> None:
    check(operations, device, torch.float32, head_dim)


def test_packed_attention_in_half_precision(rounding_operations, device) -> None:
    check(rounding_operations, device, rounding_operations.dtype, 64)


def test_a_source_does_not_depend_on_where_it_lies(device) -> None:
    """Bit for bit, in the kernel; the plain reference pads to what is there."""
    from model.engine.cuda.kernels.fused import FusedOperations

    operations = FusedOperations(torch.float32)
    generator = torch.Generator().manual_seed(0)
    mine = torch.randn(45, 3 * 32, generator=generator)
    others = torch.randn(39, 3 * 32, generator=generator)
    alone = operations.attend_packed(mine.to(device), blocks_of([45], 0, device), 2)
    packed = torch.cat([others, mine]).to(device)
    among = operations.attend_packed(packed, blocks_of([39, 45], 2, device), 2)
    assert torch.equal(alone, among[39:])


@pytest.mark.parametrize(("num_heads", "head_dim"), [(2, 8), (3, 20)])
def test_keys_and_values_of_all_layers_are_put_in_their_places(
    operations, device, num_heads: int, head_dim: int
) -> None:
    config = arena_config(head_dim=head_dim, num_heads=num_heads)
    memory = random_memory(config, 5, device, torch.float32)
    generator = torch.Generator().manual_seed(0)
    kv = torch.randn(5, 2 * 2 * config.d_model, generator=generator).to(device)
    places = torch.tensor([[3, 3, 0, -1, 0], [0, 1, 7, 0, 79]], dtype=torch.int32, device=device)
    before = memory.cross_keys.clone()

    operations.write_cross(kv, places, memory)

    # (N, D) parts -> (H, K)
    parts = kv.view(5, 2, 2, num_heads, head_dim)
    for token, (slot, position) in enumerate(places.T.tolist()):
        if slot >= 0:
            for layer in range(2):
                key, value = parts[token, layer]
                assert torch.equal(memory.cross_keys[layer, slot, :, position], key)
                assert torch.equal(memory.cross_values[layer, slot, :, position], value)
    written = torch.zeros(2, 6, 80, dtype=torch.bool)
    written[:, [3, 3, 0, 0], [0, 1, 7, 79]] = True
    # Dropped tokens may go to the spare slot, and nowhere else.
    written[:, memory.spare] = True
    same = (memory.cross_keys == before) | (memory.cross_keys.isnan() & before.isnan())
    assert same.cpu().all(dim=4).all(dim=2)[~written].all()
