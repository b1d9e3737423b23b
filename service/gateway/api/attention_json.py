"""Where a model attends for a sentence, in JSON: what `POST /v1/attention` and `polyhead attention`
tell."""

from __future__ import annotations

from pydantic_core import to_json

from model.translation import HeadMaps, SentenceAttention

__all__ = ["attention_json"]


def attention_json(attention: SentenceAttention, model: str) -> bytes:
    """An AttentionReply in JSON; up to hundreds of thousands of numbers.

    Args:
        attention: of the sentence.
        model: its name.
    """
    return _object(
        translation=to_json(attention.translation.text),
        model=to_json(model),
        source_tokens=to_json(attention.source_tokens),
        target_tokens=to_json(attention.target_tokens),
        encoder=_head_maps(attention.encoder),
        decoder=b"null" if attention.decoder is None else _head_maps(attention.decoder),
        cross=_head_maps(attention.cross),
    )


def _head_maps(heads: HeadMaps) -> bytes:
    """An AttentionMapsBody in JSON."""
    # The GIL is held while a list is written: by layers, the event loop has its turn between them.
    layers = (to_json(layer.astype(float).round(4).tolist()) for layer in heads.maps)
    return _object(maps=b"[%b]" % b",".join(layers), entropies=to_json(heads.entropies))


def _object(**fields: bytes) -> bytes:
    """An object with these values, which are in JSON already."""
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), fields[name]) for name in fields)
