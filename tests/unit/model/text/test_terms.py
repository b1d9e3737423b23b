"""Where terms are in a translation, and what is replaced by them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from model.text.glossary import Glossary
from model.text.terms import TargetText, num_written, term_places
from model.text.words import Span
from model.text_options import GlossaryEntry


def tokens(text: str) -> list[Span]:
    """A token for each word, with the space before it, and for each sign."""
    spans, at = [], 0
    for word in text.replace(".", " .").replace(",", " ,").split():
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    return spans


def place(
    source: str,
    target: str,
    attended: list[int],
    *entries: tuple[str, ...],
    taken: Sequence[Span] = (),
    searched: Mapping[int, Span] | None = None,
    lost: Sequence[int] = (),
) -> str:
    terms = Glossary([GlossaryEntry(term, forms) for term, *forms in entries]).find(source)  # type: ignore[arg-type]
    spans = tokens(target)
    placed, left_out = term_places(
        terms, tokens(source), attended, TargetText(target, spans), taken, searched=searched or {}
    )
    assert left_out == list(lost)
    for each in reversed(placed):
        begin, end = spans[each.first][0], spans[each.last - 1][1]
        target = target[:begin] + each.form + target[end:]
    return target


def test_the_words_that_attend_to_a_term_are_replaced() -> None:
    source, target = "The cat sleeps.", "Die Katze schläft."
    assert place(source, target, [0, 1, 2, 3], ("cat", "Mieze")) == "Die Mieze schläft."
    # An article that attends to its noun stays.
    assert place(source, target, [1, 1, 2, 3], ("cat", "Mieze")) == "Die Mieze schläft."


def test_what_has_a_form_stays() -> None:
    source, target = "The cat sees a cat.", "Die Mieze sieht Miezen."
    attended = [0, 1, 2, 4, 5]
    assert place(source, target, attended, ("cat", "Mieze", "Miezen")) == target
    assert place(source, target, attended, ("cat", "Mieze")) == "Die Mieze sieht Mieze."


def test_a_word_that_has_a_form_within_it_stays_whole() -> None:
    source, target = "The post came.", "the e-mail came."
    assert place(source, target, [0, 1, 2, 3], ("post", "mail"), searched={0: (1, 2)}) == target


def test_nothing_is_put_where_the_model_says_nothing() -> None:
    source, target = "The cat sleeps.", "Es schläft."
    assert place(source, target, [2, 2, 3], ("cat", "Mieze"), lost=[0]) == target


def test_a_word_becomes_one_term_only() -> None:
    source, target = "cat food.", "Katzenfutter."
    source, target = "cat food.", "Katzenfutter."
    entries = ("cat", "Mieze"), ("food", "Futter")
    assert place(source, target, [0, 2], *entries, lost=[1]) == "Mieze."


def test_several_words_become_one_term() -> None:
    source, target = "A credit card.", "Uma carta de crédito."
    attended = [0, 2, 2, 1, 3]
    assert place(source, target, attended, ("credit card", "cartão")) == "Uma cartão."


@pytest.mark.parametrize(("own", "form"), [("Katzen", "Hunden"), ("Katze", "Hunde")])
def test_of_several_forms_the_one_with_the_ending_of_the_own_word_is_taken(
    own: str, form: str
) -> None:
    forms = ("cat", "Hund", "Hunde", "Hunden")
    assert place("the cat", f"den {own}", [0, 1], forms) == f"den {form}"


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("cats are here", "Animais aqui", "Gatos aqui"),
        ("cats are here", "animais aqui", "gatos aqui"),
        ("CATS are here", "animais aqui", "GATOS aqui"),
        ("Here are Cats", "aqui animais", "aqui Gatos"),
        ("cats are here", "GATOS aqui", "Gatos aqui"),
    ],
)
def test_case_is_kept(source: str, target: str, expected: str) -> None:
    assert place(source, target, [0, 2], ("cats", "gatos")) == expected


def test_what_is_taken_stays() -> None:
    source, target = "a cat", "eine Katze"
    assert place(source, target, [0, 1], ("cat", "Mieze"), taken=[(1, 2)], lost=[0]) == target


def test_terms_are_counted_once_for_each_place() -> None:
    terms = Glossary([GlossaryEntry("cat", ("Katze",))]).find("cat and cat")
    assert [num_written(terms, text) for text in ("Katze", "Katze, KATZE", "Katzen")] == [1, 2, 0]
    assert term_places(terms[:1], [], [], TargetText("Katze", [])) == ([], [])


def test_what_the_search_has_written_is_where_it_wrote_it() -> None:
    source, target = "The cat sleeps.", "Es schläft Miezen da."
    entry = ("cat", "Mieze")
    assert place(source, target, [2, 2, 2, 2, 3], entry, lost=[0]) == target
    # The token of the term and one that has been joined to it are one word.
    searched = {0: (2, 3)}
    placed = place(source, target, [2, 2, 2, 2, 3], entry, searched=searched)
    assert placed == "Es schläft Mieze da."
    # What is another one's is not taken.
    with_taken = place(
        source, target, [2, 2, 2, 2, 3], entry, searched=searched, taken=[(2, 3)], lost=[0]
    )
    assert with_taken == target


def test_a_script_without_spaces_has_terms_within_others_letters() -> None:
    terms = Glossary([GlossaryEntry("cat", ("猫",))]).find("a cat")
    assert num_written(terms, "一只猫在睡觉") == 1


def test_what_says_a_term_otherwise_stays() -> None:
    source, spans = "Drei Hunde schlafen.", tokens("Drei Hunde schlafen.")
    entry = GlossaryEntry("drei", ("three",))
    said = re.compile(r"\bthree\b|\b3\b|\btrio\b", re.IGNORECASE)
    [match] = Glossary([entry]).find(source)
    terms = [match._replace(said=said)]
    for target, form in {
        "A trio sleeps.": None,
        "3 dogs sleep.": None,
        "Three dogs sleep.": None,
        "Dogs, Three, sleep.": None,
        "Four dogs sleep.": "Three",
    }.items():
        of_target = tokens(target)
        attended = [0, 1, 2, 2, 2, 2][: len(of_target)]
        placed, lost = term_places(terms, spans, attended, TargetText(target, of_target))
        assert not lost
        assert [each.form for each in placed] == ([] if form is None else [form]), target
    # What a search for it has written has the case of its place.
    target = "Dogs, Three, sleep."
    of_target = tokens(target)
    text = TargetText(target, of_target)
    placed, _ = term_places(terms, spans, [1, 1, 0, 0, 2, 2], text, searched={0: (2, 3)})
    assert [each.form for each in placed] == ["three"]


def test_a_sign_beside_a_short_word_is_not_what_says_a_term() -> None:
    """The word of "red," was left out as an article would be, and the comma replaced."""
    source, target = "im alten Rom gleich", "in the old red, next"
    assert place(source, target, [0, 0, 1, 2, 2, 3], ("Rom", "Rome")) == ("in the old Rome, next")


@pytest.mark.parametrize(
    ("target", "wanted"),
    [("Zypern's north", "Cyprus's north"), ("the north of Zyperns", "the north of Cyprus")],
)
def test_a_genitive_of_english_takes_the_place_of_one(target: str, wanted: str) -> None:
    attended = [0, 1] if target.startswith("Z") else [1, 1, 1, 0]
    entry = ("Zyperns", "Cyprus", "Cyprus's")
    assert place("Zyperns Norden", target, attended, entry) == wanted
