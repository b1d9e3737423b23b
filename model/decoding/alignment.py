"""Which source token each target token comes from, out of the attention of a search's steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.decoding.search import BeamSearch

__all__ = ["attended_places", "zero_attention"]


def zero_attention(
    searches: Sequence[BeamSearch], source_len: int, device: torch.device | str
) -> Tensor | None:
    """(B, S) zeros, for the attention of each hypothesis of a step; None if no search asks."""
    if all(search.options.align_to is None for search in searches):
        return None
    num_rows = sum(search.beam_size for search in searches)
    return torch.zeros(num_rows, source_len, dtype=torch.float32, device=device)


def attended_places(
    searches: Sequence[BeamSearch], attention: Tensor | None
) -> list[list[int] | None]:
    """Where each hypothesis of each search attends most, the first of equals; None if not asked.

    Args:
        searches: in the order of the rows, `beam_size` of each.
        attention: (B, S) of a step, as `Transformer.decode_step` has left it.
    """
    if attention is None:
        return [None] * len(searches)
    places: list[list[int] | None] = []
    row = 0
    for search in searches:
        rows = attention[row : row + search.beam_size]
        row += search.beam_size
        among = search.options.align_to
        if among is None:
            places.append(None)
        else:
            best = rows[:, among.start : among.stop].argmax(dim=1)
            places.append((best + among.start).tolist())
    return places
