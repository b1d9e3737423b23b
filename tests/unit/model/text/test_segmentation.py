"""Texts in pieces, and whole again."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.checkpoints.embedded import EMBEDDED
from model.errors import InvalidRequestError
from model.text.letter_case import Truecaser
from model.text.segmentation import Segment, SegmentedText, Segmenter
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDER, PLACEHOLDERS
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

LIMIT = 24
BYTES = train_tiny_tokenizer(byte_fallback=True)
NO_BYTES = train_tiny_tokenizer(byte_fallback=False)


def segment(text: str, *, max_tokens: int = 512) -> SegmentedText:
    return Segmenter(BYTES, language="en", max_tokens=max_tokens).segment(text)


def rendered(segmenter: Segmenter, segmented: SegmentedText, *translations: str) -> str:
    """The text with translations that a model has written."""
    parts = []
    for each, translation in zip(segmented.segments, translations, strict=True):
        if each.reading is not None:
            token_ids = BYTES.tokenize(translation)
            translation = segmenter.reader.rendered(each.reading, token_ids, ()).text
        parts.append(translation)
    return segmented.join(parts)


def all_caps(segment: Segment) -> bool:
    return segment.reading is not None and segment.reading.all_caps


def shown(text: str, *, max_tokens: int = 512) -> str:
    """The text with its segments in brackets."""
    segmented = segment(text, max_tokens=max_tokens)
    return segmented.join([f"[{segment.text}]" for segment in segmented.segments])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one dog.", "[one dog.]"),
        ("  one dog.  two dogs. \n", "  [one dog.]  [two dogs.] \n"),
        ("one dog.\r\n\r\n\ttwo dogs.\r\n", "[one dog.]\r\n\r\n\t[two dogs.]\r\n"),
        ("a line\nand another", "[a line]\n[and another]"),
        ("name\tvalue\n", "[name]\t[value]\n"),
        ("one\u2028two\x0bthree\x85four", "[one]\u2028[two]\x0b[three]\x85[four]"),
        ("one\u00a0dog\u00a0", "[one\u00a0dog]\u00a0"),
        ("\ufeffone dog\u200b", "\ufeff[one dog]\u200b"),
        ("\u2067the dog\u2069", "\u2067[the dog]\u2069"),
    ],
)
def test_white_space_and_line_breaks_are_kept(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    "marker",
    ["- ", "* ", "• ", "\u2013 ", "— ", "+ ", "1. ", "12) ", "(3) ", "a) ", "(b) ", "2.1. ", "## ",
     "> ", "> > - ", "   - ", "\t* ", "- [ ] ", "- [x] ", "1.  ", "-\u00a0"],
)  # fmt: skip
def test_list_markers_are_kept(marker: str) -> None:
    assert shown(f"{marker}one dog.\n{marker}two dogs.") == (
        f"{marker}[one dog.]\n{marker}[two dogs.]"
    )


@pytest.mark.parametrize("text", ["-5 dogs", "3.5 dogs", "5 dogs", "1999 dogs", "a dog", "*one*"])
def test_what_only_looks_like_a_list_marker_is_translated(text: str) -> None:
    assert shown(text) == f"[{text}]"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n\n", "\t \r\n", "\u00a0", "\u200b", "...", "-", "---\n***", "?!", "42", "3.14",
        "1,234.56 €", "2020-01-31 12:00", "+49 (0)30 / 12 34", "😀", "👨‍👩‍👧 🇩🇪 👍🏽", "✓",
        "→ 5", "§ 5",
        "https://example.com/a?b=c#d", "www.example.com", "a.b@example.com", "@somebody",
        "see://x (https://example.com)", "1. https://example.com\n2. a@b.de", "٤٢",
    ],
)  # fmt: skip
def test_what_has_no_words_is_kept(text: str) -> None:
    assert segment(text) == SegmentedText(segments=(), separators=(), tail=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I like it 😀", "[I like it] 😀"),
        ("😀 I like it! 👍🏽\n", "😀 [I like it!] 👍🏽\n"),
        ("✓ done → here", "✓ [done → here]"),
        ("one dog. 😀 two dogs.", "[one dog.] 😀 [two dogs.]"),
        ("see https://example.com.", "[see https://example.com.]"),
        # The quotation mark ends the address; what follows is a word.
        ("https://a.org/b\u201dand", "[https://a.org/b\u201dand]"),
        ("42\none dog\n42", "42\n[one dog]\n42"),
    ],
)
def test_what_has_no_words_is_kept_around_what_has(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize("tokenizer", [BYTES, NO_BYTES])
def test_a_sentence_of_unknown_letters_is_kept(tokenizer: Tokenizer) -> None:
    segmenter = Segmenter(tokenizer, language="en", max_tokens=64)
    assert segmenter.segment("我们去吧。 5 犬") == SegmentedText(
        segments=(), separators=(), tail="我们去吧。 5 犬"
    )
    assert [s.text for s in segmenter.segment("a dog 犬").segments] == ["a dog 犬"]


def test_token_ids_are_the_encoders_source() -> None:
    [first, second] = segment("one dog. two dogs.").segments
    assert first.token_ids == (*BYTES.tokenize("one dog."), BYTES.eos_id)
    assert second.token_ids == (*BYTES.tokenize("two dogs."), BYTES.eos_id)


def test_a_long_sentence_is_split_at_clauses() -> None:
    clause = "the old man sees the red car and goes home;"
    segmented = segment(" ".join([clause] * 8), max_tokens=40)
    assert len(segmented.segments) > 1
    assert all(s.text.endswith(clause) for s in segmented.segments)
    assert segmented.separators == ("", *[" "] * (len(segmented.segments) - 1))


def test_without_clauses_it_is_split_at_white_space() -> None:
    words = ["the", "old", "man", "sees"] * 40
    segmented = segment(" ".join(words), max_tokens=LIMIT)
    assert [word for s in segmented.segments for word in s.text.split(" ")] == words
    assert min(len(s.text.split(" ")) for s in segmented.segments) > 1


def test_parts_are_of_similar_length() -> None:
    segmented = segment(" ".join(["the old man sees"] * 40), max_tokens=LIMIT)
    lengths = [len(s.token_ids) for s in segmented.segments]
    assert max(lengths) <= LIMIT
    assert min(lengths) >= LIMIT // 4


def test_without_white_space_it_is_split_between_characters() -> None:
    text = "a" * 10_000
    segmented = segment(text, max_tokens=LIMIT)
    assert "".join(s.text for s in segmented.segments) == text
    assert set(segmented.separators) == {""}
    assert max(len(s.token_ids) for s in segmented.segments) <= LIMIT


def test_letters_keep_their_accents_and_emoji_their_parts() -> None:
    accented = segment("th\u0301\u0301" * 200, max_tokens=LIMIT)
    assert len(accented.segments) > 1
    assert all(s.text[0] in "th" for s in accented.segments)
    family = "👨‍👩‍👧"
    families = segment(f"the man {family}, the dog {family}" * 50, max_tokens=60)
    assert len(families.segments) > 1
    kept = "".join(families.separators) + families.tail
    assert not set(family).intersection(kept.replace(family, ""))
    assert all(not set(family).intersection(s.text.replace(family, "")) for s in families.segments)


def test_a_character_that_alone_exceeds_the_limit_is_kept() -> None:
    ligature = "\ufb03"  # the normaliser makes "ffi" of it
    assert len(NO_BYTES.tokenize(ligature)) >= 2
    segmenter = Segmenter(NO_BYTES, language="en", max_tokens=2)
    assert segmenter.segment(ligature) == SegmentedText(segments=(), separators=(), tail=ligature)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(
        InvalidRequestError, match="valid Unicode, but has a lone surrogate at character 4"
    ):
        segment("one \ud83d dog")


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="`max_tokens` must be at least 2, but is 1"):
        Segmenter(BYTES, language="en", max_tokens=1)


@pytest.mark.parametrize(
    ("text", "shouted"),
    [
        ("CLOSE THE DOOR!", True),
        ("WE HAVE MANY DOGS", True),
        ("DIE STRASSE IST ZU", True),
        ("Close the door!", False),
        ("CLOSE THE DOORs", False),
        ("USA, UK", False),
        ("HELP!", False),
    ],
)
def test_capitals_are_read_as_words_usually_are(text: str, shouted: bool) -> None:
    segmenter = Segmenter(BYTES, language="en", max_tokens=512)
    segmented = segmenter.segment(f"- {text}\none dog")
    first, second = segmented.segments
    assert (first.text, all_caps(first), all_caps(second)) == (text, shouted, False)
    read = Truecaser(BYTES.source, "en").read(text)[0]
    assert (read != text) is shouted
    assert first.token_ids == (*BYTES.tokenize(read), BYTES.eos_id)
    expected = "ZWEI FÜSSE" if shouted else "zwei Füße"
    written = rendered(segmenter, segmented, "zwei Füße", "ein Hund")
    assert written.startswith(f"- {expected}")
    assert written.endswith("\nein Hund")


def test_what_is_kept_is_a_placeholder_where_a_model_knows_them() -> None:
    segmenter = Segmenter(BYTES, language="en", max_tokens=512, placeholders=True)
    segmented = segmenter.segment("- the <b>dog</b> at https://a.b/c\none dog")
    [first, _] = segmented.segments
    read = f"the {PLACEHOLDERS[0]} dog {PLACEHOLDERS[1]} at {PLACEHOLDERS[2]}"
    assert first.text == "the <b>dog</b> at https://a.b/c"
    assert first.token_ids == (*BYTES.tokenize(read), BYTES.eos_id)
    der_hund = f"{PLACEHOLDERS[2]}: der {PLACEHOLDERS[0]} Hund {PLACEHOLDERS[1]}"
    assert rendered(segmenter, segmented, der_hund, "ein Hund") == (
        "- https://a.b/c: der <b>Hund</b>\nein Hund"
    )
    [plain, _] = segment("- the <b>dog</b> at https://a.b/c\none dog").segments
    assert plain.reading is None
    assert plain.token_ids == (*BYTES.tokenize(plain.text), BYTES.eos_id)


def test_what_is_kept_is_not_all_caps() -> None:
    segmenter = Segmenter(BYTES, language="en", max_tokens=512, placeholders=True)
    segmented = segmenter.segment("WRITE TO <b>anna@a.de</b> NOW")
    [only] = segmented.segments
    assert all_caps(only)
    assert only.token_ids == (*BYTES.tokenize(f"write to {PLACEHOLDERS[0]} now"), BYTES.eos_id)
    assert (
        rendered(segmenter, segmented, f"jetzt an {PLACEHOLDERS[0]}") == "JETZT AN <b>anna@a.de</b>"
    )


def test_a_sentence_of_many_addresses_is_not_cut() -> None:
    address = "https://example.org/a/very/long/path/to/something"
    segmenter = Segmenter(BYTES, language="en", max_tokens=LIMIT, placeholders=True)
    assert len(segmenter.segment(f"the dog {address} and {address}").segments) == 1


def test_a_sentence_too_long_is_not_cut_within_what_is_kept() -> None:
    segmenter = Segmenter(BYTES, language="en", max_tokens=LIMIT, placeholders=True)
    tag = '<b class="x, y" id="z">'
    text = f"the old man sees the dog {tag}and{tag} then the old man sees the red car"
    segments = segmenter.segment(text).segments
    assert len(segments) > 1
    assert sum(segment.text.count(tag) for segment in segments) == 2


def test_joining_needs_a_translation_for_each_segment() -> None:
    with pytest.raises(ValueError, match="zip"):
        segment("one dog. two dogs.").join(["ein Hund."])


TEXTS = st.text(
    st.one_of(
        st.sampled_from("\n\r\t ....!?,;:()-*•>1a2bD\"'“”\u200b\u00a0\u200d\ufe0f\u0301"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=200,
)
PROSE = st.lists(
    st.sampled_from(
        ["the old man", "sees", "Dr. No", "e.g.", "end.", "End!", "\n", "\r\n", " ", ", ", "; ",
         "- ", "1. ", "https://x.y", "😀", "犬", "“", "”", "a" * 60, "\t", "U.S.", "3.5"]
    ),
    max_size=80,
).map("".join)  # fmt: skip


@settings(max_examples=300)
@given(st.one_of(TEXTS, PROSE), st.sampled_from([2, 3, 7, LIMIT, 512]))
@example("\ufeff\u202eabc\u202c", 512)
@example("👨‍👩‍👧‍👦" * 50, 3)
@example("e\u0301" * 300, 7)
@example("مرحبا. كيف حالك؟", LIMIT)
@example("\x00a. B\x00", LIMIT)
def test_any_text_is_its_segments_and_every_segment_fits(text: str, max_tokens: int) -> None:
    segmented = segment(text, max_tokens=max_tokens)
    assert segmented.join([s.text for s in segmented.segments]) == text
    for s in segmented.segments:
        assert 2 <= len(s.token_ids) <= max_tokens
        read = s.text if s.reading is None else s.reading.text
        assert s.token_ids == (*BYTES.tokenize(read), BYTES.eos_id)
        assert s.text == s.text.strip()
        assert any(map(str.isalpha, s.text))
        assert "\n" not in s.text


@given(st.one_of(TEXTS, PROSE.map(str.upper)))
@example("ŉİ ǅUNGLE AND ß: ΌΣΟΣ")
def test_capitals_leave_no_trace(text: str) -> None:
    segmenter = Segmenter(BYTES, language="en", max_tokens=LIMIT)
    segmented = segmenter.segment(text)
    assert segmented.join([s.text for s in segmented.segments]) == text
    assert all(len(s.token_ids) <= LIMIT for s in segmented.segments)


@given(st.one_of(TEXTS, PROSE), st.booleans())
def test_placeholders_leave_no_trace(text: str, shouted: bool) -> None:
    segmenter = Segmenter(BYTES, language="en", max_tokens=LIMIT, placeholders=True)
    segmented = segmenter.segment(text.upper() if shouted else text)
    assert segmented.join([each.text for each in segmented.segments]) == (
        text.upper() if shouted else text
    )
    for each in segmented.segments:
        assert len(each.token_ids) <= LIMIT
        if each.reading is not None:
            written = segmenter.reader.rendered(each.reading, BYTES.tokenize(each.reading.text), ())
            assert all((run.final or "") in written.text for run in each.reading.runs)
            assert not PLACEHOLDER.search(written.text) or PLACEHOLDER.search(text)


@given(TEXTS)
def test_a_vocabulary_without_bytes_takes_any_text_too(text: str) -> None:
    segmented = Segmenter(NO_BYTES, language="de", max_tokens=LIMIT).segment(text)
    assert segmented.join([s.text for s in segmented.segments]) == text
    assert all(len(s.token_ids) <= LIMIT for s in segmented.segments)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("Title:\\n- First\\n- <b>Second</b>\\nThe end.",
         ["Title:", "First", "<b>Second</b>", "The end."]),
        ("Name\\tAge\\r\\nOld", ["Name", "Age", "Old"]),
        ("Use \\t or '\\n' here", ["Use \\t or '\\n' here"]),
        ("One line\\nthat goes on", ["One line\\nthat goes on"]),
        ("See C:\\n\\Tools and \\\\host\\new.", ["See C:\\n\\Tools and \\\\host\\new."]),
    ],
)  # fmt: skip
def test_a_line_break_of_a_program_ends_a_sentence(text: str, segments: list[str]) -> None:
    assert [segment.text for segment in segment(text).segments] == segments


def test_a_table_of_numbers_is_kept() -> None:
    text = "x1 " * 300
    assert segment(text).segments == ()


def test_the_number_of_a_message_is_read_as_one() -> None:
    tokenizer = Tokenizer.from_file(Path(EMBEDDED["en-de"]) / "tokenizer.model")
    segmenter = Segmenter(tokenizer, language="en", max_tokens=64)
    text = "{n, plural, one {# file} other {# files}} of # is red, 5 are not"
    segments = segmenter.segment(text).segments
    texts = [segment.text for segment in segments]
    assert texts == ["# file of # is red, 5 are not", "# files of # is red, 5 are not"]
    one, other = (segment.reading for segment in segments)
    assert one is not None
    assert one.text == "1 file of 1 is red, 5 are not"
    assert [run.final for run in one.runs] == ["#", "#", None]
    # Where the sentence has the number itself, it could not be told from that.
    assert other is not None
    assert not other.text.startswith("5")
    [alone] = segmenter.segment("Lot # is red").segments
    assert alone.reading is not None
    assert alone.reading.runs[0].read_as is None


@pytest.mark.parametrize(
    ("language", "text", "read"),
    [
        ("en", "We dont have 500 of them", "We don't have 500 of them"),
        ("en", "One,two or 500 of them", "One, two or 500 of them"),
        ("de", "Wir muessen 500 davon schuetzen", "Wir müssen 500 davon schützen"),
    ],
)
def test_words_beside_numbers_are_read_as_elsewhere(language: str, text: str, read: str) -> None:
    model = "de-en" if language == "de" else "en-de"
    tokenizer = Tokenizer.from_file(Path(EMBEDDED[model]) / "tokenizer.model")
    segmenter = Segmenter(tokenizer, language=language, max_tokens=100, placeholders=True)
    for sentence, expected in ((text, read), (f"{text}.", f"{read}.")):
        [segment] = segmenter.segment(sentence).segments
        assert segment.reading is not None
        assert segment.reading.text == expected
