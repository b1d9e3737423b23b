"""Random weights whose targets are as long as a plan says.

Untrained weights end a target at once or never, and a limit set from outside is not the same work
for everybody: one library has a limit for each sentence, another one for each call, and a callback
costs time of its own. So the plan lies in the weights, and whoever runs them just translates.

The first token of a source names the length of its target. Some channels of the residual stream are
set aside for it: no other sub-layer writes to them, so layer normalisation is all they go through.
That scales and shifts all channels of a position alike, and what is read here is the difference of
two groups of them, where the shift cancels out.

    clock   the fastest sines and cosines of the position, which the embeddings leave alone
    plan    what the clock shows at the last step, in the embedding of the first source token
    mark    set in the embedding of the first source token
    one     slow cosines, which are one at all positions that matter
    zero    slow sines, which are zero there
    flag    slow sines, too: raised when the clock shows what is planned
    bias    slow cosines, too: what the end token's logit is lowered by

One head of the last cross-attention compares. Its queries are the clock, its keys the plan, less a
threshold where the mark is: only when both show the same, the score of the first source token is
above zero, which all others have, and far above. Its values are the mark, which it writes to the
flag, and of all rows of the projection the end token's alone reads the flag.

Int8 products on AVX2 may add neighbouring channels (2k and 2k + 1) in 16 bits, where 255 * 127 has
room once and not twice. So no row that plans reads both channels of such a pair: its products are
exact whether or not those of others saturate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from loadtests.bench.models import FIRST_FREE_ID, FIRST_LENGTH_ID, MAX_PLANNED_TOKENS
from model.network.attention import MultiHeadAttention
from model.network.transformer import Transformer

__all__ = ["plan_lengths"]

_NUM_WAVES = 24
_GROUP = 8
_SHARPNESS = 600.0
"""Scale of the comparison: the two outcomes must be all or nothing, in int8 as well."""
_PLAN_SIZE = 2.0
_SUBLAYER_GAIN = 0.3
"""Random sub-layers write less than they read, or the plan would drown in 12 layers of noise."""
_LAST_GAIN = 8.0
"""Except for the last one: tied to its embeddings, the model would else repeat its last token."""
_FLAG_GAIN = 40.0
_END_IF_FLAGGED = 40.0
_END_OTHERWISE = 8.0


@dataclass(frozen=True, kw_only=True)
class _Channels:
    """Indices into the residual stream, (C,) each; see the top of this file."""

    clock: Tensor
    plan: Tensor
    mark: Tensor
    one: Tensor
    zero: Tensor
    flag: Tensor
    bias: Tensor

    @property
    def all(self) -> Tensor:
        groups = (self.clock, self.plan, self.mark, self.one, self.zero, self.flag, self.bias)
        return torch.cat(groups)


@torch.no_grad()
def plan_lengths(model: Transformer) -> None:
    """Changes freshly initialised weights so that a length token decides where a target ends.

    A source is then a length token, any ids from `FIRST_FREE_ID` on, and the end token. Shapes and
    the number of weights stay what they were, and almost all weights stay random.

    Args:
        model: of the paper's kind: post-norm, sinusoidal positions, one scaled matrix for all
            embeddings and the projection, at least 512 channels, heads of at least 49.
    """
    channels = _channels(model.config.d_model)
    _set_aside(model, channels)
    _write_embeddings(model, channels)
    _write_comparison(model.decoder_layers[-1].cross_attn, channels)  # type: ignore[arg-type]


def _channels(d_model: int) -> _Channels:
    channel = torch.arange(d_model)
    slow_sines = channel[0::2].flip(0)  # slowest first
    slow_cosines = channel[1::2].flip(0)
    return _Channels(
        clock=channel[: 2 * _NUM_WAVES],
        one=slow_cosines[:_GROUP],
        bias=slow_cosines[_GROUP : 2 * _GROUP],
        plan=slow_cosines[2 * _GROUP : 2 * _GROUP + 2 * _NUM_WAVES],
        mark=slow_sines[:_GROUP],
        zero=slow_sines[_GROUP : 2 * _GROUP],
        flag=slow_sines[2 * _GROUP : 4 * _GROUP],
    )


def _clock(d_model: int) -> Tensor:
    """(MAX_PLANNED_TOKENS, 2 * _NUM_WAVES): what the clock channels hold at each position."""
    waves = torch.arange(_NUM_WAVES, dtype=torch.float64)
    angle = torch.arange(MAX_PLANNED_TOKENS)[:, None] * 10_000.0 ** (-2 * waves / d_model)
    return torch.stack([torch.sin(angle), torch.cos(angle)], dim=-1).flatten(1)


def _threshold(d_model: int) -> float:
    """Half way between equal readings of the clock and the most similar different ones."""
    clock = _clock(d_model)
    similarity = clock @ clock.T
    equal = similarity.diagonal().clone()
    similarity.fill_diagonal_(-math.inf)
    return float(equal.min() + similarity.max()) / 2


def _set_aside(model: Transformer, channels: _Channels) -> None:
    """Keeps every sub-layer from writing to the channels."""
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.out_proj.weight.mul_(_SUBLAYER_GAIN)
            module.out_proj.weight[channels.all] = 0.0
    layers = [*model.encoder_layers, *model.decoder_layers]
    for layer in layers:
        outer = layer.feed_forward.outer.weight
        outer.mul_(_LAST_GAIN if layer is layers[-1] else _SUBLAYER_GAIN)
        if layer is layers[-1]:
            outer.sub_(outer.mean(dim=1, keepdim=True))
        outer[channels.all] = 0.0


def _write_embeddings(model: Transformer, channels: _Channels) -> None:
    config, scale = model.config, model.src_embedding.scale
    rows = model.src_embedding.tokens.weight
    rows[:, channels.all] = 0.0
    shown = _clock(config.d_model) * (_PLAN_SIZE / scale)
    length_rows = rows[FIRST_LENGTH_ID:FIRST_FREE_ID]  # a view: it is written through
    length_rows[:, channels.plan] = shown.to(rows.dtype)
    length_rows[:, channels.mark] = _PLAN_SIZE / scale
    rows[config.eos_id] = 0.0
    rows[config.eos_id, channels.flag] = _END_IF_FLAGGED / len(channels.flag)
    rows[config.eos_id, channels.bias] = -_END_OTHERWISE / len(channels.bias)


def _write_comparison(attention: MultiHeadAttention, channels: _Channels) -> None:
    head = attention.head_dim
    features = 2 * _NUM_WAVES
    query, key, value = (
        projection.weight[:head]
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    d_model = query.size(1)
    for rows in (query, key, value):
        rows.zero_()
    sharpness = math.sqrt(_SHARPNESS)
    threshold = math.sqrt(_threshold(d_model))
    for feature in range(features):
        query[feature, channels.clock[feature]] = sharpness
        _subtract(query[feature], channels.zero, sharpness)
        key[feature, channels.plan[feature]] = sharpness
        _subtract(key[feature], channels.one, sharpness)
    _subtract(query[features], channels.one, -sharpness * threshold)
    _subtract(query[features], channels.zero, sharpness * threshold)
    _subtract(key[features], channels.mark, sharpness * threshold)
    _subtract(key[features], channels.zero, -sharpness * threshold)
    for row in value:
        _subtract(row, channels.mark, -1.0)
        _subtract(row, channels.zero, 1.0)
    attention.out_proj.weight[:, :head] = 0.0
    attention.out_proj.weight[channels.flag, :head:2] = 2 * _FLAG_GAIN / head


def _subtract(row: Tensor, group: Tensor, size: float) -> None:
    """Takes `size` times the mean of a group of channels from what `row` (D,) reads."""
    row[group] -= size / len(group)
