"""Tags of languages by BCP 47: what a model calls "deu_Latn" or "deu" is "de" to most people."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["bcp47", "script"]

_MORE_ALIASES = {"fuv": "ff", "no": "nb", "ns": "nso", "pbt": "ps"}
"""What models call languages beside the aliases of the Unicode CLDR."""
_PARTS_OF_SCRIPTS = {"Hang": "Kore"}
"""Scripts that are most of another one, in which CLDR says that a language is written."""


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


def script(code: str) -> str | None:
    """The script in which a language is written, in four letters; None if nobody knows."""
    language, *rest = re.split("[-_]", bcp47(code))
    stated = [part for part in rest if len(part) == 4 and part.isalpha()]
    return stated[0] if stated else _likely_script(language)


def _in_its_case(part: str) -> str:
    """A script as "Latn", a region as "DE"."""
    return part.title() if len(part) == 4 else part.upper() if len(part) == 2 else part


def _alias(language: str) -> str:
    from babel.core import get_global  # megabytes that not every process needs

    return str(get_global("language_aliases").get(language, language))


def _likely_script(language: str) -> str | None:
    from babel.core import get_global

    parts = get_global("likely_subtags").get(language, "").split("_")
    return parts[1] if len(parts) > 1 else None
