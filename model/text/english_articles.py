"""Whether English says a or an before a word: by its first sound, as far as its letters tell it."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["article_before"]

_WORD = re.compile(r"[^\W_]+")
_VOWEL = re.compile(r"[aeiou]")
_SILENT_H = re.compile(r"(?:hour(?!i)|honest|honou?r|heir|hors\Z)")
_SAID_YOU = re.compile(r"eu(?!ler)|ew|ubi|u[cfhjkqrst][aeiou]|uganda|uni(?![mnr]|de)|unanim|ukr")
"""A vowel that begins like `you`, as in use, Europe and unit."""
_SAID_ONE = re.compile(r"one(?:s|self|ness|time|sie|r)?\Z|once\Z|ouija")
_X_ALONE = re.compile(r"x(?![aeiouy])")
"""It is said by its name, as in xterm."""
_NAMES_WITH_VOWEL = frozenset("aefhilmnorsx")
"""Letters whose names begin with a vowel."""
_SAID_AS_LETTERS = re.compile(
    r"[^aeiouy]+\Z|u.?.?\Z|[aeio].?\Z|(?!fj|mn|rh)[fhlmnrx][bcdfghjkmnpqstvwxz]"
)
"""Initials that are no word: without a vowel, of three letters at most, or with a cluster that no
word begins with."""
_MOST_INITIALS = 6
_NUMBER_WITH_VOWEL = re.compile(r"8|1[18](?:\d{3})*(?!\d)|1[18]\d\d(?!\d|[.,]\d)")
"""Eight and eighty, eleven and eighteen, hundreds and thousands of these too."""


def article_before(text: str) -> str | None:
    """`a` or `an`, which stands before a text; None where its letters do not tell, as of initials
    that are said as a word by some, or are no Latin ones."""
    text = unicodedata.normalize("NFD", text)  # an accent is no other letter
    match = _WORD.search(text)
    if match is None:
        return None
    word, rest = match[0], text[match.start() :]
    if word[0].isdecimal():
        return "an" if _NUMBER_WITH_VOWEL.match(rest) else "a"
    if not word[0].isascii():
        return None
    letters = word.rstrip("0123456789s") if word[:2].isupper() else word
    if len(letters) == 1:
        return _before_letters(letters)
    if letters.isupper() and len(letters) <= _MOST_INITIALS:
        if _SAID_AS_LETTERS.match(letters.lower()):
            return _before_letters(letters)
        said = _before_letters(letters), _before_word(letters.lower())
        return said[0] if said[0] == said[1] else None
    return None if word[:2].isupper() else _before_word(word.lower())


def _before_letters(letters: str) -> str:
    return "an" if letters[0].lower() in _NAMES_WITH_VOWEL else "a"


def _before_word(word: str) -> str:
    if _SILENT_H.match(word) or _X_ALONE.match(word):
        return "an"
    if _SAID_YOU.match(word) or _SAID_ONE.match(word):
        return "a"
    return "an" if _VOWEL.match(word) else "a"
