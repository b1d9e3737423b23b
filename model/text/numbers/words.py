"""What stands around digits, language by language: ordinals, times of day, and short words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from model.text.numbers.conventions import CODES, CURRENCIES

__all__ = [
    "Suffixes",
    "has_magnitude",
    "magnitude",
    "magnitude_names",
    "names_amount",
    "names_part",
    "number_words",
    "ordinals",
    "percent_word",
    "range_word",
    "suffixes",
    "thousand",
    "thousand_word",
    "unit_names",
    "words_above_twelve",
]

_NEITHER = r"(?!\w)"
_HALF = re.compile(rf"[ \u00a0\u202f]?([AaPp]\.[Mm]\.|[AaPp][Mm]){_NEITHER}")
_DOT = re.compile(r"(?<!\d{4})\.(?=[ \u00a0][^\W\d_])")
_ORDINALS = {
    "en": re.compile(rf"(?:st|nd|rd|th|ST|ND|RD|TH){_NEITHER}"),
    "fr": re.compile(rf"(?:er|re|\xe8re|e|\xe8me|nde?){_NEITHER}"),
    "nl": re.compile(rf"(?:ste|de|e){_NEITHER}"),
    "sv": re.compile(rf":[ae]{_NEITHER}"),
    "ru": re.compile(r"-(?:\u0439|\u044f|\u0435|\u0433\u043e|\u043c\u0443|\u043c|\u0445"
                     r"|\u043e\u0439|\u0430\u044f|\u043e\u0435|\u043e\u0433\u043e)(?!\w)"),
    **dict.fromkeys(("pt", "es", "gl", "it"), re.compile("\\.?[\xba\xaa]")),
    **dict.fromkeys(
        ("de", "da", "nb", "nn", "no", "pl", "cs", "sk", "sl", "hr", "fi", "et", "lv", "is", "hu",
         "tr", "eu"),
        _DOT,
    ),
}  # fmt: skip
# No minutes are those who were there at 8 Uhr: 15 Menschen.
_UHR = re.compile(
    r"(?P<within>)[ \u00a0\u202f]?Uhr(?!\w)"
    r"(?:[ \u00a0](?P<minutes>[0-5]\d)(?![\w%\u20ac$]|[.,:]\d|[ \u00a0](?:[A-Z\xc4\xd6\xdc]|%)))?"
)
_H = re.compile(r"(?P<within>[ \u00a0\u202f]?h)(?:[ \u00a0\u202f]?(?P<minutes>[0-5]\d))?(?!\w)")
_HOURS = {"de": _UHR, **dict.fromkeys(("fr", "pt", "es", "it", "gl", "ca", "ro"), _H)}
_CLOCK_BEFORE = {
    "pt": re.compile(r"(?<!\w)(?:[\xe0\xc0]s|das|[\xe0\xc0]) \Z"),
    "es": re.compile(r"(?<!\w)las \Z"),
    "it": re.compile(r"(?<!\w)(?:ore|alle|dalle) \Z"),
    "da": re.compile(r"(?<!\w)kl\.? \Z"),
    "nb": re.compile(r"(?<!\w)kl\.? \Z"),
    "sv": re.compile(r"(?<!\w)(?:kl\.?|klockan) \Z"),
    "fi": re.compile(r"(?<!\w)(?:klo|kello) \Z"),
}


class Suffixes(NamedTuple):
    """Patterns of what follows digits; None where a language has none."""

    ordinal: re.Pattern[str] | None
    half: re.Pattern[str] | None
    """The halves of a day."""
    hour: re.Pattern[str] | None
    """What says that digits are an hour; `within` is a part of the number, as are `minutes`."""
    clock_before: re.Pattern[str] | None
    """What stands before a time of day."""


@lru_cache(maxsize=512)
def suffixes(language: str) -> Suffixes:
    """Those of a language."""
    return Suffixes(
        ordinal=_ORDINALS.get(language),
        half=_HALF if language == "en" else None,
        hour=_HOURS.get(language),
        clock_before=_CLOCK_BEFORE.get(language),
    )


_RANGE_WORDS = {
    "en": "to", "de": "bis", "pt": "a", "fr": "\xe0", "es": "a", "it": "a", "nl": "tot",
    "sv": "till", "da": "til", "nb": "til", "pl": "do", "ru": "\u0434\u043e", "cs": "a\u017e",
}  # fmt: skip


def range_word(language: str) -> str | None:
    """What a language says between the ends of a range."""
    return _RANGE_WORDS.get(language)


_NUMBER_WORDS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve",
    "de": "null eins zwei drei vier f\xfcnf sechs sieben acht neun zehn elf zw\xf6lf",
    "pt": "zero um dois|duas tr\xeas quatro cinco seis sete oito nove dez onze doze",
    "fr": "z\xe9ro un deux trois quatre cinq six sept huit neuf dix onze douze",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici",
    "nl": "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf",
}


@lru_cache(maxsize=512)
def number_words(language: str) -> tuple[tuple[str, ...], ...]:
    """The words of a language for 0 to 12, or nothing."""
    words = _NUMBER_WORDS.get(language, "").split()
    return tuple(tuple(word.split("|")) for word in words)


_ABOVE_TWELVE = (*range(13, 21), *range(30, 100, 10))
_WORDS_ABOVE_TWELVE = {
    "en": "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty "
    "sixty seventy eighty ninety",
    "de": "dreizehn vierzehn f\xfcnfzehn sechzehn siebzehn achtzehn neunzehn zwanzig "
    "drei\xdfig|dreissig vierzig f\xfcnfzig sechzig siebzig achtzig neunzig",
    "pt": "treze catorze|quatorze quinze dezesseis|dezasseis dezessete|dezassete dezoito "
    "dezenove|dezanove vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    "fr": "treize quatorze quinze seize dix-sept dix-huit dix-neuf vingt trente quarante cinquante "
    "soixante soixante-dix quatre-vingts quatre-vingt-dix",
    "es": "trece catorce quince diecis\xe9is diecisiete dieciocho diecinueve veinte treinta "
    "cuarenta cincuenta sesenta setenta ochenta noventa",
    "it": "tredici quattordici quindici sedici diciassette diciotto diciannove venti trenta "
    "quaranta cinquanta sessanta settanta ottanta novanta",
    "nl": "dertien veertien vijftien zestien zeventien achttien negentien twintig dertig veertig "
    "vijftig zestig zeventig tachtig negentig",
}


@lru_cache(maxsize=512)
def words_above_twelve(language: str) -> Mapping[int, tuple[str, ...]]:
    """The words of a language for 13 to 20 and for 30, 40, ... 90, or nothing."""
    words = _WORDS_ABOVE_TWELVE.get(language, "").split()
    return {
        value: tuple(word.split("|")) for value, word in zip(_ABOVE_TWELVE, words, strict=False)
    }


_FIRST_TO_TWELFTH = {
    "en": "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
    "de": "erste zweite dritte vierte f\xfcnfte sechste siebte achte neunte zehnte elfte "
    "zw\xf6lfte",
    "pt": "primeiro|primeira segundo|segunda terceiro|terceira quarto|quarta quinto|quinta "
    "sexto|sexta s\xe9timo|s\xe9tima oitavo|oitava nono|nona d\xe9cimo|d\xe9cima",
}
_ROMAN = frozenset(("pt", "es", "fr", "it", "ro", "pl", "ru", "ca", "gl"))
"""Languages that count centuries, kings and congresses in Roman numerals."""
_ENGLISH_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def ordinals(digits: str, language: str) -> tuple[str, ...]:
    """How a language writes an ordinal, the most usual first; digits alone if it is not known."""
    value = int(digits)
    number = str(value)
    forms: list[str] = []
    if language == "en":
        teen = value % 100 in (11, 12, 13)
        forms += [number + ("th" if teen else _ENGLISH_ENDINGS.get(value % 10, "th"))]
    elif language == "fr":
        forms += ["1er", "1re"] if value == 1 else [f"{number}e", f"{number}\xe8me"]
    elif language in ("pt", "es", "gl", "it"):
        forms += [number + each for each in ("\xba", "\xaa")]
    elif language == "nl":
        forms += [f"{number}e", f"{number}ste", f"{number}de"]
    elif language == "sv":
        forms += [number + (":a" if value % 10 in (1, 2) and value % 100 not in (11, 12) else ":e")]
    elif language == "ru":
        forms += [f"{number}-{end}" for end in ("\u0439", "\u044f", "\u0435", "\u0433\u043e",
                                                "\u043c", "\u0445")]  # fmt: skip
    elif language in ("zh", "ja"):
        forms += [f"\u7b2c{number}"]
    elif _ORDINALS.get(language) is _DOT:
        forms += [f"{number}."]
    forms.append(number)
    words = _FIRST_TO_TWELFTH.get(language, "").split()
    if 1 <= value <= len(words):
        for word in words[value - 1].split("|"):
            forms += (
                [word + end for end in ("", "n", "r", "s", "m")] if language == "de" else [word]
            )
    if language in _ROMAN and 1 <= value <= 39:
        forms.append(_roman(value))
    return tuple(forms)


def _roman(value: int) -> str:
    tens, ones = divmod(value, 10)
    return "X" * tens + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]


_CURRENCY_NAMES = {
    "en": {"$": "dollar|dollars", "\u20ac": "euro|euros", "\xa3": "pound|pounds"},
    "de": {"$": "Dollar", "\u20ac": "Euro", "\xa3": "Pfund"},
    "pt": {"$": "d\xf3lar|d\xf3lares", "\u20ac": "euro|euros", "\xa3": "libra|libras"},
    "fr": {"$": "dollar|dollars", "\u20ac": "euro|euros", "\xa3": "livre|livres"},
    "es": {"$": "d\xf3lar|d\xf3lares", "\u20ac": "euro|euros", "\xa3": "libra|libras"},
    "it": {"$": "dollaro|dollari", "\u20ac": "euro", "\xa3": "sterlina|sterline"},
    "nl": {"$": "dollar", "\u20ac": "euro", "\xa3": "pond"},
}
"""What one is called, and several where that is another word."""
_PERCENT = {
    "en": "percent|per cent", "de": "Prozent", "pt": "por cento", "fr": "pour cent",
    "es": "por ciento", "it": "per cento", "nl": "procent", "sv": "procent", "da": "procent",
}  # fmt: skip


_MAGNITUDES = re.compile(
    "[ \u00a0\u202f-]?(?:thousand|hundred|tausend|hundert|mil(?:h[\xe3\xf5]|l|j|iard|ion|a?\\b)"
    "|bil[lhj]|tril|mio\\b|mrd\\b|mld\\b|(?:bn|mn|tn|[kmb])\\b|lakh|crore|tsd\\b"
    "|\u0442\u044b\u0441|\u043c\u043b\u043d|\u043c\u043b\u0440\u0434|\u043c\u0438\u043b\u043b"
    "|[\u4e07\u842c\u5104\u4ebf\u5146\ub9cc\uc5b5])",
    re.IGNORECASE,
)


_MAGNITUDE_NAMES: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "en": {6: ("million", "million"), 9: ("billion", "billion"), 12: ("trillion", "trillion")},
    "de": {
        6: ("Million", "Millionen", "Mio."),
        9: ("Milliarde", "Milliarden", "Mrd."),
        12: ("Billion", "Billionen", "Bio."),
    },
}
_BEHIND_AMOUNTS = {
    # $5m, but not the options of $5 b) and $10 M/L.
    "en": re.compile(
        "(?:[ \u00a0\u202f]?(?:(?P<z6>million|mn)|(?P<z9>billion|bn)|(?P<z12>trillion|tn))"
        r"|(?-i:(?:(?P<s6>m)|(?P<s9>b))(?![&/]|-[^\W\d])))(?!\w)",
        re.IGNORECASE,
    ),
    # The full stop at the end is that of the sentence, too.
    "de": re.compile(
        r"[ \u00a0\u202f](?:(?:(?P<z6>Mio)|(?P<z9>Mrd)|(?P<z12>Bio))"
        r"(?:\.(?![\s\"'\u201c\u201d\u2018\u2019\xab\xbb)\]]*(?:\n|\Z)))?"
        r"|(?P<m6>Million(?:en)?)|(?P<m9>Milliarden?)|(?P<m12>Billion(?:en)?))(?!\w)",
        re.IGNORECASE,
    ),
}


@cache
def _words_of_amounts() -> re.Pattern[str]:
    words = {"Mio", "Mrd", "Bio", "bn", "mn", "tn"}
    for names in _CURRENCY_NAMES.values():
        words.update("|".join(names.values()).split("|"))
    for magnitudes in _MAGNITUDE_NAMES.values():
        words.update(*magnitudes.values())
    signs = "".join(sorted(CURRENCIES))
    either = "|".join(map(re.escape, sorted(words)))
    return re.compile(rf"[{signs}]|(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)


def names_amount(text: str) -> bool:
    """Whether a text has a currency, its sign, or a word such as million."""
    return _words_of_amounts().search(text) is not None


def magnitude_names(language: str) -> Mapping[int, tuple[str, ...]]:
    """By zeros, the word of a language for one, for many, and perhaps a short one; or nothing."""
    return _MAGNITUDE_NAMES.get(language, {})


def magnitude(language: str) -> re.Pattern[str] | None:
    """What matches a word behind an amount of money that stands for its zeros, in a group whose
    name is a letter and how many; None where a language has no `magnitude_names`."""
    return _BEHIND_AMOUNTS.get(language)


def has_magnitude(text: str, place: int) -> bool:
    """Whether a word there, such as million, multiplies the number before it."""
    return _MAGNITUDES.match(text, place) is not None


_THOUSAND = {
    "en": "thousand", "de": "Tausend|tausend", "pt": "mil", "es": "mil", "fr": "mille",
    "it": "mila", "nl": "duizend", "sv": "tusen", "da": "tusind",
}  # fmt: skip


@lru_cache(maxsize=512)
def thousand(language: str) -> re.Pattern[str] | None:
    """What a language says for three zeros, alone."""
    if (words := _THOUSAND.get(language)) is None:
        return None
    return re.compile(rf"[ \u00a0\u202f](?:{words})(?!\w|[ \u00a0]mil)")


def thousand_word(language: str) -> str | None:
    """A word of a language for a thousand."""
    words = _THOUSAND.get(language)
    return words and words.rsplit("|", maxsplit=1)[-1]


_PART_NAMES = (
    "fig|figure|figures|figura|figuras|section|sections|chapter|chapters|table|tables|version"
    "|versions|abb|abbildung|abschnitt|kapitel|tabelle|fassung|se\xe7\xe3o|sec\xe7\xe3o"
    "|cap\xedtulo|tabela|vers\xe3o|ver"
)
_PROGRAM_NAMES = "android|debian|firmware|ios|python|ubuntu|usb|windows"
_PARTS = re.compile(
    rf"(?<!\w)(?:{_PART_NAMES}|({_PROGRAM_NAMES})|(build))\.?[ \u00a0]\Z", re.IGNORECASE
)
_ENDS_OF_PARTS = frozenset(name[-2:] for name in f"{_PART_NAMES}|{_PROGRAM_NAMES}|build".split("|"))
"""The last two letters of each of them."""
_VERSION = re.compile(
    r"\d{1,2}(?:\.\d{1,2}){1,2}(?![\w.]|[ \u00a0]?(?:[%\u20ac$\xa3]|(?:mil|bil|mio|mrd|mal)))",
    re.IGNORECASE,
)
_BUILD = re.compile(r"\d{4,}\.\d+")
_LONGEST_PART = 12


def names_part(text: str, begin: int) -> bool:
    """Whether what stands before a place makes of 1.2 the second part of the first one."""
    if text[begin - 1 : begin] not in (" ", "\xa0"):
        return False
    end = begin - 2 if text[begin - 2 : begin - 1] == "." else begin - 1
    ending = text[max(0, end - 2) : end]
    if ending.isascii() and ending.lower() not in _ENDS_OF_PARTS:
        return False
    found = _PARTS.search(text[max(0, begin - _LONGEST_PART) : begin])
    if found is None or found.lastindex is None:
        return found is not None
    # The names of programs, and builds, are words as well.
    return (_VERSION if found.lastindex == 1 else _BUILD).match(text, begin) is not None


@lru_cache(maxsize=512)
def percent_word(language: str) -> re.Pattern[str] | None:
    """What a language says for a percent sign."""
    if (words := _PERCENT.get(language)) is None:
        return None
    return re.compile(rf"[ \u00a0\u202f-]?(?:{words})(?!\w)")


def unit_names(unit: str, language: str, *, of_one: bool = False) -> tuple[str, ...]:
    """What a language calls a percent sign or the sign of a currency, for many or for one; else
    nothing."""
    if unit == "%":
        return tuple(filter(None, _PERCENT.get(language, "").split("|")))
    name = _CURRENCY_NAMES.get(language, {}).get(CODES.get(unit, unit))
    return () if name is None else (name.split("|")[0 if of_one else -1],)
