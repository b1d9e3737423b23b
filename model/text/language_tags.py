"""Tags of languages by BCP 47: what a model calls "deu_Latn" or "deu" is "de" to most people."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

__all__ = ["base_language", "bcp47", "closest", "script"]

_CODE = re.compile(
    r"[a-z]{2,3}([-_][a-z]{4})?([-_](?P<region>[a-z]{2}|[0-9]{3}))?([-_][a-z0-9]{1,8})*",
    re.IGNORECASE,
)
_MOST_CHARACTERS = 35
"""The longest tags that RFC 5646 asks everybody to bear (section 4.4.1)."""

_MORE_ALIASES = {"fuv": "ff", "no": "nb", "ns": "nso", "pbt": "ps"}
"""What models call languages beside the aliases of the Unicode CLDR."""
_PARTS_OF_SCRIPTS = {"Hang": "Kore"}
"""Scripts that are most of another one, in which CLDR says that a language is written."""


def base_language(code: str) -> str:
    """A language's code without script or region."""
    return re.split("[-_]", code, maxsplit=1)[0].lower()


@lru_cache(maxsize=4096)
def bcp47(code: str) -> str:
    """The shortest tag for a code in any letter case: "de" for "deu_Latn", "zh-Hant" for
    "zho_Hant". What is no code stays as it is, in the letter case of one."""
    language, *rest = re.split("[-_]", code)
    language = language.lower()
    known = _MORE_ALIASES.get(language) or _alias(language)
    language, *implied = known.split("_")
    likely = _likely_script(language)
    kept = [
        part
        for part in (*implied, *map(_in_its_case, rest))
        if likely not in (part, _PARTS_OF_SCRIPTS.get(part, part))
    ]
    return "-".join((language, *kept))


def closest(code: str, among: Collection[str]) -> str | None:
    """The one of some codes that serves for another: the same in any letter case, or one of the
    same language in the same script.

    Of several, the first one for the same region, or else for none, or else the first: "en" or
    "en-GB" for "en-US", "zh-Hant" for "zh-TW", "pt-BR" for "pt". None if there is none, or `code`
    is no tag.
    """
    if len(code) > _MOST_CHARACTERS:
        return None
    if same := [other for other in among if other.casefold() == code.casefold()]:
        return same[0]
    if _CODE.fullmatch(code) is None:
        return None
    language = bcp47(code).partition("-")[0]
    region = _region(code) or _likely_region(language)
    best, fit = None, -1
    for other in among:
        if bcp47(other).partition("-")[0] != language or script(other) != script(code):
            continue
        others = _region(other)
        if (fits := 2 if others == region else 1 if others is None else 0) > fit:
            best, fit = other, fits
    return best


def _region(code: str) -> str | None:
    parts = _CODE.fullmatch(code)
    region = parts["region"] if parts else None
    return region.upper() if region else None


@lru_cache(maxsize=4096)
def script(code: str) -> str | None:
    """The script in which a language is written, in four letters; None if nobody knows."""
    language, *rest = re.split("[-_]", bcp47(code))
    stated = [part for part in rest if len(part) == 4 and part.isalpha()]
    regions = [part for part in rest if len(part) == 2]
    likely = _likely_script(f"{language}_{regions[0]}") if regions else None
    return stated[0] if stated else likely or _likely_script(language)


def _in_its_case(part: str) -> str:
    """A script as "Latn", a region as "DE"."""
    return part.title() if len(part) == 4 else part.upper() if len(part) == 2 else part


def _alias(language: str) -> str:
    from babel.core import get_global  # megabytes that not every process needs

    return str(get_global("language_aliases").get(language, language))


def _likely_script(language: str) -> str | None:
    parts = _likely_subtags(language)
    return parts[1] if len(parts) > 1 else None


def _likely_region(language: str) -> str | None:
    parts = _likely_subtags(language)
    return parts[2] if len(parts) > 2 else None


def _likely_subtags(language: str) -> list[str]:
    from babel.core import get_global

    return str(get_global("likely_subtags").get(language, "")).split("_")
