"""Terms that no translation may have, as the token sequences by which a target could say them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain

from model.text.tokenizer import Tokenizer
from model.text.vocabulary import Vocabulary

__all__ = ["BannedTerms"]

_WORD_BEGIN = "\u2581"
_MOST_SEQUENCES = 24
"""Ways to cut a term into pieces that are banned, those of the fewest pieces: a model does not come
to the others."""
_LONGEST_PIECE = 24
"""Most characters of a piece that is looked for."""
_MOST_JOINED = 4
"""How many of these are banned behind a sign too."""
_SIGNS = tuple("\"'(/-[\u2013\u2014\u201c\u201e\u201a\u2018\u00ab\u00bb\u00bf\u00a1")
"""What a word may follow without a space between."""


class BannedTerms:
    """Finds the token sequences of terms. Safe to use from several threads.

    A term is banned in small letters, capitalised and in capitals, at the beginning of a word and
    behind a sign without a space; so is a longer word whose first pieces are it.

    Args:
        tokenizer: the model's.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._vocabulary: Vocabulary = tokenizer.target
        self._tokenize: Callable[[str], list[int]] = tokenizer.target.tokenize
        self._unknown = tokenizer.unk_id
        found = map(self._vocabulary.find, [*_SIGNS, *(f"{_WORD_BEGIN}{sign}" for sign in _SIGNS)])
        self._signs = [token for token in found if token is not None]

    def sequences(self, term: str) -> tuple[tuple[int, ...], ...]:
        """Those of a term, each once; it takes some milliseconds."""
        return tuple(dict.fromkeys(chain.from_iterable(map(self._of, _cases(term)))))

    def _of(self, term: str) -> Iterator[tuple[int, ...]]:
        text = _WORD_BEGIN + term.replace(" ", _WORD_BEGIN)
        usual = tuple(self._tokenize(term))
        if usual and self._unknown not in usual:
            yield usual
        yield from self._cut(text)
        for ids in self._cut(text[1:])[:_MOST_JOINED]:
            yield from ((sign, *ids) for sign in self._signs)

    def _cut(self, text: str) -> list[tuple[int, ...]]:
        """The ways to cut `text` into pieces, those of the fewest pieces first."""
        find = cache(self._vocabulary.find)
        cuts: list[list[tuple[int, ...]]] = [[()]]
        for end in range(1, len(text) + 1):
            ways = [
                (*before, token)
                for begin in range(max(0, end - _LONGEST_PIECE), end)
                if cuts[begin] and (token := find(text[begin:end])) is not None
                for before in cuts[begin]
            ]
            cuts.append(sorted(ways, key=len)[:_MOST_SEQUENCES])
        return cuts[-1]


def _cases(term: str) -> Iterable[str]:
    """The term as it is given, in small letters, capitalised and in capitals."""
    small = term.lower()
    return dict.fromkeys([term, small, small[:1].upper() + small[1:], term.upper()])
