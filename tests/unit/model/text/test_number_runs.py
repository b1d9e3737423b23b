"""Numbers of sentences as runs of a model whose vocabulary knows digits one by one."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.embedded import EMBEDDED
from model.text.number_runs import NumberReader
from model.text.numbers import Number, find
from model.text.runs import Run, RunReader
from model.text.tokenizer import Tokenizer
from tests.tiny_model import learn_pieces
from tests.unit.model.text.reference_segmentation import PlainNumberReader


def _tokenizer() -> Tokenizer:
    texts = [f"{first}{mark}{last} $ (a)" for first in range(10) for last in range(10)
             for mark in ".,:-"]  # fmt: skip
    return learn_pieces(texts, vocab_size=60, byte_fallback=False)


TOKENIZER = _tokenizer()


def _runs(sentence: str, source: str, target: str, *kept: tuple[int, int]) -> list[Run]:
    reader = NumberReader(TOKENIZER, source=source, target=target)
    [runs] = reader.runs([sentence], [kept], {})
    return list(runs)


def test_a_number_is_read_as_it_is_and_written_as_the_target_does() -> None:
    (run,) = _runs("a 1.234.567,8 a", "de", "en")

    assert run[:2] == (2, 13)
    assert run.read_as == "1.234.567,8"
    assert run.forms == run.finals == ("1,234,567.8",)
    assert run.final is None
    assert run.required


def test_a_number_in_words_is_read_and_written_in_digits() -> None:
    first, second, third, fourth = _runs("Forty-two of 7 or 12,345 and twenty-one.", "en", "de")
    assert first[:2] == (0, 9)
    assert (first.read_as, first.forms) == ("42", ("42",))
    assert second[:2] == (13, 14)
    assert (third[:2], third.finals[0]) == ((18, 24), "12.345")
    assert (fourth[:2], fourth.read_as) == ((29, 39), "21")
    (kept,) = _runs("Catch forty-two and twenty-one", "en", "de", (6, 11))
    assert (kept.begin, kept.read_as) == (20, "21")


def test_a_form_is_what_the_vocabulary_reads_and_its_final_string_is_what_is_shown() -> None:
    (run,) = _runs("a 1,234,567 a", "en", "fr")

    assert run.forms == ("1 234 567",)
    assert run.finals == ("1\u202f234\u202f567",)


def test_what_no_form_can_write_is_kept() -> None:
    (run,) = _runs("a \xbd a", "en", "de")

    assert run == Run(2, 3, final="\xbd")


def test_a_number_gives_way_to_what_is_kept() -> None:
    sentence = "a 1.500 \u20b4 12-34-56 a"
    kept = ((8, 9), (13, 14))

    runs = _runs(sentence, "de", "en", *kept)

    assert [sentence[run.begin : run.end] for run in runs] == ["1.500", "12", "4-56"]
    assert runs[0].forms[0] == "1,500"


@pytest.mark.parametrize(
    ("source", "sentence", "signs", "read"),
    [
        ("en", "a \u20ac50 a", [2], "50 euros"),
        ("en", "a \u20ac1 a", [2], "1 euro"),
        ("en", "a -\u20ac1.50 a", [3], "-1.50 euros"),
        ("en", "a \u20ac5-\u20ac10 a", [2, 5], "5-10 euros"),
        ("en", "a \u20ac85k-\u20ac100k a", [2, 7], "85,000-100,000 euros"),
        ("de", "a 5 \u20ac\u201310 \u20ac a", [4, 9], "5\u201310 Euro"),
        ("en", "a \u20ac3.2bn a", [2], "3.2 billion euros"),
        ("de", "a 5 Mio. \u20ac a", [9], "5 Millionen Euro"),
        ("de_DE", "a 5 \u20ac a", [4], "5 Euro"),
        ("deu_Latn", "a 5 \u20ac a", [4], "5 Euro"),
        ("en", "A \u20ac50 A", [2], "50 EUROS"),
        ("en", "It \u20ac50 Is", [3], "50 Euros"),
        ("en", "a \u20ac5 - \u20ac10 a", [2, 7], "5 - 10 euros"),
    ],
)
def test_a_sign_of_a_currency_that_cannot_be_read_is_read_as_its_word(
    source: str, sentence: str, signs: list[int], read: str
) -> None:
    tokenizer = Tokenizer.from_file(Path(EMBEDDED["en-de"]) / "tokenizer.model")
    reader = NumberReader(tokenizer, source=source, target="de" if source == "en" else "en")
    [[run]] = reader.runs([sentence], [[(place, place + 1) for place in signs]], {})
    assert sentence[run.begin : run.end] == sentence.split(" ", 1)[1].rsplit(" ", 1)[0]
    assert run.read_as == read
    assert len(run.forms) == len(run.finals) > 0


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("a \u20ac50 a", [(2, 4)]),  # with a digit
        ("a \u20ac50 a", [(0, 3)]),  # with what stands before it
        ("a \u20ac5-\u20ac10 a", [(2, 3)]),  # only one of two
        ("a \u20ac5-\u20ac10 a", [(2, 3), (4, 6)]),
        ("a \u20b450 a", [(2, 3)]),  # whose word is not known
        ("a \u20ac50-plus a", [(2, 3)]),  # within a word
    ],
)
def test_an_amount_of_which_anything_else_is_kept_is_read_without_it(
    sentence: str, kept: list[tuple[int, int]]
) -> None:
    for run in _runs(sentence, "en", "de", *kept):
        assert not any(run.begin < end and begin < run.end for begin, end in kept)


SIGNS = st.text(st.sampled_from("12 .,-\u20b4%a:\xbd"), max_size=16)


@given(SIGNS, SIGNS, st.lists(st.integers(0, 16), max_size=6, unique=True).map(sorted))
def test_numbers_are_those_of_what_is_not_kept(before: str, sentence: str, ends: list[int]) -> None:
    kept = [(b, e) for b, e in zip(ends[::2], ends[1::2], strict=False) if e <= len(sentence)]
    reader = NumberReader(TOKENIZER, source="en", target="de")
    _, runs = reader.runs([before, sentence], [(), kept], {})
    parts = [part for number in find(sentence, "en") for part in _left(sentence, number, kept)]
    assert list(runs) == [reader._run(part, 0, {}) for part in parts]


def _left(sentence: str, number: Number, kept: list[tuple[int, int]]) -> list[Number]:
    """The numbers of what is left of one, sign by sign."""
    signs = range(number.begin, number.end)
    is_kept = [any(begin <= place < end for begin, end in kept) for place in signs]
    if not any(is_kept):
        return [number]
    parts: list[Number] = []
    at = 0
    for kept_here, group in groupby(is_kept):
        first = signs[at]
        at += len(list(group))
        for each in () if kept_here else find(sentence[first : signs[0] + at], "en"):
            parts.append(each._replace(begin=first + each.begin, end=first + each.end))
    return parts


def test_what_was_written_gets_its_final_string() -> None:
    sentence = "a 1,234,567 a"
    reader = RunReader(TOKENIZER, placeholders=False)
    runs = _runs(sentence, "en", "fr")
    reading = reader.read(sentence, runs, read_as={})
    token_ids = TOKENIZER.tokenize("a 1 234 567 a")
    begin = len(TOKENIZER.tokenize("a"))
    end = len(TOKENIZER.tokenize("a 1 234 567"))

    assert reading.text == sentence
    rendered = reader.rendered(reading, token_ids, [(begin, end, 0)])
    assert rendered.text == "a 1\u202f234\u202f567 a"
    assert reader.rendered(reading, TOKENIZER.tokenize("a"), []).text == "a 1\u202f234\u202f567"


def test_numbers_side_by_side_stay_apart() -> None:
    sentence = "1.5 2.5"
    reader = RunReader(TOKENIZER, placeholders=False)
    reading = reader.read(sentence, _runs(sentence, "en", "de"), read_as={})
    (first, second) = (forms[0] for forms in reading.forms)
    one, other = TOKENIZER.forms(first)[-1], TOKENIZER.forms(second)[-1]

    rendered = reader.rendered(
        reading, [*one, *other], [(0, len(one), 0), (len(one), len(one) + len(other), 1)]
    )
    assert rendered.text == "1,5 2,5"


def test_ids_with_digits_are_told_from_others() -> None:
    digits = TOKENIZER.ids_with_digits()

    said = {token: TOKENIZER.detokenize([token]) for token in range(TOKENIZER.target_vocab_size)}
    assert set(digits) == {token for token, text in said.items() if any(map(str.isdecimal, text))}
    assert digits


def test_a_unit_is_said_once() -> None:
    sentence = "a $5.50 a"
    reader = RunReader(TOKENIZER, placeholders=False)
    (run,) = _runs(sentence, "en", "de")
    assert run.units[:2] == ("$", "USD")
    reading = reader.read(sentence, [run], read_as={})
    [form, *_] = TOKENIZER.forms(reading.forms[0][0])
    before = TOKENIZER.tokenize("a")
    for said, expected in (("$ a", "a"), ("$a", "$a"), (": $", ": $")):
        token_ids = [*before, *form, *TOKENIZER.tokenize(said)]
        span = len(before), len(before) + len(form), 0
        written = reader.rendered(reading, token_ids, [span])
        assert written.text == f"a {run.finals[0]} {expected}"
    (both,) = _runs("a $5.50 USD a", "en", "de")
    assert both.units == ()


def test_the_sign_of_a_currency_that_is_kept_has_a_unit_too() -> None:
    reader = NumberReader(TOKENIZER, source="en", target="de")
    assert reader.with_units(Run(2, 3, final="€")).units == ("€", "EUR", "Euro")
    name = Run(2, 6, final="{x}")
    assert reader.with_units(name) is name
    euro = reader.with_units(Run(2, 3, final="€"))
    (amount,) = _runs("a (5 a", "en", "de")
    plain = RunReader(TOKENIZER, placeholders=False)
    reading = plain.read("a €5 a", [euro._replace(read_as="$", forms=("$",)), amount], read_as={})
    parts = [TOKENIZER.tokenize(text) for text in ("a", "$", "5", "$ a")]
    token_ids = [token for part in parts for token in part]
    first, second = len(parts[0]), len(parts[0]) + len(parts[1])
    spans = [(first, second, 0), (second, second + len(parts[2]), 1)]
    assert plain.rendered(reading, token_ids, spans).text == "a €5 $ a"
    said = [*token_ids[: second + len(parts[2])], *TOKENIZER.tokenize("a")]
    assert plain.rendered(reading, said, spans).text == "a €5 a"


@pytest.mark.parametrize("source", ["en", "de", "fr"])
@pytest.mark.parametrize("target", ["de", "en", "fr", "ja", "ar", "hi", "xx"])
def test_forms_from_those_of_any_amount_are_those_of_each(source: str, target: str) -> None:
    numbers = ["5", "1234", "12.50", "12,50", ".5", "0.5", "1,234.5", "1.234,5", "007"]
    around = ["{}", "-{}", "${}", "-${}", "{}%", "{} EUR", "EUR {}", "{} \u20ac", "US${}", "{} kB",
              "${} USD", "\u2212{}%", "{} thousand", "R${}", "{}\xa0\u2030"]  # fmt: skip
    fast = NumberReader(TOKENIZER, source=source, target=target)
    plain = PlainNumberReader(TOKENIZER, source=source, target=target)
    sentences = [f"a {each.format(number)} a" for each in around for number in numbers]
    kept = [()] * len(sentences)
    assert fast.runs(sentences, kept, {}) == plain.runs(sentences, kept, {})
