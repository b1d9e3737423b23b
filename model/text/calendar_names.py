"""Days of the week and months, which a translation must name, in whatever form.

Small models leave them out of one sentence in twenty from German, in forty from English. They are
terms where a translation lacks them, as numbers in words are (model/text/number_words.py). Found
are those of English and German; their names in other languages are CLDR's, from babel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from model.text.glossary import LetterCase, TermMatch
from model.text.language_tags import base_language
from model.text.words import Span, capitalized_before, overlapping
from model.text_options import GlossaryEntry

__all__ = ["CalendarNames"]

_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December"),
    "de": ("Januar", "Februar", "M\xe4rz", "April", "Mai", "Juni", "Juli", "August", "September",
           "Oktober", "November", "Dezember"),
}  # fmt: skip
_OTHER_NAMES = {
    "de": {"Samstag": ["Sonnabend"], "Januar": ["J\xe4nner"], "Februar": ["Feber"]},
}
_TARGETS = frozenset(("en", "de", "pt", "fr", "es", "it", "nl", "sv", "da", "nb", "no"))
"""Languages in which these names have one form, about."""
_BEFORE_DAY = {
    "en": re.compile(
        r"after|and|any|before|between|by|each|early|every|for|from|is|last|late|next|of|on|one|or"
        r"|since|some|that|the|this|through|till|to|today|tomorrow|until|was|yesterday",
        re.I,
    ),
    "de": re.compile(
        r"ab|abends|am|an|ans|bis|dem|den|der|des|diese[mnr]|einen?|eine[ms]|gestern|heute|ist"
        r"|jede[nr]|kommenden|letzten|mittags|morgen|n\xe4chste[nr]|oder|seit|und|vo[mnr]|war|zum?"
        r"|zwischen|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|sonnabend",
        re.I,
    ),
}
"""May have a capital before a day. Other words make a name of it: Good Friday, Frau Sonntag."""
_BEHIND_DAY = {
    # A capital makes a name of both: the Sunday Times.
    "en": r"(?!\w|-\w|[ \xa0](?!I\b)[A-Z])",
    "de": r"(?!\w|-\w)",
}
_BEFORE_MONTH = {
    "en": "in|(?:beginning|start|middle|end|month|half) of|since|until|till|during|mid|early|late"
    "|last|next|this|every|each",
    "de": "im|anfang|mitte|ende|seit|bis|ab|vom|zum|letzten|n\xe4chsten|diese[nm]|kommenden"
    "|vergangenen|jeden|monat|de[nrms]|\\d+\\.?",
}
"""What stands before a month: many are names, or other words, as well."""
_BEHIND_MONTH = {
    # Beside digits a search for it breaks more dates than it mends.
    "en": r"(?!\w|-\w|,?[ \xa0]\d)",
    "de": r"(?!\w|-\w)",
}


class CalendarNames:
    """Finds the days of the week and months of sentences. Safe to use from several threads.

    Args:
        source: code of the language of the sentences; none are found in those that are not known.
        target: code of the language that they are translated into.
    """

    def __init__(self, source: str, target: str) -> None:
        self._source, target = base_language(source), base_language(target)
        self._terms: Mapping[str, tuple[GlossaryEntry, re.Pattern[str]]] = {}
        if self._source not in _DAYS or target not in _TARGETS or self._source == target:
            return
        days, months = dict(_days(self._source, target)), dict(_months(self._source, target))
        self._terms = days | months
        self._days = re.compile(rf"(?<![\w-])(?P<name>{'|'.join(days)}){_BEHIND_DAY[self._source]}")
        self._months = re.compile(
            rf"(?<!\w)(?i:{_BEFORE_MONTH[self._source]})[ \xa0-](?P<name>{'|'.join(months)})"
            rf"{_BEHIND_MONTH[self._source]}"
        )

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """Those of `sentence` that are surely one, in order, as terms.

        Args:
            sentence: or a longer text.
            taken: parts of it where none is looked for; in order, apart from each other.
        """
        if not any(map(sentence.__contains__, self._terms)):
            return ()
        return tuple(sorted(self._found(sentence, taken), key=lambda term: term.begin))

    def _found(self, sentence: str, taken: Sequence[Span]) -> Iterator[TermMatch]:
        days = filter(self._is_day, self._days.finditer(sentence))
        for match in chain(days, self._months.finditer(sentence)):
            begin, end = match.span("name")
            if not overlapping(taken, begin, end):
                entry, said = self._terms[match["name"]]
                yield TermMatch(begin, end, entry, LetterCase(), said)

    def _is_day(self, match: re.Match[str]) -> bool:
        """Whether no capital stands before it that makes a name of both."""
        word = capitalized_before(match.string, match.start())
        return word is None or _BEFORE_DAY[self._source].fullmatch(word) is not None


_Term = tuple[str, tuple[GlossaryEntry, re.Pattern[str]]]


def _days(source: str, target: str) -> Iterator[_Term]:
    """The days of a language, and how another names them."""
    names, short_names = _in_calendar(target, "days", range(7))
    for own, name, short in zip(_DAYS[source], names, short_names, strict=True):
        # Of segunda-feira the first part; a part of a word, too: Karfreitag, montags.
        forms = "|".join(map(re.escape, _forms(name.split("-")[0], target)))
        short = re.escape(short.rstrip("."))
        said = re.compile(rf"{forms}|(?<!\w){short}[.\u2013-]|(?<=[\u2013-]){short}(?!\w)", re.I)
        for each in _forms(own, source):
            yield each, (GlossaryEntry(each, (name,)), said)


def _months(source: str, target: str) -> Iterator[_Term]:
    """The months of a language, and how another names them, or numbers them in a date."""
    names, short_names = _in_calendar(target, "months", range(1, 13))
    months = zip(_MONTHS[source], names, short_names, strict=True)
    for number, (own, name, short) in enumerate(months, start=1):
        forms = map(re.escape, _forms(name, target))
        # Of longer words, Novemberabend, but not Junior.
        words = "|".join([rf"{each}(?:s?(?!\w)|(?=\w{{4}}))" for each in forms])
        # The verb may has a small letter, as the months of other languages have.
        case = "" if name[0].isupper() else "(?i)"
        said = re.compile(
            # CLDR's Sep is Sept to many.
            rf"{case}(?<!\w)(?:{words}|{re.escape(short.rstrip('.'))}t?(?:\.|(?=[ \xa0]\d)))"
            rf"|\d[./-] ?0?{number}(?!\d)|(?<!\d)0?{number}[/-]\d"
        )
        for each in _forms(own, source):
            yield each, (GlossaryEntry(each, (name,)), said)


def _in_calendar(language: str, kind: str, numbers: range) -> tuple[list[str], list[str]]:
    """CLDR's names of days or months, as they stand in a date: whole, and short."""
    from babel import Locale  # megabytes that not every process needs

    names = getattr(Locale.parse(language), kind)["format"]
    wide, short = names["wide"], names["abbreviated"]
    return [wide[number] for number in numbers], [short[number] for number in numbers]


def _forms(name: str, language: str) -> list[str]:
    """A name, and others for the same."""
    return [name, *_OTHER_NAMES.get(language, {}).get(name, ())]
