"""Countries, continents and cities that languages call otherwise, which a translation must name.

Small models leave them as they are ("Zypern is an island"), or out, in one sentence in thirty. They
are terms where a translation lacks them, as numbers in words are (model/text/number_words.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

from model.text.glossary import LetterCase, TermMatch
from model.text.language_tags import base_language
from model.text.place_spellings import forms, names_by_place, said_by
from model.text.words import Span, capitalized_before, overlapping
from model.text_options import GlossaryEntry

__all__ = ["PlaceNames"]

_LANGUAGES = {"en", "de"}
_PREFIX = 3
"""Letters by which names are looked up; none has fewer."""
_AMBIGUOUS = MappingProxyType({
    "en": frozenset((
        "Chad", "Georgia", "Grenada", "Guinea", "Jersey", "Jordan", "Milan", "Turkey"
    )),
    "de": frozenset(),
})  # fmt: skip
"""Names of people, animals, clothes, states of the USA, and towns of Spain as well."""
_MAY_STAND_BEFORE = MappingProxyType({
    "en": re.compile(
        r"about|across|after|all|although|and|are|around|as|at|because|before|between|both|but|by"
        r"|can|could|did|do|does|during|even|for|from|had|has|have|if|in|inside|into|is|leave"
        r"|leaving|like|may|most|near|of|on|only|or|outside|see|should|since|than|that|though"
        r"|through|throughout|till|to|today|toward|towards|unlike|until|via|visit|was|when|while"
        r"|will|with|within|without|would",
        re.I,
    ),
    "de": re.compile(
        r"ab|an|anders|auch|auf|aus|bei|beim|bis|da|das|dass|de[mnrs]|die|durch|f\xfcr|ganz|gegen"
        r"|gro\xdf|hat|hinter|im|in|ins|ist|mit|nach|n\xf6rdlich|ob|oder|ohne|seit|s\xfcdlich"
        r"|trotz|\xfcber|um|und|unser|vo[mnr]|warum|was|weil|wenn|wie|wird|wo|zu[mr]?|zwischen"
        r"|hauptstadt|insel|kanton|k\xf6nigreich|land|provinz|republik|staat|stadt",
        re.I,
    ),
})  # fmt: skip
"""May have a capital before a place. Other words make a name of both: New Mexico, Bad Athen."""
_BEHIND = MappingProxyType({
    # As capitals behind it do in English (Canada Day), and states: there is a Rome in Georgia, too.
    "en": re.compile(
        r"(?!\w|-\w|[ \xa0](?!I\b)[A-Z]|(?<=s)['\u2019](?!\w)|, (?:[A-Z]{2}\b|Alabama|Arkansas"
        r"|California|Florida|Georgia|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Maine|Michigan"
        r"|Minnesota|Mississippi|Missouri|Nebraska|New[ ]York|Ohio|Oregon|Pennsylvania|Tennessee"
        r"|Texas|Virginia|Wisconsin))"
    ),
    "de": re.compile(r"(?!\w|-\w)"),
})  # fmt: skip
_CAPITALIZED = re.compile(r"(?<![\w-])[A-Z\xc0-\xde]\w\w")


class PlaceNames:
    """Finds the names of places in sentences. Safe to use from several threads.

    Args:
        source: code of the language of the sentences; none are found in those that are not known.
        target: code of the language that they are translated into.
    """

    def __init__(self, source: str, target: str) -> None:
        self._source, target = base_language(source), base_language(target)
        self._terms: dict[str, list[_Term]] = {}
        """By the first letters of their names, the longest names first."""
        if {self._source, target} != _LANGUAGES:
            return
        terms = _terms(self._source, target)
        for term in sorted(terms, key=lambda each: len(each.entry.source), reverse=True):
            self._terms.setdefault(term.entry.source[:_PREFIX], []).append(term)

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """Those of `sentence` that are surely one, in order, as terms.

        Args:
            sentence: or a longer text.
            taken: parts of it where none is looked for; in order, apart from each other.
        """
        if self._terms.keys().isdisjoint(_CAPITALIZED.findall(sentence)):
            return ()
        return tuple(self._found(sentence, taken))

    def _found(self, sentence: str, taken: Sequence[Span]) -> Iterator[TermMatch]:
        behind = 0
        for match in _CAPITALIZED.finditer(sentence):
            begin = match.start()
            if begin < behind or (term := self._term(sentence, begin)) is None:
                continue
            behind = begin + len(term.entry.source)
            if self._is_place(sentence, begin, term) and not overlapping(taken, begin, behind):
                yield TermMatch(begin, behind, term.entry, LetterCase(), term.said)

    def _term(self, sentence: str, begin: int) -> _Term | None:
        """The longest whose name begins there."""
        is_whole = _BEHIND[self._source].match
        for term in self._terms.get(sentence[begin : begin + _PREFIX], ()):
            name = term.entry.source
            if sentence.startswith(name, begin) and is_whole(sentence, begin + len(name)):
                return term
        return None

    def _is_place(self, sentence: str, begin: int, term: _Term) -> bool:
        """Whether no capital stands before what begins there that makes a name of both."""
        if term.genitive:
            return True  # behind a noun of German: die Hauptstadt Kasachstans
        word = capitalized_before(sentence, begin)
        return word is None or _MAY_STAND_BEFORE[self._source].fullmatch(word) is not None


class _Term(NamedTuple):
    entry: GlossaryEntry
    said: re.Pattern[str]
    genitive: bool


def _terms(source: str, target: str) -> Iterator[_Term]:
    """The names of a language, and how the other one calls the same places."""
    own, others = names_by_place(source), names_by_place(target)
    for place in own.keys() & others.keys():
        said = said_by(place, target, own[place])
        for name in own[place]:
            if name in _AMBIGUOUS[source]:
                continue
            for form in forms(name, source):
                genitive = form != name and form.endswith("s")
                targets = _targets(form, others[place], target, genitive=genitive)
                yield _Term(GlossaryEntry(form, targets), said, genitive)


def _targets(form: str, others: Sequence[str], language: str, *, genitive: bool) -> tuple[str, ...]:
    """What a form of a name becomes. The one whose ending is most like that of the model's own word
    takes its place."""
    if genitive:  # Zyperns: Cyprus's
        return (*others, *(f"{other}'s" for other in others))
    return tuple(
        each
        for other in others
        for each in forms(other, language)
        # "Naples" has the ending of "Neapels", and is no genitive.
        if each == other or not (form.endswith("s") and each.endswith("s"))
    )
