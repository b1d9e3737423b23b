"""Punctuation as Moses' normalize-punctuation.perl writes it, which OPUS-MT reads its text through.

Models that were trained so know one kind of quotation mark, apostrophe and dash; to others all of
these are tokens of their own.
"""

from __future__ import annotations

import re

__all__ = ["PunctuationNormalizer"]

_BRACKETS = (
    (r"\r", ""),
    (r"\(", " ("),
    (r"\)", ") "),
    (r" +", " "),
    (r"\) (?=[.!:?;,])", ")"),
    (r"\( ", "("),
    (r" \)", ")"),
    (r"(?<=\d) %", "%"),
    (r" (?=[:;])", ""),
)
_MARKS = (
    (r"`", "'"),
    (r"''", ' " '),
    (r"[„“”]", '"'),
    ("\u2013", "-"),
    (r"—", " - "),
    (r" +", " "),
    ("[\u00b4\u2018\u201a\u2019]", "'"),
    (r"''", '"'),
    (r"…", "..."),
)
_GUILLEMETS = (
    ("\u00a0«\u00a0", '"'),
    ("«\u00a0?", '"'),
    ("\u00a0»\u00a0", '"'),
    ("\u00a0?»", '"'),
)
_NO_BREAK_SPACES = (
    ("\u00a0(?=%)", ""),
    ("(?<=nº)\u00a0", " "),
    ("\u00a0(?=[:?!;])", ""),
    ("(?<=,)\u00a0|\u00a0(?=ºC|cm)", " "),
    (r" +", " "),
)
_POINTS_BEFORE_QUOTE = ((r'"([,.]+)', r'\1"'),)
_QUOTE_BEFORE_COMMA = (r',"', '",')
_POINTS_AND_QUOTE = re.compile(r'(\.+)(?:"(\s*[^<]))?')
"""Points, whether a quotation mark follows or not: each is looked at once."""

_EUROPEAN = frozenset({"de", "es", "fr"})
_DECIMAL_COMMA = _EUROPEAN | {"cs", "cz"}


class PunctuationNormalizer:
    """Makes the punctuation of one language plain. Safe to use from several threads.

    Args:
        language: code of the language; only the part before a "-" or "_" counts.
    """

    def __init__(self, language: str) -> None:
        language = re.split("[-_]", language, maxsplit=1)[0].lower()
        rules = [*_BRACKETS, *_MARKS, *_GUILLEMETS, *_NO_BREAK_SPACES]
        if language == "en":
            rules += _POINTS_BEFORE_QUOTE
        self._points_after_quote = language in _EUROPEAN
        if self._points_after_quote:
            rules.append(_QUOTE_BEFORE_COMMA)
        decimal = "," if language in _DECIMAL_COMMA else "."
        rules.append(("(?<=\\d)\u00a0(?=\\d)", decimal))
        self._rules = [(re.compile(pattern), written) for pattern, written in rules]

    def normalize(self, text: str) -> str:
        """`text` with plain punctuation, in time that grows with its length."""
        for pattern, written in self._rules:
            text = pattern.sub(written, text)
        if self._points_after_quote and '."' in text:
            text = _POINTS_AND_QUOTE.sub(_quote_first, text)
        return text.strip()


def _quote_first(found: re.Match[str]) -> str:
    return found[0] if found[2] is None else f'"{found[1]}{found[2]}'
