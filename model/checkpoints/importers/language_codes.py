"""Which of a model's language tokens are meant by the codes that people name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from babel.core import get_global

from model.errors import CheckpointError
from model.text.language_tags import bcp47
from model.text.languages import listed

__all__ = [
    "M2M_TOKEN",
    "NLLB_TOKEN",
    "SMALL_100_LAYERS",
    "chosen_tokens",
    "is_language",
    "target_tokens",
    "tokens_of",
]


_TARGET_TOKEN = re.compile(r">>([A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*)<<")
M2M_TOKEN = re.compile(r"__([A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*)__")
NLLB_TOKEN = re.compile(r"([a-z]{3}_[A-Z][a-z]{3})")
"""Tokens of M2M-100 and NLLB-200: each side begins with its language."""
SMALL_100_LAYERS = 3
"""Layers of SMaLL-100's decoder, of which M2M-100's have more."""


def is_language(code: str) -> bool:
    """Whether a code is of one language, not of a group."""
    return code != "mul" and bcp47(code) in get_global("likely_subtags")


def target_tokens(pieces: Iterable[str]) -> dict[str, str]:
    """The pieces of OPUS-MT's that name a target language, as in >>deu<<, by its code."""
    return tokens_of(pieces, _TARGET_TOKEN)


def tokens_of(pieces: Iterable[str], form: re.Pattern[str]) -> dict[str, str]:
    """The pieces of a form, by the codes of the languages that they name."""
    return {found[1]: found[0] for found in map(form.fullmatch, pieces) if found}


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
