"""One sentence and its translation as a model attends to them, with the names of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from model.network.attention_maps import attention_maps, mean_entropy
from model.network.weights import Floats, Weights
from model.text.segmentation import Segment
from model.text.tokenizer import SourceEncoder, Tokenizer
from model.translation import HeadMaps, SentenceAttention, Translation

__all__ = ["sentence_attention"]


def sentence_attention(
    weights: Weights,
    tokenizer: Tokenizer,
    encoder: SourceEncoder,
    segment: Segment,
    target_ids: Sequence[int],
    translation: Translation,
    *,
    check: Callable[[], None],
) -> SentenceAttention:
    """The attention of all heads; see `model.network.attention_maps`.

    Args:
        weights: of the model.
        tokenizer: the model's.
        encoder: that has read the sentence.
        segment: the sentence.
        target_ids: what the decoder has read, from the start token on.
        translation: of the sentence.
        check: called before each layer; may raise.
    """
    maps = attention_maps(weights, segment.token_ids, target_ids, check=check)
    return SentenceAttention(
        translation=translation,
        source_tokens=_source_tokens(tokenizer, encoder, segment),
        target_tokens=_target_tokens(tokenizer, target_ids),
        encoder=_head_maps(maps.encoder),
        decoder=None if maps.decoder is None else _head_maps(maps.decoder),
        cross=_head_maps(maps.cross),
    )


def _head_maps(maps: Floats) -> HeadMaps:
    entropies = np.round(mean_entropy(maps).astype(float), 4).tolist()
    return HeadMaps(maps=maps, entropies=tuple(map(tuple, entropies)))


def _source_tokens(
    tokenizer: Tokenizer, encoder: SourceEncoder, segment: Segment
) -> tuple[str, ...]:
    read = segment.text if segment.reading is None else segment.reading.text
    if encoder.normalizer is not None:
        read = encoder.normalizer.normalize(read)
    pieces = [read[begin:end].strip() for begin, end in encoder.vocabulary.spans(read)]
    before, after = (
        [tokenizer.special_name(token) for token in ids] for ids in (encoder.before, encoder.after)
    )
    return (*before, *pieces, *after)


def _target_tokens(tokenizer: Tokenizer, token_ids: Sequence[int]) -> tuple[str, ...]:
    """The start token, whose id may be that of another one, and those that were written."""
    surfaces = tokenizer.surfaces(token_ids[1:])
    texts = [surface.strip() for surface, count in surfaces for _ in range(count)]
    return (
        "<s>",
        *(
            text or tokenizer.special_name(token)
            for token, text in zip(token_ids[1:], texts, strict=True)
        ),
    )
