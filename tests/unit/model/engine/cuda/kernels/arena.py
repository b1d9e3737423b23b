"""Where kernels are tested: the device, slots as a search would have left them, and the error."""

from __future__ import annotations

import torch
from torch import Tensor

from model.config import SEQUENCE_OPTIONS, GenerationConfig, TransformerConfig
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.kernels.slot_memory import Counter, SlotMemory

__all__ = [
    "DEVICE",
    "ROUNDING_DTYPE",
    "arena_config",
    "error",
    "groups_at",
    "make_operations",
    "random_memory",
]

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDING_DTYPE = torch.bfloat16 if DEVICE.type == "cuda" else torch.float16
"""The interpreter's products take the bits of a bfloat16 for an integer."""


def make_operations(kind: str, dtype: torch.dtype) -> Operations:
    """ "plain" or "fused"; the latter needs Triton."""
    if kind == "plain":
        return PlainOperations(dtype)
    from model.engine.cuda.kernels.fused import FusedOperations

    return FusedOperations(dtype)


def arena_config(head_dim: int = 8, num_heads: int = 2, **changes: object) -> TransformerConfig:
    """Two decoder layers, 80 positions."""
    shape: dict[str, object] = {
        "src_vocab_size": 50, "tgt_vocab_size": 50, "d_model": head_dim * num_heads, "d_ff": 32,
        "num_heads": num_heads, "num_encoder_layers": 1, "num_decoder_layers": 2,
        "max_positions": 80,
    }  # fmt: skip
    return TransformerConfig(**(shape | changes))  # type: ignore[arg-type]


def random_memory(
    config: TransformerConfig, max_slots: int, device: torch.device, dtype: torch.dtype
) -> SlotMemory:
    """Caches full of NaN: what nobody has written nobody may read."""
    memory = SlotMemory(config, max_slots, dtype=dtype, device=device)
    for cache in (
        memory.self_keys, memory.self_values, memory.cross_keys, memory.cross_values,
    ):  # fmt: skip
        cache.fill_(float("nan"))
        cache[:, memory.spare] = 0.0
    return memory


def set_options(memory: SlotMemory, leads: int | slice, generation: GenerationConfig) -> None:
    """As a runner does on admission."""
    for option in SEQUENCE_OPTIONS:
        memory.options[option.name][leads] = option.in_32_bits(generation)


def groups_at(
    memory: SlotMemory, positions: list[int], source_lens: list[int], beams: int, seed: int
) -> Tensor:
    """Running groups in scattered slots, then one of the spare; their past is random.

    Returns:
        (G + 1, beams) int32 slots.
    """
    generator = torch.Generator().manual_seed(seed)
    device = memory.counters.device
    slots = torch.randperm(memory.spare, generator=generator)[: len(positions) * beams]
    rows = torch.cat([slots.view(-1, beams), torch.full((1, beams), memory.spare)]).int()
    for group, position, source_len in zip(rows, positions, source_lens, strict=False):
        lead = int(group[0])
        memory.counters[Counter.POSITION, lead] = position
        memory.counters[Counter.SOURCE_LEN, lead] = source_len
        memory.counters[Counter.LIMIT, lead] = memory.max_positions
        set_options(memory, lead, GenerationConfig())
        for cache, heads in (
            (memory.cross_keys, slice(0, source_len)), (memory.cross_values, slice(0, source_len)),
        ):  # fmt: skip
            written = torch.randn(cache[:, lead, :, heads].shape, generator=generator)
            cache[:, lead, :, heads] = written.to(cache)
        for slot in group.tolist():
            for cache in (memory.self_keys, memory.self_values):
                written = torch.randn(cache[:, slot, :, :position].shape, generator=generator)
                cache[:, slot, :, :position] = written.to(cache)
            holders = torch.randint(0, beams, (position,), generator=generator)
            memory.ancestors[position % 2, slot, :position] = group[holders].to(device)
            tokens = torch.randint(3, 9, (position,), generator=generator)
            memory.tokens[slot, 1 : position + 1] = tokens.int().to(device)
    return rows.to(device)


def error(found: Tensor, wanted: Tensor) -> float:
    """Error of the whole, relative to its size; NaN is an error of NaN and passes no comparison."""
    found, wanted = found.double().cpu(), wanted.double().cpu()
    return float((found - wanted).norm() / wanted.norm())
