"""Names of countries, continents and cities in English and German, and the words made of them.

Countries and continents are CLDR's, from babel. Cities are those that the two call otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from types import MappingProxyType

__all__ = ["forms", "names_by_place", "said_by"]

_LANGUAGES = ("en", "de")
_CONTINENTS = ("002", "003", "005", "142", "150")
"""Africa, North and South America, Asia and Europe, by CLDR's codes; countries have two letters."""
_NO_COUNTRIES = ("EU", "EZ", "QO", "UN", "XA", "XB", "ZZ")
"""Codes of two letters that are unions, or made up."""
_USUAL_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "en": {"CI": ("Ivory Coast",), "CZ": ("Czech Republic",), "MM": ("Myanmar", "Burma"),
           "SZ": ("Swaziland",), "TL": ("East Timor",), "TR": ("Turkey",)},
    "de": {"BY": ("Belarus", "Wei\xdfrussland"), "CI": ("Elfenbeink\xfcste",),
           "MM": ("Myanmar", "Burma"), "SZ": ("Swasiland",), "TL": ("Osttimor",)},
})  # fmt: skip
"""By codes of countries, before what CLDR calls them."""
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
"""In English, by which they are known here, and German."""
_IRREGULAR: Mapping[str, Mapping[str, str]] = MappingProxyType({
    "en": {
        "CH": "Swiss", "CI": "Ivorians?", "CY": "Cypriots?", "CZ": "Czech",
        "DK": "Danish|Danes?", "ES": "Spanish|Spaniards?", "FI": "Finnish|Finns?", "FR": "French",
        "GR": "Greeks?", "HR": "Croats?", "IE": "Irish", "LB": "Lebanese", "MT": "Maltese",
        "NL": "Dutch|Holland", "NO": "Norwegians?", "PE": "Peruvians?", "PH": "Filipin[oa]s?",
        "PL": "Polish|Poles?", "PT": "Portuguese", "RS": "Serbs?", "SE": "Swedish|Swedes?",
        "SI": "Slovenes?", "TH": "Thais?", "TR": "Turkish|Turks?", "XK": "Kosovans?|Kosovars?",
        "Athens": "Athenians?", "Beijing": "Peking", "Genoa": "Genoese", "Hanover": "Hannover",
        "Kyiv": "Kiev", "Milan": "Milanese", "Moscow": "Muscovites?", "Naples": "Neapolitans?",
        "Nuremberg": "N\xfcrnberg", "Rome": "Romans?", "Tokyo": "T\u014dky\u014d",
        "Venice": "Venetians?", "Vienna": "Viennese", "Zurich": "Z\xfcrich",
    },
    "de": {
        "142": "[Aa]siat", "150": "[Ee]urop\xe4", "BY": "[Ww]ei(?:\xdf|ss)russ", "CA": "[Kk]anadi",
        "CI": "[Ii]vor(?:er|isch)", "CL": "[Cc]hilen", "CN": "[Cc]hines",
        "DK": "D\xe4nen?|[Dd]\xe4nisch", "FR": "Franz\xf6s|Franzos|franz\xf6s",
        "IE": "Iren?(?!\\w)|Irin|[Ii]risch", "IS": "[Ii]sl\xe4nd", "LB": "[Ll]ibanes",
        "MM": "[Bb]irma|[Bb]urmes|[Mm]yanm", "MT": "[Mm]altes",
        "NL": "[Nn]iederl\xe4nd|[Hh]oll[a\xe4]nd", "NZ": "[Nn]euseel\xe4nd", "PE": "[Pp]eruan",
        "PL": "[Pp]olnisch|Pole|Polin(?!\\w)|Polinnen", "PT": "[Pp]ortugies", "SD": "[Ss]udanes",
        "VN": "[Vv]ietnames", "Beijing": "Beijing", "Kyiv": "Kyjiw|Kyiv", "Munich": "M\xfcnchner",
        "Naples": "[Nn]eapolitan", "Rome": "R\xf6mer|[Rr]\xf6misch",
        "Tokyo": "Tokyo|T\u014dky\u014d", "Venice": "[Vv]enezian", "Zurich": "Z\xfcrcher",
    },
})  # fmt: skip
"""How else a word begins that names a place, or who or what is from there."""
_ENDINGS = MappingProxyType(
    {
        "en": re.compile(r"(?:istan|ium|ia|ea|es|as|[aeoy])\Z"),
        "de": re.compile(r"(?:istan|reich|(?:en)?land|ien|en|ei|[aeion])\Z"),
    }
)
"""What names of countries lose when words are made of them."""
_LEAST_STEM = 3
_LEAST_BEGINNING = 5
"""Letters of a name that may go on in any way; shorter ones begin other words."""
_PART = "(?:(?:[Nn]ord|[Ss]\xfcd)?(?:[Oo]st|[Ww]est)?|[Mm]ittel|[Ii]nner|[Zz]entral)"
"""What German joins to a name: Ostasien, the east of Asia."""
_PLAIN = re.compile(r"\w[\w\u2019-]*(?: \w[\w\u2019-]*)*")
_WITHOUT_GENITIVE = re.compile(
    r".*(?:[esxz]|ei|inseln?|pinen|diven|chellen|monen|moren|stadt|\xf6er)", re.I
)
"""German names that are plural or feminine, or end as genitives do."""


@cache
def names_by_place(language: str) -> Mapping[str, tuple[str, ...]]:
    """The names of each place, the usual one first; by codes, cities by what English calls them.

    Args:
        language: en or de.
    """
    from babel import Locale  # megabytes that not every process needs

    names = {
        code: [name]
        for code, name in Locale.parse(language).territories.items()
        if (code.isalpha() or code in _CONTINENTS)
        and code not in _NO_COUNTRIES
        and _is_plain(name, language)
    }
    for code, usual in _USUAL_NAMES[language].items():
        names[code] = [*usual, *names.get(code, ())]
    column = _LANGUAGES.index(language)
    names |= {city[0]: [city[column]] for city in _CITIES}
    return {place: tuple(dict.fromkeys(each)) for place, each in names.items()}


def _is_plain(name: str, language: str) -> bool:
    """Whether a name is none that is longer than anybody says it (Congo - Kinshasa, Bosnia &
    Herzegovina), or one of several words in German, whose adjectives have many forms."""
    return _PLAIN.fullmatch(name) is not None and not (language == "de" and " " in name)


def forms(name: str, language: str) -> tuple[str, ...]:
    """A name in the cases of its language: as it is, and the genitive of German."""
    if name == "Niederlande":
        return name, "Niederlanden"
    if language != "de" or _WITHOUT_GENITIVE.fullmatch(name):
        return (name,)
    return name, f"{name}s"


def said_by(place: str, language: str, others: Iterable[str]) -> re.Pattern[str]:
    """What names a place in a text, or who or what is from there: the beginning of a word.

    Args:
        place: a key of `names_by_place`.
        language: of the text.
        others: names of the place in another language, which do not name it in this one.
    """
    names = names_by_place(language)[place]
    own = "|".join(map(re.escape, names))
    strange = "|".join(re.escape(other) for other in others if other not in names)
    not_others = rf"(?!(?:{strange})(?:'?s)?(?!\w))" if strange else ""
    regular = "|".join(_made_of(name, place, language) for name in names)
    return re.compile(
        rf"(?<!\w)(?:(?:{own})(?!\w)|{not_others}(?:{regular})|{_irregular(place, language)})"
    )


def _made_of(name: str, place: str, language: str) -> str:
    """A pattern of a name and the words that are made of it regularly."""
    all_names = [each for names in names_by_place(language).values() for each in names]
    longer = [each for each in all_names if each != name and each.startswith(name)]
    if len(name) < _LEAST_BEGINNING or longer:
        whole = rf"{re.escape(name)}(?:s|er\w{{0,2}})?(?!\w)"
    else:
        whole = re.escape(name)
    if language == "de":
        whole += f"|{_german_parts(name, place, all_names)}"
    if place in _IRREGULAR[language]:
        return whole
    stem = name if _is_city(place) else _stem(name, language)
    return f"{whole}|{_english_words(stem) if language == 'en' else _german_words(stem)}"


def _irregular(place: str, language: str) -> str:
    found = _IRREGULAR[language].get(place, r"(?!)")
    return rf"(?:{found})(?:wom[ae]n|m[ae]n)?(?!\w)" if language == "en" else found


def _english_words(stem: str) -> str:
    """The Albanians, Chinese, Turkish and Iraqis of English."""
    stem = re.escape(stem)
    return rf"{stem}(?:\w{{0,3}}(?:ish|ese|ians?|ans?)|is?|s)?(?!\w)"


def _german_words(stem: str) -> str:
    """The Albaner, Griechen and Schwedinnen of German, and its adjectives."""
    first, rest = stem[0], re.escape(stem[1:])
    return (
        rf"[{first}{first.lower()}]{rest}\w{{0,3}}isch"
        rf"|{first}{rest}(?:\w{{0,3}}er(?:[ns]|in|innen)?|e[nr]?|in|innen)(?!\w)"
    )


def _is_city(place: str) -> bool:
    return place.isalpha() and len(place) > 2


def _stem(name: str, language: str) -> str:
    """A country's name without its ending."""
    stem = _ENDINGS[language].sub("", name)
    return stem if len(stem) >= _LEAST_STEM else name


def _german_parts(name: str, place: str, all_names: Collection[str]) -> str:
    """S\xfcdfrankreich of France; but S\xfcdafrika is not of Africa."""
    small = name[0].lower() + name[1:]
    countries = [each for each in all_names if each.endswith(small)]
    apart = rf"(?!(?:{'|'.join(map(re.escape, countries))}))" if countries else ""
    stem = re.escape(small[:-1] if len(small) > _LEAST_BEGINNING else small)
    return rf"{apart}{_PART}(?<=\w)(?:{stem}|{_irregular(place, 'de')})"
