"""Countries, continents and cities that languages call otherwise, which a translation must name.

Small models leave them as they are ("Zypern is an island"), or out, in one sentence in thirty. They
are terms where a translation lacks them, as numbers in words are (model/text/number_words.py).
Countries and continents of English and German are CLDR's, from babel; cities are those whose names
differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

from model.text.glossary import LetterCase, TermMatch
from model.text.language_tags import base_language
from model.text.words import Span, overlapping
from model.text_options import GlossaryEntry

__all__ = ["PlaceNames"]

_LANGUAGES = ("en", "de")
_CONTINENTS = ("002", "003", "005", "142", "150")
"""Africa, North and South America, Asia and Europe, by CLDR's codes; countries have two letters."""
_PREFIX = 3
"""Letters by which names are looked up; none has fewer."""
_USUAL_NAMES = MappingProxyType({
    "en": {"TR": ("Turkey",), "CZ": ("Czech Republic",), "MM": ("Myanmar", "Burma"),
           "CI": ("Ivory Coast",), "TL": ("East Timor",), "SZ": ("Swaziland",)},
    "de": {"MM": ("Myanmar", "Burma"), "CI": ("Elfenbeink\xfcste",),
           "BY": ("Belarus", "Wei\xdfrussland"), "TL": ("Osttimor",), "SZ": ("Swasiland",)},
})  # fmt: skip
"""By codes of countries, before what CLDR calls them."""
_AMBIGUOUS = MappingProxyType(
    {
        # People, birds, states of the USA, a shirt, two pigs.
        "en": frozenset(("Chad", "Georgia", "Grenada", "Guinea", "Jersey", "Jordan", "Turkey")),
        "de": frozenset(("Man",)),
    }
)
"""Names that are other things as well."""
_CITIES = (
    ("Athens", "Athen"), ("Antwerp", "Antwerpen"), ("Baghdad", "Bagdad"), ("Beijing", "Peking"),
    ("Belgrade", "Belgrad"), ("Bruges", "Br\xfcgge"), ("Brussels", "Br\xfcssel"),
    ("Bucharest", "Bukarest"), ("Cairo", "Kairo"), ("Cologne", "K\xf6ln"),
    ("Copenhagen", "Kopenhagen"), ("Damascus", "Damaskus"), ("Geneva", "Genf"),
    ("Genoa", "Genua"), ("Ghent", "Gent"), ("Gothenburg", "G\xf6teborg"),
    ("Hanover", "Hannover"), ("Havana", "Havanna"), ("Kyiv", "Kiew"), ("Lisbon", "Lissabon"),
    ("Lucerne", "Luzern"), ("Milan", "Mailand"), ("Moscow", "Moskau"), ("Munich", "M\xfcnchen"),
    ("Naples", "Neapel"), ("Nuremberg", "N\xfcrnberg"), ("Prague", "Prag"), ("Rome", "Rom"),
    ("Seville", "Sevilla"), ("Strasbourg", "Stra\xdfburg"), ("Tehran", "Teheran"),
    ("Tokyo", "Tokio"), ("Venice", "Venedig"), ("Vienna", "Wien"), ("Warsaw", "Warschau"),
    ("Zurich", "Z\xfcrich"),
)  # fmt: skip
"""In English and German."""
_ALSO = MappingProxyType({
    "en": {
        "CH": "swis", "CI": "ivor", "CZ": "bohem", "DK": "dan", "ES": "span", "FI": "finn",
        "FR": "fren", "GL": "greenl", "IE": "iri", "MM": "burm", "NL": "dutch|holl", "PH": "fili",
        "PL": "pole|poli", "Beijing": "pek", "Genoa": "geno", "Hanover": "hann", "Kyiv": "kiev",
        "Moscow": "musc", "Naples": "neap", "Nuremberg": "n\xfcrn", "Rome": "roma", "Tokyo": "tok",
        "Venice": "venet", "Zurich": "z\xfcri",
    },
    "de": {
        "142": "asiat", "BY": "wei\xdfr|belar", "CI": "ivor", "DK": "d\xe4n", "FR": "franz",
        "IE": "iri", "MM": "birm", "NL": "holl", "PL": "poln", "Beijing": "beij",
        "Kyiv": "kyjiw|kyiv", "Munich": "m\xfcnch", "Rome": "r\xf6m", "Tokyo": "tok",
        "Venice": "venez", "Zurich": "z\xfcrc",
    },
})  # fmt: skip
"""How else begins what names a place or who lives there, or says which place something is of."""
_PART_OF_IT = MappingProxyType({
    "en": "", "de": r"(?:(?:nord|s\xfcd)?(?:ost|west)?|mittel|inner|zentral)"
})  # fmt: skip
"""What German joins to a name: Ostasien, the east of Asia."""
_MOST_BEFORE = 24
_WORD_BEFORE = re.compile(r"(\w+)[ \xa0]\Z")
_MAY_STAND_BEFORE = MappingProxyType(
    {
        "en": re.compile(
            r"about|across|after|all|and|around|as|at|because|before|between|but|by|during|for|from|if"
            r"|in|inside|into|is|leaving|like|most|near|of|on|or|outside|since|than|that|through"
            r"|throughout|till|to|today|toward|towards|unlike|until|via|was|when|while|with|within"
            r"|without",
            re.I,
        ),
        "de": re.compile(
            r"ab|an|anders|auch|auf|aus|bei|beim|bis|da|das|dass|de[mnrs]|die|durch|f\xfcr|ganz|gegen"
            r"|gro\xdf|hinter|im|in|ins|ist|mit|nach|n\xf6rdlich|ob|oder|ohne|seit|s\xfcdlich|trotz"
            r"|\xfcber|um|und|unser|vo[mnr]|warum|was|weil|wenn|wie|wo|zu[mr]?|zwischen",
            re.I,
        ),
    }
)
"""May have a capital before a place. Other words make a name of both: New Mexico, Bad Athen."""
_BEHIND = MappingProxyType(
    {
        # As capitals behind it do in English: Canada Day.
        "en": re.compile(r"(?!\w|-\w|[ \xa0](?!I\b)[A-Z])"),
        "de": re.compile(r"(?!\w|-\w)"),
    }
)
_CAPITALIZED = re.compile(r"(?<![\w-])[A-Z\xc0-\xde]\w\w")
_PLAIN = re.compile(r"\w[\w\u2019-]*(?: \w[\w\u2019-]*)*")
"""Other names of CLDR are titles: Myanmar (Burma), Congo - Kinshasa, Bosnia & Herzegovina."""
_NO_COUNTRY = re.compile(r"EU|EZ|Q.|UN|X[^K]|ZZ")
"""Codes of two letters that are unions, or made up."""
_WITHOUT_GENITIVE = re.compile(
    r".*(?:[sxz]|e|ei|inseln?|pinen|diven|chellen|monen|moren|stadt|\xf6er)"
)
"""German names that are plural or feminine, or end as genitives do."""


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
        if {self._source, target} != set(_LANGUAGES):
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
            if self._is_place(sentence, begin) and not overlapping(taken, begin, behind):
                yield TermMatch(begin, behind, term.entry, LetterCase(), term.said)

    def _term(self, sentence: str, begin: int) -> _Term | None:
        """The longest whose name begins there."""
        is_whole = _BEHIND[self._source].match
        for term in self._terms.get(sentence[begin : begin + _PREFIX], ()):
            name = term.entry.source
            if sentence.startswith(name, begin) and is_whole(sentence, begin + len(name)):
                return term
        return None

    def _is_place(self, sentence: str, begin: int) -> bool:
        """Whether no capital stands before what begins there that makes a name of both."""
        word = _WORD_BEFORE.search(sentence, max(0, begin - _MOST_BEFORE), begin)
        if word is None or not word[1][0].isupper():
            return True
        return _MAY_STAND_BEFORE[self._source].fullmatch(word[1]) is not None


class _Term(NamedTuple):
    entry: GlossaryEntry
    said: re.Pattern[str]


def _terms(source: str, target: str) -> Iterator[_Term]:
    """The names of a language, and how the other one calls the same places."""
    own, others = _by_place(source), _by_place(target)
    for place in own.keys() & others.keys():
        said = _said(place, others[place], target)
        for name in own[place]:
            if name not in _AMBIGUOUS[source]:
                for form in _forms(name, source):
                    targets = _targets(form, others[place], target)
                    yield _Term(GlossaryEntry(form, targets), said)


def _by_place(language: str) -> dict[str, list[str]]:
    """The names of each place, the usual one first."""
    from babel import Locale  # megabytes that not every process needs

    names: dict[str, list[str]] = {}
    for code, name in Locale.parse(language).territories.items():
        known = code in _CONTINENTS or (code.isalpha() and not _NO_COUNTRY.fullmatch(code))
        if known and _is_name(name, language):
            names[code] = [name]
    for code, more in _USUAL_NAMES[language].items():
        names[code] = list(dict.fromkeys([*more, *names.get(code, ())]))
    column = _LANGUAGES.index(language)
    return names | {city[0]: [city[column]] for city in _CITIES}


def _is_name(name: str, language: str) -> bool:
    """Whether a name of CLDR is a name, not a title, and has one form, about: to look for those of
    Vereinigte Staaten is another matter."""
    return _PLAIN.fullmatch(name) is not None and not (language == "de" and " " in name)


def _said(place: str, names: Sequence[str], language: str) -> re.Pattern[str]:
    """What begins a word that names a place, or who or what is from there."""
    begins = [re.escape(_beginning(place, name)) for name in names]
    begins += filter(None, [_ALSO[language].get(place)])
    return re.compile(rf"(?<!\w){_PART_OF_IT[language]}(?:{'|'.join(begins)})", re.I)


def _beginning(place: str, name: str) -> str:
    """What a name has in common with the words made of it: of a country, its first half."""
    if len(place) > 3 or " " in name:  # a city, or New Zealand
        return name[:-1]
    return name[: max(4, (len(name) + 1) // 2)]


def _targets(name: str, others: Sequence[str], language: str) -> tuple[str, ...]:
    """What a name becomes: in the place of a word that ends in -s, as it does, not a genitive."""
    return tuple(
        form
        for other in others
        for form in _forms(other, language)
        if form == other or not (name.endswith("s") and form.endswith("s"))
    )


def _forms(name: str, language: str) -> list[str]:
    """A name in the cases of its language."""
    if name == "Niederlande":
        return [name, "Niederlanden"]
    if language != "de" or _WITHOUT_GENITIVE.fullmatch(name):
        return [name]
    return [name, f"{name}s"]
