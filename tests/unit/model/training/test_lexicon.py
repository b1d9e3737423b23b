"""Which words are each other's translations."""

from model.training.lexicon import lexicon

SENTENCES = [
    (f"{name} {verb[0]} the {animal[0]}.", f"{name} {verb[1]} die {animal[1]}.")
    for name in ("Tom", "Anna", "Karl", "Eva")
    for verb in (("sees", "sieht"), ("feeds", "f\u00fcttert"), ("hears", "h\u00f6rt"))
    for animal in (("dogs", "Hunde"), ("cats", "Katzen"))
]


def test_words_of_the_same_pairs_are_translations() -> None:
    names = {(name, name) for name in ("Tom", "Anna", "Karl", "Eva")}
    assert lexicon(SENTENCES) == names | {
        ("sees", "sieht"), ("feeds", "f\u00fcttert"), ("hears", "h\u00f6rt"), ("the", "die"),
        ("dogs", "Hunde"), ("cats", "Katzen"),
    }  # fmt: skip


def test_words_that_are_always_together_are_not_told_apart() -> None:
    assert lexicon([("big dogs", "gro\u00dfe Hunde")] * 10) == set()


def test_what_was_seen_too_seldom_is_left_out() -> None:
    assert lexicon([("dogs", "Hunde")] * 3) == set()
    assert lexicon([("dogs", "Hunde")] * 4) == {("dogs", "Hunde")}


def test_long_pairs_are_not_counted() -> None:
    words = " ".join(f"w{number}" for number in range(23))
    assert lexicon([("dogs", "Hunde")] * 4 + [(words, words)] * 4) == {("dogs", "Hunde")}


def test_parts_of_compounds_are_no_words() -> None:
    assert lexicon([("dog-house", "Hunde-Haus")] * 4) == set()
