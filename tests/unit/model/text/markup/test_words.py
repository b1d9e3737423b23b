"""Which words of a translation say what some of the source do, from links that say too much."""

from __future__ import annotations

from model.text.markup.words import AlignedWords
from model.text.word_links import WordLink
from model.text.words import words


def _aligned(source: str, target: str, *links: tuple[int, int]) -> AlignedWords:
    """With links between words, by their numbers."""
    sources, targets = words(source), words(target)
    return AlignedWords(source, target, [WordLink(sources[i], targets[j]) for i, j in links])


def test_a_word_that_others_say_too_counts_less() -> None:
    aligned = _aligned("is closed on Sundays", "fechado aos domingos",
                       (1, 0), (2, 1), (3, 0), (3, 2))  # fmt: skip
    assert aligned.cover(range(3, 4)) == range(2, 3)


def test_what_others_say_between_is_not_covered_for_less() -> None:
    aligned = _aligned("a b", "x y y y x", (0, 0), (0, 4), (1, 1), (1, 2), (1, 3))
    assert aligned.cover(range(0, 1)) == range(0, 1)
    assert aligned.cover(range(0, 2)) == range(0, 5)


def test_a_word_that_both_have_is_the_same() -> None:
    aligned = _aligned("Ekin Emax", "Ekin Emax", (0, 0), (1, 0), (1, 1))
    assert aligned.cover(range(1, 2)) == range(1, 2)


def test_punctuation_says_no_word() -> None:
    aligned = _aligned("not so .", "so nicht .", (1, 0), (2, 1), (2, 2))
    assert aligned.cover(range(2, 3)) == range(2, 3)
    assert aligned.cover(range(0, 1)) == range(0)
    assert aligned.unaligned((0, 10), 0, 1) == range(1, 2)
    assert aligned.unaligned((0, 2), 0, 1) == range(0)


def test_a_word_beside_that_nothing_says_belongs_to_it() -> None:
    aligned = _aligned("will to raise it", "wird es zu erhöhen", (0, 0), (2, 3), (3, 1))
    assert aligned.cover(range(1, 3)) == range(2, 4)
    assert aligned.cover(range(2, 3)) == range(3, 4)
