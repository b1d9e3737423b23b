"""Texts of all kinds that are dear to prepare: a short piece, again and again, in several ways."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

__all__ = ["PIECES", "WAYS", "kinds"]

PIECES = (
    # Letters of several scripts, with marks and without.
    "a", "A", "ab", "\xe9", "\u0438", "\u0416", "\u5b57", "\u1100\u1161", "\xdf", "a\u0301",
    "\u0301", "a\u20dd", "a\xad", "a\u200d", "\u200b", "\ufdfa", "\U0001d167",
    # Numbers, as they are written somewhere.
    "1", "12", "1234", "1,234", "12.50", "$12.50", "12%", "12 %", "12 EUR", "12 kg", "3rd", "1st",
    "5 pm", "12:30", "8h30", "1/2/2024", "2024-01-02", "1-2", "1 to 2", "1e5", "+1", "-1", ".5",
    "\xbd", "x\xb2", "\u2460", "H\u2082O", "A1", "a1", "1a", "v1.2.3", "0800 123 456", "(12)",
    "[3]", "forty-two",
    # Strings that stay as they are.
    "\\a{", "{{a", "{a}", "${a}", "%s", "%d ", "<a>", "<a ", "</b>", "&amp;", "&a", "`a`", "`'a",
    "@a", "a@b", "a@b.cc", "www.a.cc", "a.com", "http://a.cc", "/a/b", "../", "C:\\a\\", "a.txt",
    "a_b", "a_", "--a-b", "#a", "#", ":a:", "\\n", "[[a]]", "A-12-3", "\U0001f600", "\u2192",
    # Signs, and where sentences may end.
    ".", "a. ", "Dr. ", "me. ", "e.g. ", "\u3002", "\u2026", "! ", "\u201ca\u201d ", "(a. ", "'",
    "\u2014", "*", "- ", ", ", "; ", "dont ", "{n, plural, one {# a} other {# b}}",
)  # fmt: skip
"""What texts are made of."""

WAYS = {
    "alone": "{piece}",
    "words": "{piece} ",
    "in words": "a {piece} b ",
    "clauses": "{word} {piece}, ",
    "lines": "{word} {piece}\n",
    "numbered": "{piece}{number}\n",
    "sentences": "A {piece} is {number}. ",
}
"""How they are: a template for a piece, a word and a number that are others each time."""
_LETTERS = "abcdefghij"


def kinds(length: int) -> Iterator[tuple[str, str]]:
    """A name and a text of so many characters for each kind."""
    for piece, (name, way) in product(PIECES, WAYS.items()):
        yield f"{name}: {piece}", _repeated(piece, way, length)


def _repeated(piece: str, way: str, length: int) -> str:
    parts: list[str] = []
    left = length
    for number, letters in enumerate(product(_LETTERS, repeat=4), 1000):
        parts.append(way.format(piece=piece, word="".join(letters), number=number))
        left -= len(parts[-1])
        if left <= 0:
            break
    return "".join(parts)[:length]
