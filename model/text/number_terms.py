"""Numbers without digits that a translation must have: small ones in words, and Roman numerals."""

from __future__ import annotations

from collections.abc import Sequence

from model.text.glossary import TermMatch
from model.text.number_words import NumberWords
from model.text.roman_numerals import RomanNumerals
from model.text.words import Span

__all__ = ["NumberTerms"]


class NumberTerms:
    """Finds those of sentences, as terms. Safe to use from several threads.

    Args:
        source: code of the language of the sentences.
        target: code of the language that they are translated into.
    """

    def __init__(self, source: str, target: str) -> None:
        self._words = NumberWords(source, target)
        self._numerals = RomanNumerals(target)

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """Those of `sentence` that are surely a number, in order.

        Args:
            sentence: or a longer text.
            taken: parts of it where none is looked for; in order, apart from each other.
        """
        words = self._words.find(sentence, taken)
        if not (numerals := self._numerals.find(sentence, taken)):
            return words
        return tuple(sorted([*words, *numerals], key=lambda term: term.begin))
