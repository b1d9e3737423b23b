"""Hard-wrapped paragraphs, joined and wrapped again."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.wrapping import unwrapped

PROSE = (
    "The old man sees a red house at the river and a small child that runs across the street "
    "because the train is late this morning and nobody wants to wait in the cold any more."
)


def wrap(prefix: str, further: str | None = None, *, width: int = 60) -> str:
    return textwrap.fill(
        PROSE,
        width,
        initial_indent=prefix,
        subsequent_indent=prefix if further is None else further,
    )


@pytest.mark.parametrize(
    ("prefix", "further"),
    [
        ("", ""), ("> ", "> "), (">> ", ">> "), ("    ", "    "), ("- ", "  "), ("1. ", "   "),
        ("  * ", "    "), ("   ", ""), ("- ", ""),
    ],
)  # fmt: skip
def test_a_paragraph_is_one_line_and_wrapped_again(prefix: str, further: str) -> None:
    text = wrap(prefix, further)
    assert text.count("\n") > 1
    found = unwrapped(text)
    assert found.text == prefix + PROSE
    assert found.wrapped(found.text)[0] == text
    longer, _ = found.wrapped(f"{prefix}{PROSE} {PROSE}")
    assert max(map(len, longer.split("\n"))) <= max(map(len, text.split("\n")))
    assert all(line.startswith(further) for line in longer.split("\n")[1:])


@pytest.mark.parametrize(
    "text",
    [
        "One line.\nAnother line.\n\nA third.",
        "- wash the car and everything that is in it today\n- feed the cat and the neighbours' dog",
        "| a table with some words in it | and others here |\n| a table with some words | others |",
        "Roses are red, violets are blue,\nsugar is sweet, and so are you.\nA poem is short.",
        "> a quotation that is as long as a line can be, I think\nand an answer to what was said",
        "Dear Sir or Madam, how are you all doing on this day?\n\nPlease find the letter enclosed.",
        "columns\tof a table that has many words in each one\tand more\nof them are here\tagain",
    ],
)
def test_other_lines_stay(text: str) -> None:
    found = unwrapped(text)
    assert found.text == text
    assert found.wrapped(text)[0] == text


def test_paragraphs_and_line_breaks_stay_apart() -> None:
    text = f"{wrap('')}\n\n{wrap('> ')}\n\n-- \nAnna\n".replace("\n", "\r\n")
    found = unwrapped(text)
    assert found.text == f"{PROSE}\r\n\r\n> {PROSE}\r\n\r\n-- \r\nAnna\r\n"
    assert found.wrapped(found.text)[0] == text


@given(
    st.lists(
        st.sampled_from(
            ["word", "a" * 50, " ", "\n", "\r\n", "> ", "- ", "\t", "1. ", PROSE, wrap("")]
        )
    ).map("".join)
)
def test_places_are_followed_both_ways(text: str) -> None:
    found = unwrapped(text)
    assert len(found.origins) == len(found.text)
    assert found.origins == sorted(set(found.origins))
    assert found.text.split() == [word for word in found.text.split() if word in text]
    for place, origin in enumerate(found.origins):
        assert found.text[place] in (text[origin], " ")
    wrapped, places = found.wrapped(found.text)
    assert len(places) == len(found.text) + 1
    assert places[-1] == len(wrapped)
    for place, sign in enumerate(found.text):
        assert wrapped[places[place]] in (sign, "\n", "\r")


def test_many_lines_take_linear_time() -> None:
    assert unwrapped("ab\n" * 50_000).text == "ab\n" * 50_000
