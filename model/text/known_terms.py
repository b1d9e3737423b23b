"""Terms that are known without a glossary: small numbers in words, Roman numerals, days of the
week, months, whether a year is before Christ, and names of places."""

from __future__ import annotations

from collections.abc import Sequence

from model.text.calendar_names import CalendarNames
from model.text.eras import Eras
from model.text.glossary import TermMatch
from model.text.number_words import NumberWords
from model.text.place_names import PlaceNames
from model.text.roman_numerals import RomanNumerals
from model.text.words import Span

__all__ = ["KnownTerms"]


class KnownTerms:
    """Finds those of sentences, as terms. Safe to use from several threads.

    Args:
        source: code of the language of the sentences.
        target: code of the language that they are translated into.
    """

    def __init__(self, source: str, target: str) -> None:
        self._words = NumberWords(source, target)
        self._numerals = RomanNumerals(target)
        self._eras = Eras(source, target)
        self._calendar = CalendarNames(source, target)
        self._places = PlaceNames(source, target)

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """Those of `sentence` that are surely one, in order.

        Args:
            sentence: or a longer text.
            taken: parts of it where none is looked for; in order, apart from each other.
        """
        words = self._words.find(sentence, taken)
        others = (
            self._numerals.find(sentence, taken)
            + self._eras.find(sentence, taken)
            + self._calendar.find(sentence, taken)
            + self._places.find(sentence, taken)
        )
        return tuple(sorted([*words, *others], key=lambda term: term.begin)) if others else words
