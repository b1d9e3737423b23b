"""Models of the shapes that people have, and every kind of step with them."""

from __future__ import annotations

from dataclasses import replace

import torch

from loadtests.bench.models import RANDOM_MODELS, BenchModel
from model.config import DecoderKind, NormOrder, PositionKind, TransformerConfig
from model.engine.cuda.device_model import DeviceModel
from model.engine.cuda.kernels.fused import FusedOperations
from model.engine.cuda.kernels.slot_memory import SlotMemory
from model.engine.cuda.packing import max_blocks
from model.network.transformer import Transformer

__all__ = ["EXACT_SHAPES", "SHAPES", "use_everything"]

CPU = torch.device("cpu")
_TOKENS = 64

SHAPES = {
    **RANDOM_MODELS,
    "paper-big": TransformerConfig.big(32_000),
    "embedded": BenchModel.named("embedded", seed=0).config,
    "recurrent": TransformerConfig.base(
        32_000, d_model=256, d_ff=1536, decoder_kind=DecoderKind.SSRU, projection_bias=True
    ),
    "nllb-600m": TransformerConfig.big(
        256_206, norm_order=NormOrder.PRE, final_norm=True, max_positions=1024,
        positions=PositionKind.SINUSOIDAL_FAIRSEQ, position_offset=2,
    ),
    "256k-words": TransformerConfig.base(256_000, projection_bias=True),
}  # fmt: skip

EXACT_SHAPES = ("paper-base", "embedded")
"""Those whose kernels are compiled for float32, too: it is there to be compared with."""


def use_everything(config: TransformerConfig, dtype: torch.dtype, *, brief: bool) -> None:
    """Encodes, and takes steps of every kind, on numbers that nobody looks at.

    Args:
        brief: only as many as it takes to use each kernel.
    """
    # Layers are alike.
    config = replace(config, num_encoder_layers=1, num_decoder_layers=1, alignment_heads=())
    with torch.device("meta"):
        transformer = Transformer(config)
    memory = SlotMemory(config, 16, dtype=dtype, device=CPU)
    model = DeviceModel(
        transformer.to_empty(device=CPU), FusedOperations(dtype), memory, dtype=dtype, device=CPU
    )
    # In the order in which runners do it: what was captured first, the others need no more.
    model.encode(
        torch.zeros(3, _TOKENS, dtype=torch.int32),
        torch.zeros(max_blocks(_TOKENS), 3, dtype=torch.int32),
    )
    model.encode(
        torch.zeros(3, 16, dtype=torch.int32), torch.zeros(max_blocks(16), 3, dtype=torch.int32)
    )
    for beams in (1, 4):
        for num_rows in (8, 48) if brief else (8, 24, 48, 132):
            _step(model, num_rows // beams, beams)
        _step(model, 8 // beams, beams, constrained=True, restricted=True, aligned=True)
        if not brief:
            _step(model, 132 // beams, beams, constrained=True)
            _step(model, 132 // beams, beams, restricted=True)
    if not brief:
        _step(model, 16, 8, constrained=True)


def _step(model: DeviceModel, groups: int, beams: int, **kinds: bool) -> None:
    rows = torch.zeros(groups, beams, dtype=torch.int32)
    flags = torch.zeros(groups, dtype=torch.int32)
    model.step(rows, flags, **({"constrained": False} | kinds))
