"""ICU messages and blocks of code: what of them is kept, and what is said around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.messages import kept_and_said, origins


def shown(text: str) -> list[str]:
    """The pieces, those that are kept in brackets."""
    return [f"[{p.text}]" if p.is_kept else p.text for p in kept_and_said(text, "en")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No message, {name}.", ["No message, {name}."]),
        (
            "So. You have {n, plural, =0 {no dogs} one {# dog} other {# dogs}} here. Bye.",
            ["So. ", "[{n, plural, =0 {]", "You have no dogs here.", "[} one {]",
             "You have # dog here.", "[} other {]", "You have # dogs here.", "[}}]", " Bye."],
        ),
        (
            "{g, select, f {She} other {They}} left {n, plural, offset:1 one {it} other {all}}.",
            ["[{g, select, f {]", "[{n, plural, offset:1 one {]", "She left it.", "[} other {]",
             "She left all.", "[}}]", "[} other {]", "[{n, plural, offset:1 one {]",
             "They left it.", "[} other {]", "They left all.", "[}}]", "[}}]"],
        ),
        ("{n, plural,\n one {a}\n other {b}\n} left", ["[{n, plural,\n one {]", "a",
         "[}\n other {]", "b", "[}\n}]", " left"]),
        ("It's {n, plural, one {a '{' b} other {c}}", ["[{n, plural, one {]", "It's a '{' b",
         "[} other {]", "It's c", "[}}]"]),
        ("{n, plural, one {a}", ["{n, plural, one {a}"]),
        ("{n, plural, one}", ["{n, plural, one}"]),
        ("A\n```py\nx = 1\n```\nB ``` C", ["A\n", "[```py\nx = 1\n```]", "\nB ``` C"]),
        ("```\nnever closed", ["```\nnever closed"]),
    ],
)  # fmt: skip
def test_what_is_kept_and_what_is_said(text: str, expected: list[str]) -> None:
    assert shown(text) == expected
    places = origins(text, "en")
    said = "".join(piece.text for piece in kept_and_said(text, "en"))
    assert said == (text if places is None else "".join(text[place] for place in places))


@given(
    st.lists(
        st.sampled_from(
            [
                "{n, plural, ",
                "one {",
                "other {",
                "}",
                "}}",
                "{",
                "a dog",
                ". ",
                "\n",
                "```\n",
                "'{",
                "#",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_all_of_a_text_is_there(text: str) -> None:
    pieces = list(kept_and_said(text, "en"))
    places = [place for piece in pieces for place in piece.origins]
    assert "".join(text[place] for place in places) == "".join(piece.text for piece in pieces)
    assert set(places) == set(range(len(text)))


@pytest.mark.parametrize(
    "unit",
    ["{a,plural,{", "{a,plural,{}{}", "{a, plural, one {b} other {c}} ", "{a,plural,x{", "'{",
     "```\n", "{a,plural,b{{a,plural,b{x}}}} ", "{a,select,b{}c{}d{}e{}f{}g{}h{}} yes and no. "],
)  # fmt: skip
def test_a_text_grows_by_a_bounded_part_of_itself(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    pieces = list(kept_and_said(text, "en"))
    assert sum(len(piece.text) for piece in pieces) <= 7 * len(text)
    assert len(pieces) <= len(text)


def test_each_branch_tells_what_its_sign_for_the_number_stands_for() -> None:
    text = "{n, plural, =0 {a} one {b} two {c} few {d} =12 {e} other {{g, select, f {h} m {i}}}} #"
    counts = {piece.text[0]: piece.number for piece in kept_and_said(text, "en") if piece.number}
    assert counts == {"a": "0", "b": "1", "c": "2", "d": "3", "e": "12", "h": "5", "i": "5"}
    assert not any(piece.number for piece in kept_and_said("{g, select, f {#} m {#}} #", "en"))
