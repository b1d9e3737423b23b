"""Where each head of a model attends, for one sentence and its translation: no torch in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.config import DecoderKind, TransformerConfig
from model.network.sentence_pass import SentencePass
from model.network.weights import Floats, Weights

__all__ = ["AttentionMaps", "attention_maps", "map_size", "mean_entropy"]


@dataclass(frozen=True, kw_only=True)
class AttentionMaps:
    """How much each position attends to each: rows of them are 1 in sum."""

    encoder: Floats
    """(L, H, S, S): the source to itself."""
    decoder: Floats | None
    """(L, H, T, T): the target to itself; None of a decoder without self-attention."""
    cross: Floats
    """(L, H, T, S): the target to the source."""


def map_size(config: TransformerConfig, source_len: int, target_len: int) -> int:
    """How many numbers the maps of a sentence have."""
    of_self = target_len if config.decoder_kind is DecoderKind.ATTENTION else 0
    encoder = config.num_encoder_layers * source_len * source_len
    decoder = config.num_decoder_layers * target_len * (of_self + source_len)
    return config.num_heads * (encoder + decoder)


def mean_entropy(maps: Floats) -> Floats:
    """The mean entropy of the rows of each head, in nats: (L, H, Q, M) -> (L, H).

    0: each position attends to one other; log M: to all of M alike.
    """
    logs = np.log(np.maximum(maps, np.finfo(np.float32).tiny))
    entropy: Floats = -(maps * logs).sum(axis=-1).mean(axis=-1)
    return entropy


def attention_maps(
    weights: Weights,
    source_ids: Sequence[int],
    target_ids: Sequence[int],
    *,
    check: Callable[[], None] = lambda: None,
) -> AttentionMaps:
    """The attention of all heads, teacher-forced.

    Args:
        weights: of the model, in float32.
        source_ids: S of them, as the encoder reads them.
        target_ids: T of them, as the decoder reads them: the first one is `bos_id`.
        check: called before each layer; may raise.
    """
    network = SentencePass(weights, check)
    of_source: list[Floats] = []
    of_target: list[Floats] = []
    of_both: list[Floats] = []
    encoder_output = network.encode(source_ids, of_source)
    network.decode(target_ids, range(len(target_ids)), encoder_output, of_target, of_both)
    return AttentionMaps(
        encoder=np.stack(of_source),
        decoder=np.stack(of_target) if of_target else None,
        cross=np.stack(of_both),
    )
