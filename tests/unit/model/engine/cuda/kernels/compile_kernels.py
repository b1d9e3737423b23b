"""Compiles every kernel for a Hopper GPU, on a machine that has none; prints what became of each.

The interpreter runs a kernel as Python. A compiler is stricter: it wants to know every type, and a
number that changes its type from one turn of a loop to the next ends here. Triton brings all the
compilers, up to machine code; only the device is made up.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from model.config import Activation, DecoderKind, TransformerConfig
from model.engine.cuda.kernels.fused import FusedOperations
from model.engine.cuda.kernels.operations import Linear, Norm, Table
from model.engine.cuda.kernels.slot_memory import SlotMemory

CPU = torch.device("cpu")


class MadeUpDriver:
    """What Triton asks of a driver before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def compile_instead_of_launching(kernel: JITFunction, grid: object) -> Callable[..., None]:
    def launch(*args: Any, **options: Any) -> None:
        compiled = kernel.run(*args, grid=grid, warmup=True, **options)
        print(kernel.__name__, len(compiled.asm["cubin"]))

    return launch


def use_everything(dtype: torch.dtype, width: int, vocabulary: int, beams: int) -> None:
    """Calls each operation once, on numbers that nobody looks at."""
    config = TransformerConfig.base(
        vocabulary, d_model=width, d_ff=4 * width, num_heads=width // 64, num_decoder_layers=2,
        max_positions=256,
    )  # fmt: skip
    memory = SlotMemory(config, 2 * beams, dtype=dtype, device=CPU)
    operations = FusedOperations(dtype)
    rows = torch.arange(2 * beams).int().view(2, beams)
    token_ids, positions = operations.read_rows(rows, memory)
    norm = Norm(torch.ones(width), torch.zeros(width), 1e-5)
    table = Table(
        torch.zeros(vocabulary, width, dtype=dtype), torch.zeros(256, width), 0, 8.0, norm
    )
    stream = operations.embed(token_ids, positions, table)
    x = operations.add_norm(stream, None, norm, keep=False)
    operations.add_norm(stream, x, norm, keep=True)

    def linear(wide: int, deep: int) -> Linear:
        return Linear(torch.zeros(wide, deep, dtype=dtype), torch.zeros(wide, dtype=dtype))

    for activation in Activation:
        operations.norm_linear(stream, norm, linear(4 * width, width), activation)
    operations.linear_add(x, linear(width, width), stream, None)
    hidden = torch.zeros(2 * beams, 4 * width, dtype=dtype)
    operations.linear_add(hidden, linear(width, 4 * width), stream, norm)
    qkv = torch.zeros(2 * beams, 3 * width, dtype=dtype)
    operations.attend_self(qkv, 1, rows, positions, memory)
    recurrent = replace(config, decoder_kind=DecoderKind.SSRU)
    states = SlotMemory(recurrent, 2 * beams, dtype=dtype, device=CPU)
    operations.recur(qkv[:, width:].contiguous(), 1, rows, positions, states)
    operations.attend_cross(x, 1, rows, memory)
    weights = torch.zeros(2 * beams, config.max_positions)
    operations.add_attention(weights, x, 1, (0, 3), rows, memory)
    operations.note_attended(weights, rows, positions, memory)
    operations.attend_packed(qkv, torch.zeros(4, 3).int(), config.num_heads)
    keys_values = torch.zeros(64, 4 * width, dtype=dtype)
    operations.write_cross(keys_values, torch.zeros(2, 64).int(), memory)
    logits = torch.zeros(2 * beams, vocabulary)
    best = 1 if beams == 1 else 2 * beams
    candidates = operations.best_candidates(logits, torch.zeros(vocabulary), best)
    operations.advance(candidates, rows, memory, torch.zeros(2).int(), 2)
    operations.constrain(logits, rows, positions, memory, 2)
    operations.restrict(logits, rows, memory)
    operations.best_candidates(logits, None, best, normalised=True)
    if beams > 1:
        operations.reorder_beams(rows, positions, memory)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], required=True)
    parser.add_argument("--beams", type=int, required=True)
    arguments = parser.parse_args()
    triton.runtime.driver.set_active(MadeUpDriver())
    JITFunction.__getitem__ = compile_instead_of_launching
    use_everything(getattr(torch, arguments.dtype), 512, 32_000, arguments.beams)


if __name__ == "__main__":
    main()
