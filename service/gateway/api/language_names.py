"""Names of languages, in English, from the Unicode CLDR."""

from __future__ import annotations

from functools import lru_cache

from babel import Locale, UnknownLocaleError

__all__ = ["language_name"]


@lru_cache(maxsize=1024)
def language_name(code: str) -> str:
    """The name of a language: "de" -> "German", "zh-Hant" -> "Chinese (Traditional)".

    An unknown code is returned unchanged."""
    try:
        name = Locale.parse(code, sep="-" if "-" in code else "_").get_display_name("en")
    except (UnknownLocaleError, ValueError):
        name = None
    return name or Locale("en").languages.get(code.lower(), code)
