"""Clean pairs become what people type, with the target that a reader would want."""

import pytest

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
    assert len(varied) == 50
    for source, target in varied:
        assert target == "Ziel"
        changed = [
            (new, old)
            for new, old in zip(source.split(), pairs[0][0].split(), strict=True)
            if new != old
        ]
        # A neighbour or a swap can give the same word again: the two e of "deep".
        assert len(changed) <= 3
        for new, old in changed:
            assert len(old) >= 4
            assert new[0] == old[0]
            assert abs(len(new) - len(old)) <= 1
    assert sum(source != pairs[0][0] for source, _ in varied) > 40


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
        ("Is that Jean-Paul?", "Ist das Jean-Paul?"),
    ]  # fmt: skip
    seen = set()
    for seed in range(20):
        varied = vary(pairs, ["names"], [seed])
        assert len(varied) == 2
        for (source, target), (before, after) in zip(
            varied, (("", " is here."), ("I saw ", ".")), strict=True
        ):
            name = source.removeprefix(before).removesuffix(after)
            assert name in {"Tom", "Maria"}
            assert name in target
            seen.add((before, name))
    assert len(seen) == 4


def test_emoji_are_the_same_on_both_sides() -> None:
    for source, target in vary(PAIRS, ["emoji"], [1]):
        tail = source.rsplit(" ", 1)[1]
        assert target.endswith(f" {tail}")
        assert tail
        assert not any(character.isascii() for character in tail)


def test_the_same_seed_gives_the_same_variations() -> None:
    kinds: list[Kind] = ["typos", "emoji"]
    assert vary(PAIRS, kinds, [1, 2]) == vary(PAIRS, kinds, [1, 2])
    assert any(vary(PAIRS, kinds, [1, 2]) != vary(PAIRS, kinds, [1, i]) for i in range(3, 9))
