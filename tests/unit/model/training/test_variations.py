"""Clean pairs become what people type, with the target that a reader would want."""

import pytest

from model.text.vocabulary import PLACEHOLDERS
from model.training.variations import Kind, Pair, vary

PAIRS: list[Pair] = [
    ("Tom lives in Boston.", "Tom wohnt in Boston."),
    ("Well, it's 250 miles, isn't it?", "Nun, es sind 250 Meilen, oder?"),
    ('"No," he said.', "„Nein“, sagte er."),
]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (
            ["lowercase"],
            [
                ("tom lives in boston.", "Tom wohnt in Boston."),
                ("well, it's 250 miles, isn't it?", "Nun, es sind 250 Meilen, oder?"),
                ("\"no,\" he said.", "„Nein“, sagte er."),
            ],
        ),
        (
            ["uppercase"],
            [
                ("TOM LIVES IN BOSTON.", "TOM WOHNT IN BOSTON."),
                ("WELL, IT'S 250 MILES, ISN'T IT?", "NUN, ES SIND 250 MEILEN, ODER?"),
                ("\"NO,\" HE SAID.", "„NEIN“, SAGTE ER."),
            ],
        ),
        (
            ["title_case"],
            [
                ("Tom Lives In Boston.", "Tom wohnt in Boston."),
                ("Well, It's 250 Miles, Isn't It?", "Nun, es sind 250 Meilen, oder?"),
                ('"No," He Said.', "„Nein“, sagte er."),
            ],
        ),
        (
            ["no_punctuation"],
            [
                ("Tom lives in Boston", "Tom wohnt in Boston"),
                ("Well it's 250 miles isn't it", "Nun, es sind 250 Meilen, oder"),
                ("No he said", "„Nein“, sagte er"),
            ],
        ),
        (
            ["concatenate"],
            [(" ".join(side) for side in zip(*PAIRS[:2], strict=True))],
        ),
        (["target_copied"], [(target, target) for _, target in PAIRS]),
        (["no_umlauts"], []),
        (["target_copied", "no_umlauts"], []),
    ],
)  # fmt: skip
def test_kinds_without_chance(kinds: list[Kind], expected: list[Pair]) -> None:
    assert vary(PAIRS, kinds, [1]) == [tuple(pair) for pair in expected]


def test_umlauts_go_from_the_source_alone() -> None:
    assert vary([("Größe: Übel", "size")], ["no_umlauts"], [1]) == [("Groesse: Uebel", "size")]


def test_a_typo_changes_a_word_or_two_of_the_source() -> None:
    pairs = [("the quick brown foxes jumped", "Ziel"), ("an ox is ok", "kein langes Wort")] * 50
    varied = vary(pairs, ["typos"], [1])
    assert 40 < len(varied) <= 50
    for source, target in varied:
        assert target == "Ziel"
        changed = [
            (new, old)
            for new, old in zip(source.split(), pairs[0][0].split(), strict=True)
            if new != old
        ]
        assert 1 <= len(changed) <= 3
        for new, old in changed:
            assert len(old) >= 4
            assert new[0] == old[0]
            assert abs(len(new) - len(old)) <= 1


def test_numbers_of_both_sides_change_alike() -> None:
    pairs = [("Take 250 of 12.5 at 10:30 in 2019.", "Nimm 250 von 12,5 um 10:30 im Jahr 2019.")]
    (varied,) = vary(pairs * 1, ["numbers"], [1])
    assert varied != pairs[0]
    sources, targets = (side.rstrip(".").split() for side in varied)
    assert sources[1] == targets[1] != "250"
    assert sources[-1] == targets[-1]
    assert len(sources[1]) == 3
    assert (sources[3], sources[5], targets[3], targets[5]) == ("12.5", "10:30", "12,5", "10:30")
    assert vary([("Take 5.", "Nimm 5."), ("in 1990", "vor langem")], ["numbers"], [1]) == []


def test_names_change_places_alike_on_both_sides() -> None:
    pairs = [
        ("Tom is here.", "Tom ist da."), ("I saw Maria.", "Ich sah Maria."), ("Yes.", "Ja."),
        ("Is that Jean-Paul?", "Ist das Jean-Paul?"), ("Hello, Tom.", "Hallo, Tom."),
    ]  # fmt: skip
    seen = set()
    for seed in range(20):
        for source, target in vary(pairs, ["names"], [seed]):
            name = source.removeprefix("I saw ").removeprefix("Hello, ").removesuffix(" is here.")
            name = name.removesuffix(".")
            assert target in {f"{name} ist da.", f"Ich sah {name}.", f"Hallo, {name}."}
            seen.add((source, name))
    assert seen == {("Maria is here.", "Maria"), ("I saw Tom.", "Tom"), ("Hello, Maria.", "Maria")}


def test_what_only_looks_like_a_name_stays() -> None:
    pairs = [
        ("Bring Tom home.", "Bring Tom nach Hause."), ("We saw Maria.", "Wir sahen Maria."),
        ("It was in April.", "Es war im April."), ("Tom came in August.", "Tom kam im August."),
    ]  # fmt: skip
    for seed in range(10):
        for source, target in vary(pairs, ["names"], [seed]):
            assert source.split()[0] in {"Bring", "We", "Maria", "Tom"}
            assert source.startswith("Bring ") == target.startswith("Bring ")
            assert source.endswith("in August.") == target.endswith("im August.")
            assert "April" not in source
            for word in ("Bring", "August"):
                assert (source.count(word), target.count(word)) in {(0, 0), (1, 1)}


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        (("What?!", "..."), "no_punctuation"),
        (("250", "250"), "uppercase"),
        (("Haus", "Haus"), "target_copied"),
        (("eeee", "x"), "typos"),
        (("in \u0662\u0665", "in \u0662\u0665"), "numbers"),
    ],
)
def test_what_would_be_empty_or_the_same_is_left_out(pair: Pair, kind: Kind) -> None:
    for seed in range(20):
        assert all(source != pair[0] and target for source, target in vary([pair], [kind], [seed]))


def test_dots_that_trail_off_are_punctuation() -> None:
    assert vary([("Well\u2026", "Na ja\u2026")], ["no_punctuation"], [1]) == [("Well", "Na ja")]


def test_emoji_are_the_same_on_both_sides() -> None:
    for source, target in vary(PAIRS, ["emoji"], [1]):
        tail = source.rsplit(" ", 1)[1]
        assert target.endswith(f" {tail}")
        assert tail
        assert not any(character.isascii() for character in tail)


ANIMALS = [
    (f"{name} {verb[0]} the {english}.", f"{name} {verb[1]} {german}.")
    for name in ("Tom", "Anna", "Karl", "Eva", "Ben")
    for verb in (("sees", "sieht"), ("feeds", "füttert"))
    for english, german in (
        ("dogs", "die Hunde"), ("cats", "die Katzen"), ("cows", "die Kühe"),
    )
]  # fmt: skip


def test_placeholders_stand_at_the_same_places_of_both_sides() -> None:
    words = {"Tom": "Tom", "feeds": "füttert", "dogs": "Hunde", "cats": "Katzen"}
    around, instead, at_ends = set(), set(), set()
    for seed in range(10):
        for source, target in vary(ANIMALS, ["placeholders"], [seed]):
            marks = [mark for mark in PLACEHOLDERS if mark in source]
            assert marks
            assert all(source.count(mark) == target.count(mark) == 1 for mark in marks)
            assert not any(mark in target for mark in set(PLACEHOLDERS) - set(marks))
            for word, translation in words.items():
                if f"{marks[0]} {word} {marks[-1]}" in source and len(marks) == 2:
                    assert f"{marks[0]} {translation} {marks[-1]}" in target
                    around.add(word)
            if source.startswith(f"{marks[0]} sees"):
                assert target.startswith(f"{marks[0]} sieht")
                instead.add(marks[0])
            if source.startswith(marks[0]) and source.endswith(marks[-1]) and len(marks) == 2:
                assert target.startswith(marks[0])
                assert target.endswith(marks[-1])
                at_ends.add(marks[0])
    assert around == set(words)
    assert instead
    assert at_ends


def test_a_pair_without_words_of_its_own_stays_out_or_gets_placeholders_at_its_ends() -> None:
    pair = ("of of", "von von")
    for seed in range(20):
        for source, target in vary([pair], ["placeholders"], [seed]):
            strip = str.maketrans("", "", "".join(PLACEHOLDERS))
            assert (source.translate(strip).strip(), target.translate(strip).strip()) == pair


def test_the_same_seed_gives_the_same_variations() -> None:
    kinds: list[Kind] = ["typos", "emoji"]
    assert vary(PAIRS, kinds, [1, 2]) == vary(PAIRS, kinds, [1, 2])
    assert any(vary(PAIRS, kinds, [1, 2]) != vary(PAIRS, kinds, [1, i]) for i in range(3, 9))
