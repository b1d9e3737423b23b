"""Links in longer texts, and through two translations."""

from __future__ import annotations

from model.text.word_links import WordLink, composed, kept_words, moved


def test_links_move_with_their_texts() -> None:
    assert moved(kept_words("a 12"), 3, 10) == [
        WordLink((3, 4), (10, 11)),
        WordLink((5, 7), (12, 14)),
    ]


def test_links_go_through_the_words_of_a_pivot() -> None:
    first = [WordLink((0, 4), (0, 3)), WordLink((5, 9), (4, 8)), WordLink((5, 9), (9, 12))]
    second = [
        WordLink((0, 3), (0, 2)),
        WordLink((4, 12), (3, 9)),  # one word to the second model
        WordLink((4, 12), (20, 22)),
        WordLink((13, 14), (30, 31)),
    ]
    assert composed(first, second) == (
        WordLink((0, 4), (0, 2)),
        WordLink((5, 9), (3, 9)),
        WordLink((5, 9), (20, 22)),
    )
    assert composed(first, []) == composed([], second) == ()
