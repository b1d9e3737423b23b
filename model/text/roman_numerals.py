"""Roman numerals behind names (Henry VIII, Chapter IV), whose value a translation must have.

As with numbers in words (model/text/number_words.py), nothing is done where the translation says
the value in whatever form. Where it does not, the numeral is a term that stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from model.text.glossary import LetterCase, TermMatch
from model.text.language_tags import base_language
from model.text.numbers import number_words, ordinals
from model.text.words import Span, overlapping
from model.text_options import GlossaryEntry

__all__ = ["RomanNumerals"]

_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}
_HINT = re.compile("[IVXL]{2}")
_NUMERAL = re.compile(
    r"(?<![\w.'\u2019])(?=[IVXL]{2,8}(?![\w'\u2019]))(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})(?!\w)"
)
_NAME_BEFORE = re.compile(r"(?<!\w)(\w+)\s\Z")
_JOINTS = frozenset(
    ("-", "\u2013", " - ", " \u2013 ", ", ", " & ", " and ", " to ", " und ", " bis ")
)
"""Between two numerals behind one name."""
_SMALL_WORDS = (
    "a an and as at by for from in is it its no of on or our that the their this to we with your "
    "am auf bei das dem den der des die ein eine einem einer es ihr im in mit nach seit sie und "
    "unser von vor wir zu zum zur"
)
_NO_NAMES = frozenset(_SMALL_WORDS.split())
"""Words with capitals at the beginning of a sentence: an IV drip has no number."""
_MOST_BESIDE = 32


class RomanNumerals:
    """Finds the Roman numerals of sentences. Safe to use from several threads.

    Args:
        target: code of the language that sentences are translated into; none are found for one
            whose numbers in words are not known.
    """

    def __init__(self, target: str) -> None:
        self._target = base_language(target)
        self._is_known = bool(number_words(self._target))

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """Those of `sentence` that are surely a number, in order, as terms.

        Args:
            sentence: or a longer text.
            taken: parts of it where none is looked for; in order, apart from each other.
        """
        if not self._is_known or _HINT.search(sentence) is None or sentence.isupper():
            return ()
        return tuple(self._found(sentence, taken))

    def _found(self, sentence: str, taken: Sequence[Span]) -> Iterator[TermMatch]:
        last = -1
        for match in _NUMERAL.finditer(sentence):
            begin, end = match.span()
            follows = last >= 0 and sentence[last:begin] in _JOINTS
            if not (follows or _is_behind_name(sentence, begin)):
                continue
            last = end
            if not overlapping(taken, begin, end):
                numeral = match[0]
                entry = GlossaryEntry(numeral, (numeral,), case_sensitive=True)
                yield TermMatch(begin, end, entry, LetterCase(), _said(numeral, self._target))


def _is_behind_name(sentence: str, begin: int) -> bool:
    name = _NAME_BEFORE.search(sentence, max(0, begin - _MOST_BESIDE), begin)
    return name is not None and name[1][0].isupper() and name[1].lower() not in _NO_NAMES


@lru_cache(maxsize=256)
def _said(numeral: str, target: str) -> re.Pattern[str]:
    """What says a numeral in a translation."""
    value = _value(numeral)
    words = number_words(target)
    said = [*(words[value] if value < len(words) else ()), *ordinals(str(value), target)]
    spelled = "|".join(re.escape(word.removesuffix("e")) for word in said if word.isalpha())
    in_words = rf"|(?i:{spelled})\w{{0,2}}(?!\w)" if spelled else ""
    return re.compile(rf"(?<!\w)(?:{numeral}(?!\w)|{value}(?:(?!\w)|(?=st|nd|rd|th)){in_words})")


def _value(numeral: str) -> int:
    values = [_VALUES[sign] for sign in numeral]
    following = [*values[1:], 0]
    return sum(-own if own < next_ else own for own, next_ in zip(values, following, strict=True))
