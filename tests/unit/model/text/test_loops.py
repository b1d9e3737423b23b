"""What of a translation is a loop, and what of it stays."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.text.loops import find_loop, held_back, most_copies_said


def _without_loops(text: str, translation: str) -> str:
    begin = 0
    while cuts := find_loop(text, translation, begin):
        begin, end = cuts[0]
        translation = translation[:begin] + translation[end:]
    return translation


@pytest.mark.parametrize(
    ("text", "translation", "stays"),
    [
        (
            "a woman who knows it",
            "eine Frau, die die die sie kennt",
            "eine Frau, die die sie kennt",
        ),
        ("what is really real", "was wirklich wirklich Wirklich ist", "was wirklich ist"),
        ("GDF-Suez in the net", "GDF-Suez-Suez-Suez im Netz", "GDF-Suez im Netz"),
        ("the ship", "das Schiff und das Schiff und das Schiff und", "das Schiff und"),
        ("a station", "eine Bahnbahnbahnbahn", "eine Bahn"),
        ("an express", "ein Expressss", "ein Express"),
        ("No, no!", "Nein, nein, nein, nein!", "Nein, nein!"),
        ("Ha ha!", "Ha, ha; ha ha! Ha. Ha ha", "Ha, ha"),
        ("golden", "goldenenenene Uhr", "goldene Uhr"),
        ("a house...... ____", "ein Haus Haus Haus Haus......", "ein Haus......"),
        ("two", "x y x y x y, x y x y x y z", "x y z"),
    ],
)
def test_as_much_of_a_loop_stays_as_the_text_has(text: str, translation: str, stays: str) -> None:
    assert _without_loops(text, translation) == stays


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("It costs ten thousand euros.", "Es kostet 10000000 Euro."),
        ("Go on", "Weiter ......... --- 0 0 0 0 0"),
        ("books that have come out", "die erschienenen Bücher über Schifffahrt und Sonnenenergie"),
        ("those who have the choice", "die, die die Wahl haben"),
        ("He knocked.", "Klopf, klopf, klopf."),
        ("very, very good", "sehr, sehr, sehr gut"),
        ("Hahaha, no no no!", "Hahahaha, nein nein nein nein!"),
        ("", "so so"),
        ("the grandparents", "दादा-दादी और नाना-नानी"),
        (
            ", ".join(["I do not at all want to go to school today"] * 3),
            "heute nicht zur Schule " * 3,
        ),
        ("我不想去上学" * 3, "I do not want to go " * 3),
        ("再见再见", "bye bye bye"),
    ],
)
def test_what_is_said_with_reason_is_no_loop(text: str, translation: str) -> None:
    assert not find_loop(text, translation)


@pytest.mark.parametrize(
    ("text", "copies"),
    [("", 1), ("Mann", 1), ("so so", 2), ("No, no. No!", 3), ("hahaha", 3), ("0 0 0 0", 4)],
)
def test_copies_of_a_text(text: str, copies: int) -> None:
    assert most_copies_said(text) == copies


def test_within_a_word_letters_may_be_left_out_at_any_of_its_places() -> None:
    text = "Fantasiejojojojo"
    cuts = find_loop("fantasy", text)
    assert len(cuts) == 2
    assert {text[:begin] + text[end:] for begin, end in cuts} == {"Fantasiejo", "Fantasiejojo"}


texts = st.lists(
    st.sampled_from(["a", "b", "die", "dies", "ab", "aab", " ", " ", ", ", "-", "7"]), max_size=24
).map("".join)


@given(text=texts, translation=texts)
@example(text="", translation="side side sie sie sie side side side sie side side side sie side")
def test_what_is_not_held_back_stays(text: str, translation: str) -> None:
    whole = _without_loops(text, translation)
    told = ""
    for length in range(len(translation) + 1):
        begun = _without_loops(text, translation[:length])
        decided = begun[: held_back(begun)]
        assert whole.startswith(decided)
        assert decided.startswith(told) or told.startswith(decided)
        told = max(told, decided, key=len)


@given(st.lists(st.sampled_from([*"aAdi \u0130\u0940_-,7", "die", "\u0928", "nana"]), max_size=16))
@example(["the ", "The ", "thE"])
@example(["\u0926", "\u0940"] * 3)
def test_what_is_looked_through_has_all_loops(parts: list[str]) -> None:
    translation = "".join(parts)
    found = find_loop("", translation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.text.loops._may_have_loop", lambda _: True)
        assert find_loop("", translation) == found
