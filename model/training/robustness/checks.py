"""What can be seen to be wrong with a translation without knowing the right one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from model.training.robustness.cases import Case, Language
from model.training.robustness.numbers import numbers_kept

__all__ = ["FAILURES", "failures", "is_loop"]

_WORD = re.compile(r"[^\W\d_]+")
_NEGATIONS: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        r"\b(?:not?|nor|never|none|nobody|nothing|nowhere|neither|without|cannot)\b|n['\u2019]t\b",
        re.IGNORECASE,
    ),
    "de": re.compile(
        r"\b(?:nichts?|kein\w*|nie(?:mals|mand\w*)?|nirgend\w*|nein|weder|ohne)\b", re.IGNORECASE
    ),
}
_SHORT = 3
_LONGEST_PHRASE = 8
_STUTTER = re.compile(r"([^\W\d_]{1,12}?)\1+", re.IGNORECASE)
_MOST_COPIED = 0.7
"""Share of the source's words that may be in the translation: both languages have `in`, `Hotel`."""
_MOST_COPIED_CAPITALS = 0.4
"""Models that do not know words in capitals copy some of them and guess the others."""


def failures(case: Case, translation: str, target: Language) -> list[str]:
    """The names (of `FAILURES`) of what is wrong with a translation into `target`; none is good."""
    if not translation.strip():
        return ["empty"]
    return [name for name, is_wrong in _CHECKS.items() if is_wrong(case, translation, target)]


def is_loop(source: str, translation: str) -> bool:
    """Whether the translation says the same again and again where its source does not."""
    stutter = _longest_stutter(translation)
    if stutter >= 5 and stutter > _longest_stutter(source) + 1:
        return True
    said, asked = _words(translation), _words(source)
    runs, runs_asked = _longest_run(said), _longest_run(asked)
    # Where a word is said again and again, its translation may be a phrase.
    phrases, phrases_asked = _most_frequent(said), max(_most_frequent(asked), runs_asked)
    # One more is a choice of words: `a very, very long time`.
    return (runs >= 3 and runs > runs_asked + 1) or (phrases >= 3 and phrases > phrases_asked + 1)


def _longest_stutter(text: str) -> int:
    """How often, at most, the same letters stand there in a row within a word."""
    copies = (len(match[0]) // len(match[1]) for match in _STUTTER.finditer(text))
    return max(copies, default=1)


def _longest_run(words: list[str]) -> int:
    """How often, at most, the same one to eight words stand there in a row."""
    longest = 1
    for length in range(1, _LONGEST_PHRASE + 1):
        matching = 0
        for word, before in zip(words[length:], words, strict=False):
            matching = matching + 1 if word == before else 0
            longest = max(longest, 1 + matching // length)
    return longest


def _most_frequent(words: list[str], length: int = 4) -> int:
    """How often the most frequent phrase of `length` words is there, in a row or not."""
    phrases = Counter(zip(*(words[start:] for start in range(length)), strict=False))
    return max(phrases.values(), default=1)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _misses_any(wanted: tuple[str, ...], translation: str) -> bool:
    return not all(_has_any(alternatives.split("|"), translation) for alternatives in wanted)


def _has_any(phrases: Sequence[str], translation: str) -> bool:
    text = translation.casefold()
    return any(re.search(_pattern(phrase.casefold()), text) for phrase in phrases)


def _pattern(phrase: str) -> str:
    """Anywhere, for German joins words; short ones only where a word begins: others have them."""
    short = len(phrase) <= _SHORT and phrase.isalpha()
    return rf"\b{phrase}" if short else re.escape(phrase)


def _changed_negation(case: Case, translation: str, target: Language) -> bool:
    if case.negated is None:
        return False
    return bool(_NEGATIONS[target].search(translation)) != case.negated


def _odd_length(case: Case, translation: str) -> bool:
    """Less than half of the source's characters, or more than twice; short texts may vary more."""
    source, length = len(case.text), len(translation)
    return not 0.5 * source - 8 <= length <= 2 * source + 25


def _copied_share(case: Case, translation: str) -> float:
    """The share of the source's words, names aside, that are in the translation: 0 to 1."""
    names = set(_words(" ".join(case.keep)))
    words = set(_words(case.text)) - names
    return len(words & set(_words(translation))) / max(1, len(words))


def _is_untranslated(case: Case, translation: str) -> bool:
    return not case.copied and _copied_share(case, translation) > _MOST_COPIED


def _copies_capitals(case: Case, translation: str) -> bool:
    if case.copied or not case.text.isupper():
        return False
    return _copied_share(case, translation) > _MOST_COPIED_CAPITALS


def _emoji(text: str) -> set[str]:
    return {mark for mark in text if unicodedata.category(mark) == "So" and mark > "\u2000"}


_CHECKS: dict[str, Callable[[Case, str, Language], bool]] = {
    "repetition": lambda case, translation, _: is_loop(case.text, translation),
    "numbers": lambda case, translation, to: not numbers_kept(case.text, translation, to),
    "keep": lambda case, translation, _: _misses_any(case.keep, translation),
    "says": lambda case, translation, _: _misses_any(case.says, translation),
    "never": lambda case, translation, _: _has_any(case.never, translation),
    "negation": _changed_negation,
    "length": lambda case, translation, _: _odd_length(case, translation),
    "untranslated": lambda case, translation, _: _is_untranslated(case, translation),
    "case": lambda case, translation, _: _copies_capitals(case, translation),
    "emoji": lambda case, translation, _: not _emoji(case.text) <= _emoji(translation),
}
FAILURES = ("empty", *_CHECKS)
