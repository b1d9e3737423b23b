"""Options of texts: what is refused, and what goes on to the models of a pivot."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from model.errors import InvalidOptionError
from model.text_options import NO_TEXT_OPTIONS, GlossaryEntry, KeptSpan, TextOptions

CAT = GlossaryEntry("cat", ("Katze",))


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"keep": ("ok", " x")}, "keep", r"`keep\[1\]` must begin and end"),
        ({"keep": ("a\nb",)}, "keep", r"`keep\[0\]` must be within a line"),
        ({"banned_terms": ("",)}, "banned_terms", r"`banned_terms\[0\]` must begin and end"),
        ({"banned_terms": (7,)}, "banned_terms", "must be a string, but is int"),
        ({"banned_terms": ("a\ud800",)}, "banned_terms", "must be valid Unicode"),
        ({"glossary": (GlossaryEntry("cat", ()),)}, "glossary", "one form or more"),
        ({"glossary": (GlossaryEntry("\0", ("x",)),)}, "glossary", r"U\+0000"),
        ({"glossary": (GlossaryEntry("cat", ("x ",)),)}, "glossary", "a form of entry 0"),
        (
            {"glossary": (CAT, GlossaryEntry("Cat", ("Mieze",)))},
            "glossary",
            "entries 0 and 1 are of the same one, case aside",
        ),
        (
            {"glossary": (CAT,), "banned_terms": ("katze",)},
            "banned_terms",
            "must not have what `glossary` asks for",
        ),
        ({"banned_terms": "cat"}, "banned_terms", "`banned_terms` must be a tuple, but is str"),
        ({"glossary": (GlossaryEntry("a", "b"),)}, "glossary", "a tuple of forms, but has str"),  # type: ignore[arg-type]
        ({"target_prefix": "  "}, "target_prefix", "must have more than white space"),
        (
            {"format": "rtf"},
            "format",
            "must be one of text, html, xml, markdown, wrapped, but is 'rtf'",
        ),
        ({"keep_spans": (KeptSpan(0, 2, 2),)}, "keep", "`begin` < `end`, but number 0 has 2 and 2"),
        (
            {"keep_spans": (KeptSpan(0, 2, 4), KeptSpan(0, 3, 5))},
            "keep",
            "in order and apart from each other, but number 1",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(options: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message) as refused:
        TextOptions(**options)
    assert refused.value.field == field
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.field) == (str(refused.value), field)


def test_messages_name_no_term() -> None:
    with pytest.raises(InvalidOptionError) as refused:
        TextOptions(glossary=(GlossaryEntry("secret", ("x",)), GlossaryEntry("Secret", ("y",))))
    assert "secret" not in str(refused.value).lower()


def test_entries_may_differ_by_case_where_one_is_sensitive() -> None:
    TextOptions(glossary=(GlossaryEntry("Apple", ("Apple",), True), GlossaryEntry("apple", ("x",))))


def test_texts_are_checked() -> None:
    TextOptions(target_prefix="Das").check_texts(["one"])
    with pytest.raises(InvalidOptionError, match="must come with one text, but comes with 2"):
        TextOptions(target_prefix="Das").check_texts(["one", "two"])
    TextOptions(keep_spans=(KeptSpan(1, 0, 3),)).check_texts(["", "two"])
    with pytest.raises(InvalidOptionError, match="one of 1 texts, but number 0 is of text 1"):
        TextOptions(keep_spans=(KeptSpan(1, 0, 3),)).check_texts(["one"])
    with pytest.raises(InvalidOptionError, match="its text of 3 characters, but number 0 ends at"):
        TextOptions(keep_spans=(KeptSpan(0, 0, 4),)).check_texts(["one"])


def test_terms_go_through_a_pivot_as_they_are() -> None:
    options = TextOptions(
        keep=("X1",),
        keep_spans=(KeptSpan(0, 0, 3),),
        glossary=(CAT,),
        banned_terms=("Hund",),
        target_prefix="Die",
    )
    first, last = options.to_pivot(), options.from_pivot(["one cat"])
    assert first.glossary == (GlossaryEntry("cat", ("cat",)),)
    assert (first.banned_terms, first.target_prefix) == ((), "")
    assert (first.keep, first.keep_spans) == (options.keep, options.keep_spans)
    assert (last.keep, last.keep_spans) == (("X1", "one"), ())
    assert (last.glossary, last.banned_terms) == (options.glossary, options.banned_terms)
    assert NO_TEXT_OPTIONS.to_pivot() == NO_TEXT_OPTIONS.from_pivot(["x"]) == NO_TEXT_OPTIONS
