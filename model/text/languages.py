"""Pairs of languages, and the sets of languages that a model translates from and into."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Pair"]


class Pair(NamedTuple):
    """A direction of translation: two language codes, as the model writes them."""

    source: str
    target: str
