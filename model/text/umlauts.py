"""German typed without umlauts or ß, as it is usually written: `schoen` is read as `schön`.

A word is another one only where the vocabulary has fewer pieces for it: `neue` and `Wasser` stay.
"""

from __future__ import annotations

import re
from functools import lru_cache

from model.text.vocabulary import Vocabulary

__all__ = ["UmlautReader"]

_MOST_WORDS = 20_000
"""Words that are remembered."""
_LONGEST_WORD = 40
_WORD = re.compile(r"[^\W\d_]+")
_UMLAUTS = re.compile("[äöüÄÖÜ]")
_TO_UMLAUT = re.compile("[aouAOU][eE](?<![aeqAEQ][uU][eE])")
_NO_UMLAUT = re.compile("[aä]ä|[oö]ö", re.IGNORECASE)
"""What no German word has but at a seam."""
_LAST_UMLAUT = re.compile("[äöü]$")
_DOTTED = {"a": "ä", "o": "ö", "u": "ü", "A": "Ä", "O": "Ö", "U": "Ü"}
_STEMS = "fu fü gru grü blo spa spä sto stö sü mä gemä gefä so"
_LONG_VOWELS = [
    *("gross", "gröss", "strass", "[a-zäöü][aeä]uss", "\\bäuss", "eiss", "iess"),
    *(f"\\b{stem}ss" for stem in _STEMS.split()),
]
_TO_SHARP_S = re.compile(
    f"[sS]{{2}}(?i:{'|'.join(f'(?<={vowel})' for vowel in _LONG_VOWELS)}|(?<=\\bauss)(?=e[rn]\\b))"
)
"""Behind a long vowel, a diphthong or one of few stems. Old spellings, such as `gewiß`, have ß
elsewhere as well."""


class UmlautReader:
    """Reads German sentences with their umlauts and ß. Thread-safe.

    Args:
        vocabulary: of the source.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._spelled = lru_cache(_MOST_WORDS)(self._as_spelled)

    def read(self, text: str) -> str:
        """`text` as it is better read.

        Whoever types one umlaut has them all, and so with ß. What begins with a capital may be a
        name: by itself it says nothing about how the text was typed.
        """
        if not self.may_change(text):
            return text
        small = text.lower()
        umlauts = "ae" in small or "oe" in small or "ue" in small
        umlauts = umlauts and not _UMLAUTS.search(text) and bool(_TO_UMLAUT.search(text))
        sharp_s = "ss" in small and "ß" not in text
        if not (umlauts or (sharp_s and _TO_SHARP_S.search(text))):
            return text
        is_shouted = text.isupper()
        parts: list[str] = []
        at = 0
        is_certain = False
        for found in _WORD.finditer(text):
            word = found[0]
            spelled, is_no_name = self._spelled(word, umlauts, sharp_s)
            if spelled != word:
                parts += (text[at : found.start()], spelled)
                at = found.end()
                # Capitals have no other ß.
                is_certain |= is_no_name or (is_shouted and spelled.replace("ẞ", "SS") == word)
        return "".join([*parts, text[at:]]) if is_certain else text

    def may_change(self, text: str) -> bool:
        """Whether any part of a text may be read otherwise."""
        small = text.lower()
        return "ss" in small or "ae" in small or "oe" in small or "ue" in small

    def _as_spelled(self, word: str, umlauts: bool, sharp_s: bool) -> tuple[str, bool]:
        """A word with what makes fewest pieces of it, and whether that is surely no name."""
        if len(word) > _LONGEST_WORD:
            return word, False
        ways = [word]
        if umlauts:
            dotted = _TO_UMLAUT.sub(lambda found: _DOTTED[found[0][0]], word)
            if dotted == word or not self._is_no_word(dotted):
                ways.append(dotted)
        if sharp_s:
            ways += [_TO_SHARP_S.sub(lambda s: "ẞ" if s[0] == "SS" else "ß", way) for way in ways]
        best = min(dict.fromkeys(ways), key=self._num_pieces)
        if best == word:
            return word, False
        is_no_name = word[0].islower() or len(self._vocabulary.tokenize(best.lower())) == 1
        return best, is_no_name

    def _is_no_word(self, spelled: str) -> bool:
        """Whether fewer pieces say nothing, as of letters without a meaning: hardly any word ends
        in an umlaut, and the vocabulary knows those whole."""
        if _NO_UMLAUT.search(spelled):
            return True
        return _LAST_UMLAUT.search(spelled.lower()) is not None and self._num_pieces(spelled) > 1

    def _num_pieces(self, word: str) -> int:
        """The fewest pieces of a word with a small first letter, or with a capital one."""
        small = word.lower()
        cases = (small, small[0].upper() + small[1:])
        return min(len(self._vocabulary.tokenize(each)) for each in cases)
