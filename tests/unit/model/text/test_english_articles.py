"""The article that English says before a word."""

from __future__ import annotations

import pytest

from model.text.english_articles import article_before


@pytest.mark.parametrize(
    ("article", "texts"),
    [
        ("a", "pear house university user European one-way once union unit utility eulogy history"),
        ("a", "U-turn USB URL UFO 7 10 100 110 1,100 180 1000 'uniform' ubiquitous xylophone"),
        ("a", "Ugandan 1.18 118 180000"),
        ("an", "apple hour heir honest honour umbrella uncle unimportant unidentified undo usher"),
        ("an", "X-ray e-mail HTML MBE RSS FBI 8 80 8,000 11 18 18-year-old 11,000 1800 Uber utter"),
        ("an", "\u201capple\u201d xterm online only onion egg orange island élan Ärzte"),
        ("an", "11.5 18.5% 18000 11000000 11:30 unironed"),
        (None, "\u03b1-test \u042f\u0434\u0440\u043e \u4e2d \xd8re \xbd"),
        (None, "RHINO FJORD NATO LED SELinux - \u2026"),
    ],
)
def test_it_goes_by_the_first_sound(article: str | None, texts: str) -> None:
    for text in texts.split():
        assert article_before(text) == article, text


def test_of_several_words_the_first_one_counts() -> None:
    assert article_before("honest user") == "an"
    assert article_before("useful hour") == "a"
