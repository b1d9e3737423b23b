"""What it costs to cut a text: no more than its length, whatever stands in it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
import sentencex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadtests.corpus import Corpus
from model.checkpoints.embedded import EMBEDDED
from model.text.protection import Protection
from model.text.segmentation import _BREAK, Segmenter
from model.text.sentences import split_sentences
from model.text.tokenizer import Tokenizer
from tests.unit.model.text.reference_segmentation import ReferenceSegmenter

TOKENIZER = Tokenizer.from_file(Path(EMBEDDED["en-de"]) / "tokenizer.model")
UNITS = st.lists(
    st.sampled_from(
        [*"aZ1_-./\\@#&<>{}%$`'\" \n\t~:;,()[*=éи字!。\u0301\u20dd\u1100\u200d\ufe0f\u3000\xad"
         "אﷺ“”«😀\ue000\U0001d167", "{a,plural,", "a://", "www.", "a.com", "x.txt", "Dr. ", "me. "]
    ),
    min_size=1,
    max_size=8,
).map("".join)  # fmt: skip
HARD = [
    "\u0301", "a" + "\u0301" * 199, "a\u20dd", "\\a{", "{{a", "<a\t", ".a@", "@a", "<a ", "C:\\a\\",
    "`'a", "{a,plural,{", "{a,plural,{}{}", "字。", "И ", "Ж", "“a. ", "(a. ", '"a', "a. ", "a\n",
    "😀a", "ﷺ", "1 to 2 ", "A1-", "a1", "x1 ", "$1a", "1,x", "$1 USD ", "8h30 ", "1.2,3 4 ",
    "1/2/3", "-../", "a_", "a@", "a.a@", "\u1100\u1161", "&a", "me. ", "a\u200d",
]  # fmt: skip


PLAIN_LINES = ["ab\n", "a,b\n", "a. \n"]
LINES_WITH_KEPT = ["<a>b\n", "И a\n", "\\a\t", "@a. `b\t", "。\n"]
LINES = PLAIN_LINES + LINES_WITH_KEPT


@contextmanager
def counting(owner: object, name: str) -> Iterator[list[int]]:
    """The characters that a function is called with, each time."""
    function: Callable[..., object] = getattr(owner, name)
    lengths: list[int] = []

    def count(*args: Any, **options: Any) -> object:
        text = args[-1]
        lengths.append(len(text) if isinstance(text, str) else sum(map(len, text)))
        return function(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, count)
        yield lengths


def numbered(line: str, length: int) -> str:
    """Different lines that begin with a number in letters."""
    numbers = map("".join, product("abcdefghij", repeat=4))
    return "".join(number + line for number in islice(numbers, length // (len(line) + 4)))


def num_calls(cutter: Segmenter, text: str) -> int:
    """How many functions are called to cut a text, those written in C included."""
    calls = 0

    def count(_frame: object, event: str, _function: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        cutter.segment(text)
    finally:
        sys.setprofile(before)
    return calls


def segmenter(*, placeholders: bool) -> Segmenter:
    return Segmenter(
        TOKENIZER,
        language="en",
        max_tokens=100,
        placeholders=placeholders,
    )


@settings(max_examples=40, deadline=None)
@given(UNITS, st.booleans())
@example("a", True)
@example("\u0301a", False)
@example("“a. ", True)
def test_each_character_is_read_a_few_times(unit: str, placeholders: bool) -> None:
    text = (unit * 8000)[:8000]
    cutter = segmenter(placeholders=placeholders)
    with (
        counting(TOKENIZER.source, "tokenize") as tokenized,
        counting(TOKENIZER.source, "tokenize_batch") as tokenized_together,
        counting(sentencex, "segment") as split,
    ):
        pieces = list(cutter.pieces(text))
    assert "".join(p if isinstance(p, str) else p.text for p in pieces) == text
    assert sum(tokenized) + sum(tokenized_together) <= 5 * len(text)
    assert sum(split) <= 5 * len(text)
    assert len(tokenized) <= len(text)


@pytest.mark.parametrize("unit", HARD)
def test_a_character_costs_a_few_calls(unit: str) -> None:
    cutter = segmenter(placeholders=True)
    cutter.segment(unit)
    assert num_calls(cutter, (unit * 8000)[:8000]) <= 10 * 8000


@pytest.mark.parametrize("line", LINES)
def test_a_short_line_costs_some_dozen_calls(line: str) -> None:
    cutter = segmenter(placeholders=True)
    cutter.segment(line)
    text = numbered(line, 8000)
    most = 70 if line in PLAIN_LINES else 150
    assert num_calls(cutter, text) <= most * len(cutter.segment(text).segments)


@pytest.mark.parametrize(
    ("line", "most"),
    [
        ("a {}\n", 62),
        ("a {}.50\n", 72),
        ("a ${}.50\n", 102),
        ("{}% a\n", 95),
        ("a=0{}\n", 100),
        ("a {}-12\n", 154),
        ("a {}\u00b2\n", 115),
        ("a \\a{{{}\n", 135),
        ("{{n, plural, one {{# a{}}} other {{# b}}}}\n", 260),
    ],
)
def test_a_line_with_a_number_of_its_own_costs_some_dozen_calls(line: str, most: int) -> None:
    cutter = segmenter(placeholders=True)
    cutter.segment(line.format(5))
    text = "".join(line.format(number) for number in range(100, 1000))
    assert num_calls(cutter, text) <= most * 900


@pytest.mark.parametrize("line", LINES)
def test_short_lines_are_read_together(line: str) -> None:
    text = numbered(line, 8000)
    cutter = segmenter(placeholders=True)
    cutter.segment(text)
    with (
        counting(TOKENIZER.source, "tokenize") as alone,
        counting(TOKENIZER.source, "tokenize_batch") as together,
        counting(Protection, "bounds_batch") as protected,
        counting(sentencex, "segment") as split,
    ):
        cutter.segment(text)
    assert len(alone) < 24  # those of the last, short batch
    assert 0 < len(together) <= len(protected) <= 10
    assert sum(split) <= len(text)
    assert len(list(cutter.pieces(text)))


@pytest.mark.parametrize("unit", HARD)
def test_four_times_the_text_costs_four_times_as_much(unit: str) -> None:
    cutter = segmenter(placeholders=True)
    few, many = ((unit * length)[:length] for length in (4000, 16_000))
    cutter.segment(few)

    def seconds(text: str) -> float:
        """CPU time of this thread, whatever else the machine does."""
        start = time.thread_time()
        cutter.segment(text)
        return time.thread_time() - start

    assert num_calls(cutter, many) <= 5 * num_calls(cutter, few) + 1000
    # What a pattern tries again has no other measure; with the square it is sixteen times as much.
    assert min(seconds(many) for _ in range(2)) <= 10 * min(seconds(few) for _ in range(2)) + 0.1


def test_a_chain_of_line_breaks_of_a_program_is_tried_once() -> None:
    chain = "\\n" * 100
    assert [place for place in range(len(chain)) if _BREAK.match(chain, place)] == [0]
    text = "\\n" * 100_000 + "a"  # with each tried up to the end it takes minutes
    assert _BREAK.split(text) == [text]


@settings(max_examples=40, deadline=None)
@given(UNITS, st.booleans())
@example("\\a{", True)
@example("a, bc d ", True)
@example(" a@b. \u0301", False)
def test_sentences_are_cut_where_the_reference_cuts_them(unit: str, placeholders: bool) -> None:
    text = (unit * 3000)[:3000]
    options = {"language": "en", "max_tokens": 100}
    plain = ReferenceSegmenter(TOKENIZER, placeholders=placeholders, **options)  # type: ignore[arg-type]
    assert segmenter(placeholders=placeholders).segment(text) == plain.segment(text)


KINDS_OF_LINES = [
    "a {}", "a {}.5", "{}.5% a", "a ${}.50", "a {},5 EUR", "A {} kg", "{}th a", "a {}-{}", "a={}",
    "({}) a", "1. a{}", "Dr. A{}", "a{}@b.cc", "a @b{}", "<b>a{}</b>", "a{}\u00b2",
    "\U0001f600 a {}", "字{}", "И{} a", "e\u0301{}", "a\u00ad{}", "dont {}", "A. {} B.", "{{a{}}}",
    "a {} pm", "a 12:{}", "v1.{}.2 a", "{{n, plural, one {{# a{}}} other {{# b}}}}", "a `b{}`",
    "\u2026 {} \u2026 a", "HELLO WORLD {}", "a\tb{}",
]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("de", "en"), ("pt", "ar")])
@pytest.mark.parametrize("end", ["\n", ". ", ", "])
def test_lines_are_cut_as_the_reference_cuts_them(source: str, target: str, end: str) -> None:
    text = end.join(
        line.format(number, 7) for line in KINDS_OF_LINES for number in (5, 12, 234, 1234)
    )
    options = {"language": source, "target": target, "max_tokens": 100, "placeholders": True}
    plain = ReferenceSegmenter(TOKENIZER, **options)  # type: ignore[arg-type]
    fast = Segmenter(TOKENIZER, **options)  # type: ignore[arg-type]
    assert fast.segment(text) == plain.segment(text)


def test_texts_are_cut_where_the_reference_cuts_them() -> None:
    corpus = Corpus.read()
    text = "\n".join(corpus.paragraphs[:100]) + " ".join(corpus.sentences[:300])
    text += ";".join(corpus.sentences[:300]).replace(".", ",").replace(" ", " <b> ")
    plain = ReferenceSegmenter(TOKENIZER, language="en", max_tokens=100, placeholders=True)
    fast = Segmenter(TOKENIZER, language="en", max_tokens=100, placeholders=True)
    assert fast.segment(text) == plain.segment(text)


@pytest.mark.parametrize("unit", ["x\u00b2", "a \u00bd ", "H\u2082O"])
def test_many_numbers_of_any_kind_with_hardly_a_letter_between_are_no_text(unit: str) -> None:
    cutter = segmenter(placeholders=True)
    assert cutter.segment(unit * 300).tail == unit * 300
    assert cutter.segment(f"A word with {unit} in it.").segments


@pytest.mark.parametrize("unit", ["字。", "Я. ", "é! "])
def test_many_short_sentences_are_looked_for_in_small_windows(unit: str) -> None:
    text = unit * 3000
    with counting(sentencex, "segment") as split:
        assert list(split_sentences(text, "en"))
    # What sentencex costs grows with the square of this.
    assert max(split) <= 1000
    assert sum(split) <= 3 * len(text)


@pytest.mark.parametrize("unit", ["`é`", "‚é`", "'é\"", "「é‚", "‹é“", "A `b` "])
def test_many_quotation_marks_are_looked_for_in_small_windows(unit: str) -> None:
    text = unit * 3000
    seen: list[str] = []
    segment = sentencex.segment
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sentencex, "segment", lambda _, part: seen.append(part) or segment("en", part)
        )
        assert "".join(split_sentences(text, "en")) == text
    # What sentencex costs grows with the marks times the length.
    assert max(sum(map(part.count, "'`‘‚“„«»‹「")) for part in seen) <= 50
    assert sum(map(len, seen)) <= 3 * len(text)
    assert len(list(split_sentences(text, "en"))) <= 2


@pytest.mark.parametrize("line", ["ab 12", "Hello world 3", "a" * 200])
def test_letters_and_digits_alone_are_one_sentence(line: str) -> None:
    with counting(sentencex, "segment") as split:
        assert list(split_sentences(line, "en")) == [line]
    assert split == []
    assert "".join(sentencex.segment("en", line)) == sentencex.segment("en", line)[0] == line


@pytest.mark.parametrize("length", [100, 2000, 20_000])
@pytest.mark.parametrize(
    "unit",
    [
        "a" + "\u0301" * 199,
        "a" + "\u0323" * 12,
        "o\U0001d167\U0001d167",
        "a\u0301\u0302",
    ],
)
@pytest.mark.parametrize("placeholders", [True, False])
def test_noise_is_kept_and_not_translated(unit: str, length: int, placeholders: bool) -> None:
    text = "A good day. " + (unit * length)[:length] + "\nOne more line."
    segments = segmenter(placeholders=placeholders).segment(text).segments
    assert [s.text for s in segments] == ["A good day.", "One more line."]


@pytest.mark.parametrize(
    "text",
    [
        "Ve\u0323 nha\u0300 va\u0301 ma\u0309 cu\u0309a toi\u0302 Vie\u0323\u0302t Nam",
        "The name of it is e\u0302\u0323 and not a\u0304\u0301\u0308\u0323.",
        "He said 東京都立大学図書館 and went to the house that stands on the hill.",
    ],
)
def test_a_few_accents_and_foreign_words_are_no_noise(text: str) -> None:
    [only] = segmenter(placeholders=False).segment(text).segments
    assert only.text == text
