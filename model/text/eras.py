"""Whether a year or a century is before Christ, which a translation must say in whatever form.

It is a term where a translation lacks it, as numbers in words are (model/text/number_words.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from model.text.glossary import LetterCase, TermMatch
from model.text.language_tags import base_language
from model.text.words import Span, overlapping
from model.text_options import GlossaryEntry

__all__ = ["Eras"]

_NAMES = {
    "BC": {
        "en": "BC", "de": "v. Chr.", "pt": "a.C.", "fr": "av. J.-C.", "es": "a. C.", "it": "a.C.",
    },
    "AD": {
        "en": "AD", "de": "n. Chr.", "pt": "d.C.", "fr": "apr. J.-C.", "es": "d. C.", "it": "d.C.",
    },
}  # fmt: skip
_ERA = re.compile(
    r"[ \u00a0](?:(?P<BC>BCE?(?!\w)|B\.C\.(?:E\.)?|v\. ?(?:Chr|u\. ?Z)\.)"
    r"|(?P<AD>(?:AD|CE)(?!\w)|A\.D\.|C\.E\.|n\. ?(?:Chr|u\. ?Z)\.))(?!\w)"
)
"""What says whether the year before it is before Christ; its group is "BC" or "AD"."""
_HINTS = {
    "en": ("BC", "B.C", "AD", "A.D", "CE", "C.E"),
    "de": ("Chr.", "u. Z.", "u.Z."),
}
_BEHIND = re.compile(
    r"(?:(?<![\w.,:/-])(?P<year>[0-9]{1,3}(?:[.,]?[0-9]{3})?)|centur(?:y|ies)|hunderts?|Jh\.)\Z"
)
_LONGEST = len("centuries")
_FOLLOWS = re.compile(
    r"(?=[^\w\s]|\s*\Z|\s[^\w\s]|\s(?:a|after|an|and|as|at|before|but|by|during|for|from|he|in|is|it|of"
    r"|on|or|she|that|the|they|through|to|until|was|were|when|which|who|with)\b)"
)
"""Behind an era without stops, which may else be part of a name, or something else."""
_LAST_WITH_ERA = {"AD": 1600, "BC": 1800}
"""Years from which on AD is a program of Microsoft's, or CE a mark, and BC a province."""


class Eras:
    """Finds the eras of sentences. Safe to use from several threads.

    Args:
        source: code of the language of the sentences; none are found in those that are not known.
        target: code of the language that they are translated into.
    """

    def __init__(self, source: str, target: str) -> None:
        target = base_language(target)
        self._names = {era: names[target] for era, names in _NAMES.items() if target in names}
        self._hints = _HINTS.get(base_language(source), ())
        self._said = {each: _said(name) for each, name in self._names.items()}

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """Those of `sentence`, in order, as terms.

        Args:
            sentence: or a longer text.
            taken: parts of it where none is looked for; in order, apart from each other.
        """
        if not self._names or not any(map(sentence.__contains__, self._hints)):
            return ()
        return tuple(self._found(sentence, taken))

    def _found(self, sentence: str, taken: Sequence[Span]) -> Iterator[TermMatch]:
        for match in _ERA.finditer(sentence):
            begin, end = match.start() + 1, match.end()
            if overlapping(taken, begin, end):
                continue
            era = match.lastgroup or ""
            behind = _BEHIND.search(sentence, max(0, begin - 1 - _LONGEST), begin - 1)
            if behind and (match[0][-1] == "." or _is_certain(era, behind["year"], sentence, end)):
                entry = GlossaryEntry(match[0][1:], (self._names[era],), case_sensitive=True)
                yield TermMatch(begin, end, entry, LetterCase(), self._said[era])


def _is_certain(era: str, year: str | None, sentence: str, end: int) -> bool:
    """Whether letters without stops, which end at a place, are an era."""
    if _FOLLOWS.match(sentence, end) is None:
        return False
    return year is None or len(year) > len("0000") or int(year) < _LAST_WITH_ERA[era]


def _said(name: str) -> re.Pattern[str]:
    """A name with or without its spaces and stops."""
    parts = re.findall(r"\w+", name)
    return re.compile(r"(?<!\w)" + r"\W{0,2}".join(parts) + r"(?!\w)")
