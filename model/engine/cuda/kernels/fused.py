"""Each operation as one kernel on a CUDA device, or as one product of the vendor's library."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from torch.nn import functional as F

from model.config import Activation
from model.decoding.repeats import LONGEST_BLOCK
from model.engine.cuda.kernels.jit.alignment import add_attention_kernel, note_attended_kernel
from model.engine.cuda.kernels.jit.attention import (
    attend_beams_kernel,
    attend_self_kernel,
    attend_source_kernel,
)
from model.engine.cuda.kernels.jit.constraints import guard_kernel
from model.engine.cuda.kernels.jit.encoder import attend_packed_kernel, write_cross_kernel
from model.engine.cuda.kernels.jit.linear import linear_kernel
from model.engine.cuda.kernels.jit.projection import pick_kernel, project_kernel
from model.engine.cuda.kernels.jit.recurrence import recur_kernel
from model.engine.cuda.kernels.jit.search import (
    advance_kernel,
    read_rows_kernel,
    reorder_beams_kernel,
)
from model.engine.cuda.kernels.jit.stream import add_norm_kernel, embed_kernel
from model.engine.cuda.kernels.operations import (
    PACKED_BLOCK,
    Candidates,
    Guard,
    Linear,
    Norm,
    Table,
)
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.kernels.slot_memory import CUT_OFF, ENDED, Counter, SlotMemory
from model.network.activations import ACTIVATIONS

__all__ = ["FusedOperations"]

_PAST_BLOCK = 32
"""Positions that a program of decode attention reads at a time: most sentences need one turn."""

_VOCABULARY_TILE = 128
"""Tokens whose logits one program makes, for some rows."""

_PROJECTION_SHAPES = ((16, 128, 4), (32, 128, 4), (64, 64, 4), (128, 64, 8))
"""Rows and depth of a product's tile, and its warps, for as many rows at most; the last for all
that are more."""
_MASKED_SHAPES = ((16, 128, 4), (32, 128, 4), (64, 64, 8))
"""The same under a guard or shortlists, whose bits take registers, too."""
_EXACT_SHAPES = ((16, 32, 4), (64, 32, 8))
"""The same in float32."""

_WIDEST_OF_FOUR_WARPS = 512
"""Columns of sixteen rows of float32 that as many warps can hold without spilling."""

_ENOUGH_PROGRAMS = 128
"""For a device to have something to read everywhere: an H200 has 132 multiprocessors."""

_MOST_ARRIVALS = 4096
"""Tiles of a product whose depth is split."""

_WIDEST_BEAM = 8
"""A search program holds all candidates of a group, whose number grows with the beam squared. Wider
beams, which nobody needs to be fast, are searched by the plain operations."""


class FusedOperations(PlainOperations):
    """`Operations` on a CUDA device.

    Args:
        dtype: of weights and caches, float32 or bfloat16.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        self._arrivals: Tensor | None = None

    def read_rows(self, rows: Tensor, memory: SlotMemory) -> tuple[Tensor, Tensor]:
        num_rows = rows.numel()
        token_ids, positions = rows.new_empty(num_rows), rows.new_empty(num_rows)
        read_rows_kernel[(triton.cdiv(num_rows, 128),)](
            rows, token_ids, positions,
            memory.counters[Counter.POSITION], memory.counters[Counter.DONE],
            memory.tokens, memory.tokens.stride(0), num_rows,
            BEAMS=rows.size(1), BLOCK=128, num_warps=4,
        )  # fmt: skip
        return token_ids, positions

    def embed(self, token_ids: Tensor, positions: Tensor, table: Table) -> Tensor:
        width = table.tokens.size(1)
        stream = table.positions.new_empty(len(token_ids), width)
        norm = table.norm or Norm(stream, stream, 1.0)
        embed_kernel[(len(token_ids),)](
            token_ids, positions, table.tokens, table.positions, norm.weight, norm.bias, stream,
            table.offset, table.scale, norm.eps,
            WIDTH=width, BLOCK=triton.next_power_of_2(width), NORM=table.norm is not None,
            num_warps=4,
        )  # fmt: skip
        return stream

    def add_norm(
        self, stream: Tensor, update: Tensor | None, norm: Norm | None, *, keep: bool
    ) -> Tensor:
        num_rows, width = stream.shape
        out = stream.new_empty(stream.shape, dtype=self.dtype)
        given = norm or Norm(stream, stream, 1.0)
        add_norm_kernel[(num_rows,)](
            stream, out if update is None else update, given.weight, given.bias, out, given.eps,
            WIDTH=width, BLOCK=triton.next_power_of_2(width),
            ADD=update is not None, NORM=norm is not None, KEEP=keep and norm is not None,
            num_warps=4,
        )  # fmt: skip
        return out

    def linear(self, x: Tensor, linear: Linear, activation: Activation | None = None) -> Tensor:
        if activation is Activation.RELU and linear.bias is not None:
            # The product's own epilogue.
            return torch._addmm_activation(linear.bias, x, linear.weight.t())
        y = F.linear(x, linear.weight, linear.bias)
        if activation is Activation.RELU:
            return y.relu_()
        if activation is Activation.SILU:
            return F.silu(y, inplace=True)
        return y if activation is None else ACTIVATIONS[activation](y)

    def norm_linear(
        self, stream: Tensor, norm: Norm | None, linear: Linear, activation: Activation | None
    ) -> Tensor:
        out = stream.new_empty(len(stream), len(linear.weight), dtype=self.dtype)
        self._launch_linear(stream, norm, linear, activation, None, None, out)
        return out

    def linear_add(self, x: Tensor, linear: Linear, stream: Tensor, norm: Norm | None) -> Tensor:
        out = torch.empty_like(stream)
        self._launch_linear(x, None, linear, None, stream, norm, out)
        return out

    def logits(self, x: Tensor, projection: Linear) -> Tensor:
        if self.dtype is torch.float32 or not x.is_cuda:
            return super().logits(x, projection)
        # float32 out of the accumulators, not by way of the type of the weights; CUDA's alone
        logits = torch.mm(x, projection.weight.t(), out_dtype=torch.float32)
        return logits if projection.bias is None else logits.add_(projection.bias)

    def _launch_linear(
        self,
        x: Tensor,
        norm: Norm | None,
        linear: Linear,
        activation: Activation | None,
        kept: Tensor | None,
        kept_norm: Norm | None,
        out: Tensor,
    ) -> None:
        (num_rows, num_columns), width = out.shape, x.size(1)
        given, given_kept = norm or Norm(x, x, 1.0), kept_norm or Norm(x, x, 1.0)
        # Of float32, twice as much of a row would not fit into registers.
        rows, columns, depth = 16, 32, 64 if linear.weight.dtype is torch.float32 else 128
        grid = (triton.cdiv(num_columns, columns), triton.cdiv(num_rows, rows))
        splits, part = _depth_split(width, depth, grid[0])
        if splits > 1 and grid[0] * grid[1] > _MOST_ARRIVALS:
            splits, part = 1, width
        parts = x.new_empty((splits, *out.shape) if splits > 1 else 1, dtype=torch.float32)
        linear_kernel[(*grid, splits)](
            x, linear.weight, x if linear.bias is None else linear.bias, out,
            given.weight, given.bias, out if kept is None else kept,
            given_kept.weight, given_kept.bias, parts, self._arrivals_on(x.device), num_rows,
            given.eps, given_kept.eps,
            IN=width, OUT=num_columns, IN_BLOCK=triton.next_power_of_2(width),
            OUT_BLOCK=triton.next_power_of_2(num_columns), ROWS=rows, COLUMNS=columns,
            DEPTH=depth, SPLITS=splits, PART=part,
            BIAS=linear.bias is not None, NORM=norm is not None,
            ACTIVATION=None if activation is None else activation.value,
            KEEP=kept is not None, KEEP_NORM=kept_norm is not None,
            # Whole rows are normed in registers.
            num_warps=8 if kept_norm is not None and num_columns > _WIDEST_OF_FOUR_WARPS else 4,
        )  # fmt: skip

    @property
    def _attending_warps(self) -> int:
        """Warps of a program that attends to a source: float32 takes twice the registers."""
        return 4 if self.dtype is torch.float32 else 2

    def _arrivals_on(self, device: torch.device) -> Tensor:
        """Zeros; graphs keep their address, so that they stay."""
        if self._arrivals is None:
            self._arrivals = torch.zeros(_MOST_ARRIVALS, dtype=torch.int32, device=device)
        return self._arrivals

    def attend_packed(self, qkv: Tensor, blocks: Tensor, num_heads: int) -> Tensor:
        width = qkv.size(1) // 3
        out = qkv.new_zeros(len(qkv), width)
        attend_packed_kernel[(len(blocks), num_heads)](
            qkv, blocks, out, qkv.stride(0), out.stride(0), 1.0 / math.sqrt(width // num_heads),
            D_MODEL=width, HEAD_DIM=width // num_heads,
            # A matrix unit takes no fewer than 16.
            HEAD_BLOCK=max(16, triton.next_power_of_2(width // num_heads)),
            QUERIES=PACKED_BLOCK, BLOCK=32, num_warps=8 if self.dtype is torch.float32 else 2,
        )  # fmt: skip
        return out

    def write_cross(self, kv: Tensor, places: Tensor, memory: SlotMemory) -> None:
        keys = memory.cross_keys
        layers, _, heads, _, head_dim = keys.shape
        write_cross_kernel[(len(kv), layers)](
            kv, places[0], places[1], keys, memory.cross_values,
            kv.stride(0), keys.stride(0), keys.stride(1), keys.stride(2),
            D_MODEL=heads * head_dim, HEAD_DIM=head_dim,
            BLOCK=triton.next_power_of_2(heads * head_dim), num_warps=4,
        )  # fmt: skip

    def attend_self(
        self, qkv: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        keys, ancestors = memory.self_keys[layer], memory.ancestors
        _, heads, _, head_dim = keys.shape
        out = qkv.new_empty(len(qkv), heads * head_dim)
        attend_self_kernel[(len(qkv), heads)](
            qkv, keys, memory.self_values[layer], out, rows, positions, ancestors,
            qkv.stride(0), out.stride(0), keys.stride(0), keys.stride(1),
            ancestors.stride(0), ancestors.stride(1), 1.0 / math.sqrt(head_dim),
            D_MODEL=heads * head_dim, HEAD_DIM=head_dim,
            HEAD_BLOCK=triton.next_power_of_2(head_dim), BLOCK=_PAST_BLOCK, BEAMS=rows.size(1),
            num_warps=2,
        )  # fmt: skip
        return out

    def recur(
        self, projected: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        states, ancestors = memory.states[:, layer], memory.ancestors
        width = states.size(2)
        out = projected.new_empty(len(projected), width)
        recur_kernel[(len(projected),)](
            projected, states, out, rows, positions, ancestors,
            states.stride(0), states.stride(1), ancestors.stride(0), ancestors.stride(1),
            WIDTH=width, BLOCK=triton.next_power_of_2(width), BEAMS=rows.size(1), num_warps=4,
        )  # fmt: skip
        return out

    def attend_cross(self, query: Tensor, layer: int, rows: Tensor, memory: SlotMemory) -> Tensor:
        keys = memory.cross_keys[layer]
        _, heads, _, head_dim = keys.shape
        groups, beams = rows.shape
        out = torch.empty_like(query)
        tensors = (
            query, keys, memory.cross_values[layer], out, rows,
            memory.counters[Counter.SOURCE_LEN], query.stride(0), out.stride(0), keys.stride(0),
            keys.stride(1), 1.0 / math.sqrt(head_dim),
        )  # fmt: skip
        sizes = {
            "HEAD_DIM": head_dim, "HEAD_BLOCK": triton.next_power_of_2(head_dim),
            "BLOCK": _PAST_BLOCK,
        }  # fmt: skip
        if beams == 1:
            warps = self._attending_warps
            attend_source_kernel[(groups, heads)](*tensors, **sizes, num_warps=warps)
            return out
        beam_block = min(4, triton.next_power_of_2(beams))
        attend_beams_kernel[(groups, heads, triton.cdiv(beams, beam_block))](
            *tensors, **sizes, BEAMS=beams, BEAM_BLOCK=beam_block, num_warps=2 * beam_block
        )
        return out

    def add_attention(
        self,
        weights: Tensor,
        query: Tensor,
        layer: int,
        heads: tuple[int, ...],
        rows: Tensor,
        memory: SlotMemory,
    ) -> None:
        keys = memory.cross_keys[layer]
        head_dim = keys.size(3)
        for head in heads:
            add_attention_kernel[(len(query),)](
                query, keys, weights, rows, memory.counters[Counter.SOURCE_LEN], head,
                query.stride(0), weights.stride(0), keys.stride(0), keys.stride(1),
                1.0 / math.sqrt(head_dim),
                HEAD_DIM=head_dim, HEAD_BLOCK=triton.next_power_of_2(head_dim), BLOCK=_PAST_BLOCK,
                BEAMS=rows.size(1), num_warps=2,
            )  # fmt: skip

    def note_attended(
        self, weights: Tensor, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> None:
        counters = memory.counters
        note_attended_kernel[(len(weights),)](
            weights, rows, positions, counters[Counter.ALIGN_FIRST], counters[Counter.ALIGN_END],
            counters[Counter.DONE], memory.attended, weights.stride(0), memory.attended.stride(0),
            BLOCK=triton.next_power_of_2(weights.size(1)), BEAMS=rows.size(1), num_warps=4,
        )  # fmt: skip

    def guard(
        self, rows: Tensor, positions: Tensor, memory: SlotMemory, vocab_size: int, eos_id: int
    ) -> Guard:
        ancestors, options = memory.ancestors, memory.options
        words = triton.cdiv(vocab_size, 32)
        penalised, banned = torch.zeros(
            2, rows.numel(), words, dtype=torch.int32, device=rows.device
        )
        guard_kernel[(rows.numel(),)](
            penalised, banned, rows, positions, options["no_repeat_ngram_size"],
            options["repetition_penalty"], options["limit_repeats"],
            memory.counters[Counter.SOURCE_COPIES], memory.tokens, ancestors, words,
            memory.tokens.stride(0), ancestors.stride(0), ancestors.stride(1), eos_id,
            LONGEST_BLOCK=LONGEST_BLOCK, BEAMS=rows.size(1),
            BLOCK=triton.next_power_of_2(memory.max_positions), num_warps=4,
        )  # fmt: skip
        return Guard(penalised, banned)

    def candidates(
        self,
        x: Tensor,
        projection: Linear,
        width: int,
        rows: Tensor,
        memory: SlotMemory,
        *,
        restricted: bool = False,
        guard: Guard | None = None,
    ) -> Candidates:
        if width > 2 * _WIDEST_BEAM:
            return super().candidates(
                x, projection, width, rows, memory, restricted=restricted, guard=guard
            )
        tiles = _project(x, projection, rows, memory, guard, keep=width > 1, restricted=restricted)
        vocabulary, num_tiles = len(projection.weight), tiles.maxima.size(1)
        best = tiles.maxima.new_empty(len(x), width)
        token_ids = torch.empty_like(best, dtype=torch.int32)
        penalised, banned = _bits_of(guard, rows)
        picked, ancestors = min(width, num_tiles), memory.ancestors
        pick_kernel[(len(x),)](
            tiles.logits, tiles.maxima, tiles.sums, tiles.tops, tiles.top_tokens, penalised,
            banned, rows, memory.counters[Counter.POSITION], memory.options["repetition_penalty"],
            memory.tokens, ancestors, best, token_ids, penalised.stride(0),
            memory.tokens.stride(0), ancestors.stride(0), ancestors.stride(1),
            VOCABULARY=vocabulary, TILES=num_tiles, TILE_BLOCK=triton.next_power_of_2(num_tiles),
            TILE=_VOCABULARY_TILE, WIDTH=width, PICKED=picked,
            PICKED_BLOCK=triton.next_power_of_2(picked), BEAMS=rows.size(1),
            GUARDED=guard is not None, KEEP=width > 1,
            HISTORY=triton.next_power_of_2(memory.max_positions), num_warps=4,
        )  # fmt: skip
        return Candidates(best, token_ids)

    def advance(
        self, candidates: Candidates, rows: Tensor, memory: SlotMemory, flags: Tensor, eos_id: int
    ) -> None:
        groups, beams = rows.shape
        if beams > _WIDEST_BEAM:
            super().advance(candidates, rows, memory, flags, eos_id)
            return
        width = candidates.scores.size(1)
        counters = memory.counters
        advance_kernel[(groups,)](
            candidates.scores, candidates.token_ids, rows,
            flags, counters[Counter.POSITION], counters[Counter.LIMIT],
            memory.options["num_hypotheses"], counters[Counter.ENDED], counters[Counter.DONE],
            counters[Counter.GIVEN], memory.options["length_penalty"],
            memory.options["length_normalization"], memory.options["search"],
            memory.options["forced_end"], memory.live_log_probs,
            memory.tokens, memory.parents, memory.ended_log_probs, memory.ended_beams,
            memory.ended_lengths, memory.ended_tokens, memory.trace.stride(0), eos_id,
            BEAMS=beams, BEAM_BLOCK=triton.next_power_of_2(beams),
            ENDED_BLOCK=2 * triton.next_power_of_2(beams),
            WIDTH=width, BLOCK=triton.next_power_of_2(beams * width),
            COUNT=1 if beams == 1 else min(2 * beams, beams * width),
            ENDED=ENDED, CUT_OFF=CUT_OFF,
            num_warps=1 if beams == 1 else 4,
        )  # fmt: skip

    def reorder_beams(self, rows: Tensor, positions: Tensor, memory: SlotMemory) -> None:
        ancestors = memory.ancestors
        reorder_beams_kernel[(rows.numel(),)](
            rows, positions, memory.counters[Counter.DONE], memory.parents, ancestors,
            memory.trace.stride(0), ancestors.stride(0), ancestors.stride(1),
            BEAMS=rows.size(1), BLOCK=128, num_warps=1,
        )  # fmt: skip


class _Tiles(NamedTuple):
    """What `project_kernel` leaves: of T tiles of the vocabulary, (R, T) each but for the first."""

    logits: Tensor
    """(R, T * _VOCABULARY_TILE) float32; of greedy search only those that a guard changes."""
    maxima: Tensor
    sums: Tensor
    tops: Tensor
    """The highest logits among those that no guard changes."""
    top_tokens: Tensor
    """Whose these are; of greedy search alone."""


def _project(
    x: Tensor,
    projection: Linear,
    rows: Tensor,
    memory: SlotMemory,
    guard: Guard | None,
    *,
    keep: bool,
    restricted: bool,
) -> _Tiles:
    num_rows, vocabulary = len(x), len(projection.weight)
    num_tiles = triton.cdiv(vocabulary, _VOCABULARY_TILE)
    maxima, sums = torch.empty(2, num_rows, num_tiles, device=x.device)
    guarded = guard is not None
    tops = torch.empty_like(maxima) if guarded else maxima
    top_tokens = rows if keep else torch.empty_like(maxima, dtype=torch.int32)
    logits = maxima
    if keep or guarded:
        logits = maxima.new_empty(num_rows, num_tiles * _VOCABULARY_TILE)
    penalised, banned = _bits_of(guard, rows)
    bias, allowed = projection.bias, memory.allowed
    shapes: tuple[tuple[int, int, int], ...]
    shapes = _MASKED_SHAPES if guarded or restricted else _PROJECTION_SHAPES
    if x.dtype is torch.float32:
        shapes = _EXACT_SHAPES
    tile_rows, depth, warps = next((each for each in shapes if each[0] >= num_rows), shapes[-1])
    project_kernel[(triton.cdiv(num_rows, tile_rows), num_tiles)](
        x, projection.weight, x if bias is None else bias, logits, maxima, sums, tops, top_tokens,
        penalised, banned, allowed, rows, num_rows, penalised.stride(0), allowed.stride(0),
        VOCABULARY=vocabulary, TILES=num_tiles, IN=x.size(1), BEAMS=rows.size(1),
        ROWS=tile_rows, TILE=_VOCABULARY_TILE, DEPTH=depth, BIAS=bias is not None,
        RESTRICTED=restricted, GUARDED=guarded, KEEP=keep, num_warps=warps, num_stages=3,
    )  # fmt: skip
    return _Tiles(logits, maxima, sums, tops, top_tokens)


def _bits_of(guard: Guard | None, rows: Tensor) -> tuple[Tensor, Tensor]:
    return (rows, rows) if guard is None else (guard.penalised, guard.banned)


def _depth_split(width: int, depth: int, programs: int) -> tuple[int, int]:
    """In how many parts a product's depth is multiplied, and how deep each is."""
    turns = triton.cdiv(width, depth)
    each = triton.cdiv(turns, min(turns, max(1, _ENOUGH_PROGRAMS // programs)))
    return triton.cdiv(turns, each), each * depth
