"""The given beginning of a translation as tokens.

A model that goes on from whole tokens ends a word where the beginning does: from "Das Tier über" it
goes on with "▁über", and never gets to "▁überquerte". So the last word, or the last letters of it,
are not given as tokens; instead the next token must begin with them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.text.tokenizer import Tokenizer

__all__ = ["PrefixTokenizer", "Seam"]

_LONGEST_REST = 24
"""Most characters that the next token must begin with."""
_LAST = "\U0010ffff"


class Seam(NamedTuple):
    """How a target begins, and goes on."""

    token_ids: tuple[int, ...]
    """What is given."""
    rest: str
    """What of the text they do not say, with the space before it."""
    following: NDArray[np.int32] | None
    """(N,) the tokens that begin with the rest, in ascending order; None: any may follow."""


class PrefixTokenizer:
    """Makes tokens of beginnings. To be made once for a model: it looks at all of its pieces.

    Args:
        tokenizer: the model's.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        surfaces = (
            (tokenizer.surfaces([token])[0][0], token) for token in range(tokenizer.target.size)
        )
        self._pieces = sorted(
            (text, token) for text, token in surfaces if text.strip() and "\ufffd" not in text
        )
        self._texts = [text for text, _ in self._pieces]

    def seam(self, text: str) -> Seam:
        """How a target begins whose text is `text`, which is more than white space."""
        words = text.split()
        if text[-1].isspace():
            following = self._matching(lambda piece: piece[0] == " " or not piece[0].isalnum())
            return Seam(self._ids(text), "", following)
        last = f" {words[-1]}"
        head = text[: len(text) - len(words[-1])]
        for length in range(max(0, len(last) - _LONGEST_REST), len(last)):
            rest = last[length:]
            low, high = bisect_left(self._texts, rest), bisect_left(self._texts, rest + _LAST)
            if low == high or not rest.strip():
                continue
            given = head + last[1:length]
            ids = self._ids(given)
            if not self._says(ids, given):
                continue
            return Seam(ids, rest, _ascending(token for _, token in self._pieces[low:high]))
        return Seam(self._ids(text), "", None)

    def whole(self, text: str) -> tuple[int, ...]:
        """All of `text` as tokens."""
        return self._ids(text)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.target.tokenize(text.strip())) if text.strip() else ()

    def _says(self, ids: tuple[int, ...], text: str) -> bool:
        """Whether the tokens say all of `text`, and none is unknown."""
        if self._tokenizer.unk_id in ids:
            return False
        said = "".join(surface for surface, _ in self._tokenizer.surfaces(ids))
        return said.split() == text.split()

    def _matching(self, wanted: Callable[[str], bool]) -> NDArray[np.int32]:
        return _ascending(token for piece, token in self._pieces if wanted(piece))


def _ascending(tokens: Iterable[int]) -> NDArray[np.int32]:
    return np.array(sorted(tokens), dtype=np.int32)
