"""Strings that whoever asks wants kept."""

from __future__ import annotations

import pytest

from model.text.kept_strings import KeptStrings, kept_spans
from model.text.word_links import WordLink


@pytest.mark.parametrize(
    ("text", "strings", "spans", "expected"),
    [
        ("The Old Oak and Oaks", ("Oak", "Old Oak"), [], ["Old Oak"]),
        ("a.b aab a.b.", ("a.b",), [], ["a.b", "a.b"]),
        ("cat, concat, cat2", ("cat",), [], ["cat"]),
        ("\u72ac\u3068\u732b, a+b+", ("b+",), [], ["b+"]),
        ("one two three", ("two",), [(0, 5)], ["one t"]),
        ("one two three two", ("two",), [(4, 13)], ["two three", "two"]),
    ],
)
def test_where_they_are(
    text: str, strings: tuple[str, ...], spans: list[tuple[int, int]], expected: list[str]
) -> None:
    assert [text[slice(*span)] for span in kept_spans(text, strings, spans)] == expected


def test_a_text_with_a_character_for_each_comes_back() -> None:
    text = "The Old Oak\U000f0000 is the Old Oak, not the fir"
    kept = KeptStrings.of(text, kept_spans(text, ("Old Oak", "fir"), ()))
    assert kept.text == "The \U000f0001\U000f0000 is the \U000f0001, not the \U000f0002"
    assert kept.shown(kept.text) == text
    assert KeptStrings.of(text, ()) == KeptStrings(text, {})


def test_links_are_those_of_what_is_shown() -> None:
    text, translation = "a Old Oak b", "x \U000f0000 y \U000f0000 z"
    kept = KeptStrings.of(text, [(2, 9)])
    links = [WordLink((0, 1), (4, 5)), WordLink((2, 3), (6, 7)), WordLink((4, 5), (8, 9))]
    shown = kept.shown(translation)
    pairs = [
        (text[slice(*link.source)], shown[slice(*link.target)])
        for link in kept.shown_links(links, translation)
    ]
    assert pairs == [("a", "y"), ("Old Oak", "Old Oak"), ("b", "z")]
