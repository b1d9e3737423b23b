"""Codes of languages: what a model calls "deu_Latn" or "deu" is called "de" by most people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from babel.core import get_global

from model.errors import CheckpointError
from model.text.languages import listed

__all__ = [
    "bcp47",
    "chosen_tokens",
    "is_language",
    "script",
    "target_tokens",
]


def bcp47(code: str) -> str:
    """The shortest tag of BCP 47 for a code: "de" for "deu_Latn", "zh-Hant" for "zho_Hant"."""
    language, *rest = re.split("[-_]", code)
    known = get_global("language_aliases").get(language, language)
    language, *implied = known.split("_")
    kept = [part for part in (*implied, *rest) if part != _likely_script(language)]
    return "-".join((language, *kept))


def script(code: str) -> str | None:
    """The script in which a language is written, in four letters; None if nobody knows."""
    language, *rest = re.split("[-_]", bcp47(code))
    stated = [part for part in rest if len(part) == 4 and part.isalpha()]
    return stated[0] if stated else _likely_script(language)


def is_language(code: str) -> bool:
    """Whether a code is of one language, not of a group."""
    return code != "mul" and bcp47(code) in get_global("likely_subtags")


_TARGET_TOKEN = re.compile(r">>([A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*)<<")


def target_tokens(pieces: Iterable[str]) -> dict[str, str]:
    """The pieces of OPUS-MT's that name a target language, as in >>deu<<, by its code."""
    return {found[1]: found[0] for found in map(_TARGET_TOKEN.fullmatch, pieces) if found}


def chosen_tokens(wanted: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """The token of each wanted language, by the code that it was asked for with.

    Args:
        wanted: codes of the model, or tags of BCP 47; none of them is all that are known.
        known: maps the codes of the model to its tokens.

    Raises:
        CheckpointError: a language is not known, or its tag stands for several.
    """
    wanted = list(wanted)
    if not wanted:
        return dict(known)
    chosen: dict[str, str] = {}
    for code in wanted:
        if code in known:
            chosen[code] = known[code]
            continue
        tag = bcp47(code).casefold()
        found = [each for each in known if bcp47(each).casefold() == tag]
        if len(found) != 1:
            raise CheckpointError(
                f"the language {code!r} must be one of {listed(found or known)}"
                + (", which it may all be" if found else "")
            )
        chosen[code] = known[found[0]]
    return chosen


def _likely_script(language: str) -> str | None:
    parts = get_global("likely_subtags").get(language, "").split("_")
    return parts[1] if len(parts) > 1 else None
