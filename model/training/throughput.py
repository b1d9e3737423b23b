"""How much of the machine training uses: its arithmetic over what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from model.network.transformer import Transformer
from model.training.int8 import int8_product

__all__ = ["matmul_rate", "training_flops"]

_ROUNDS = 5


def training_flops(model: Transformer, source_tokens: int, target_tokens: int) -> float:
    """Floating point operations of forward and backward over so many tokens, padding left out.

    A weight matrix costs a multiplication and an addition for each of its numbers and each token
    forward, and twice that backward. Scores of attention and everything that is no product of a
    matrix are left out, which flatters nobody: utilisation comes out a little low.
    """
    # Those of cross-attention belong to the decoder, but see the source's tokens.
    keys_and_values = _numbers(
        weight
        for name, weight in model.decoder_layers.named_parameters()
        if name.endswith(("cross_attn.k_proj.weight", "cross_attn.v_proj.weight"))
    )
    encoder = _numbers(_matrices(model.encoder_layers)) + keys_and_values
    decoder = _numbers(_matrices(model.decoder_layers)) - keys_and_values
    decoder += model.projection.weight.numel()
    return 6.0 * (encoder * source_tokens + decoder * target_tokens)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large product of matrices: the best of a few.

    Args:
        dtype: of the matrices; int8 is for CPUs.
    """
    size = 8192 if device.type == "cuda" else 1024
    # Numbers of its own: nobody else's random numbers may depend on this.
    generator = torch.Generator(device).manual_seed(0)
    left, right = torch.randn(2, size, size, device=device, generator=generator).to(dtype)
    multiply = int8_product if dtype == torch.int8 else torch.mm
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        float(multiply(left, right)[0, 0])
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best


def _matrices(module: nn.Module) -> Iterable[Tensor]:
    return (parameter for parameter in module.parameters() if parameter.dim() == 2)


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
