"""From tokens to words: offsets through placeholders, capitals, punctuation and sentences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.phrases import trace
from model.decoding.run_phrases import phrases_of
from model.decoding.sequence_options import SequenceOptions
from model.text.alignment import aligned_words, tokens_attended
from model.text.languages import Pair
from model.text.segmentation import Segment, Segmenter
from model.text.tokenizer import Tokenizer
from model.text.word_links import WordLink
from model.text.words import words
from tests.unit.model.text.listed import listed_tokenizer
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TINY = train_tiny_tokenizer(byte_fallback=True)
PAIR = Pair("en", "de")
MASKED = {"placeholders": True}
FRAGMENTS = [
    "the old man", "sees", "a letter", "my sister", "https://example.org/a?b=1", "{name}", "<b>",
    "</b>", "%s", "a@example.org", "12,5", "né", "e\u0301", "漢字", "😀", "\xad", "don\u2019t",
    "“two”", "apples.", "THE OLD DOG!", "STRASSE", "ß", "İ", "\ue003", "—", "…", ",", "\n", "- ",
]  # fmt: skip


def copied(
    text: str, tokenizer: Tokenizer, drop: int | None = None, **options: bool
) -> list[tuple[Segment, str, list[WordLink]]]:
    """Each segment of a text, translated by a model that writes what it reads."""
    encoder = tokenizer.source_encoder(PAIR)
    segmenter = Segmenter(tokenizer, language="en", target="de", max_tokens=100, **options)
    results = []
    for segment in segmenter.segment(text).segments:
        first, last = len(encoder.before), len(segment.token_ids) - len(encoder.after)
        places = [place for place in range(first, last) if place != drop]
        token_ids = [segment.token_ids[place] for place in places]
        rendered = None
        if segment.reading is not None:
            phrases = phrases_of(segment.reading, segment.token_ids, encoder, tokenizer)
            spans = trace(token_ids, SequenceOptions(phrases=phrases))
            rendered = segmenter.reader.rendered(segment.reading, token_ids, spans)
        found = aligned_words(segment, encoder, tokenizer, token_ids, places, rendered)
        results.append((segment, *found))
    return results


def check(segment: Segment, translation: str, links: list[WordLink]) -> None:
    assert links == sorted(set(links))
    for link in links:
        for (begin, end), side in zip(link, (segment.text, translation), strict=True):
            assert 0 <= begin < end <= len(side)
            assert side[begin:end] == side[begin:end].strip()
    if segment.reading is not None:
        for run in segment.reading.runs:
            of_run = [link for link in links if link.source == (run.begin, run.end)]
            said = [translation[slice(*link.target)] for link in of_run]
            assert len(said) == 1
            assert said[0] in ((run.finals or run.forms) if run.final is None else (run.final,))


TOKENIZERS = {
    "pieces and bytes": (TINY, {}),
    "placeholders": (TINY, MASKED),
    "a list, languages and plain punctuation": (
        listed_tokenizer(normalize_punctuation=True), {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(
    fragments=st.lists(
        st.sampled_from(FRAGMENTS) | st.text(st.characters(codec="utf-8"), max_size=5), max_size=12
    ),
    space=st.sampled_from([" ", ""]),
    drop=st.none() | st.integers(0, 8),
)
@settings(max_examples=150, deadline=None)
def test_words_are_within_their_texts_and_what_is_kept_is_itself(
    kind: str, fragments: list[str], space: str, drop: int | None
) -> None:
    tokenizer, options = TOKENIZERS[kind]
    for segment, translation, links in copied(space.join(fragments), tokenizer, drop, **options):
        check(segment, translation, links)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("the old man doesn't see 12 letters, two apples and né!", {}),
        ("see {name}, https://example.org/a and two apples at <b>my house</b>.", MASKED),
        ("THE OLD MAN SEES STRASSE AND {name}!", MASKED),
        ("the é old{name}man", MASKED),
    ],
)
def test_a_copy_has_each_word_with_itself(text: str, options: dict[str, bool]) -> None:
    for segment, translation, links in copied(text, TINY, **options):
        check(segment, translation, links)
        runs = () if segment.reading is None else segment.reading.runs
        spans = words(segment.text, whole=[(run.begin, run.end) for run in runs])
        assert {link.source for link in links} == set(spans)
        for link in links:
            assert segment.text[slice(*link.source)] == translation[slice(*link.target)]


@pytest.mark.parametrize("place", range(3))
def test_each_byte_of_a_character_is_all_of_it(place: int) -> None:
    encoder = TINY.source_encoder(PAIR)
    text = "the \u6f22 old man"
    [segment] = Segmenter(TINY, language="en", max_tokens=60).segment(text).segments
    first = segment.token_ids.index(TINY.source.find("<0xE6>"))
    token_ids = TINY.tokenize("man")
    attended = [first + place] * len(token_ids)
    _, links = aligned_words(segment, encoder, TINY, token_ids, attended, None)
    assert links == [WordLink((4, 5), (0, 3))]


def test_plain_punctuation_is_followed_to_the_text() -> None:
    tokenizer = listed_tokenizer(normalize_punctuation=True)
    text = "the  old\u00a0man… sees—“two apples” , my sister"
    [(segment, translation, links)] = copied(text, tokenizer)
    pairs = [
        (segment.text[slice(*link.source)], translation[slice(*link.target)]) for link in links
    ]
    for word in ("the", "old", "man", "two", "apples", "my", "sister"):
        assert (word, word) in pairs
        assert all(target == word for source, target in pairs if source == word)


def test_a_placeholder_that_the_model_loses_is_itself_where_it_is_put() -> None:
    encoder = TINY.source_encoder(PAIR)
    segmenter = Segmenter(TINY, language="en", max_tokens=60, placeholders=True)
    [segment] = segmenter.segment("the old {name} man sees").segments
    token_ids = TINY.tokenize("my sister")
    assert segment.reading is not None
    rendered = segmenter.reader.rendered(segment.reading, token_ids, ())
    translation, links = aligned_words(
        segment, encoder, TINY, token_ids, [0] * len(token_ids), rendered
    )
    assert translation == "my sister {name}"
    check(segment, translation, links)
    assert WordLink((0, 3), (0, 2)) in links


def test_which_step_tells_of_which_token() -> None:
    # Three tokens and the end.
    assert list(tokens_attended((5, 6, 7, 8), 3, shifted=False)) == [5, 6, 7]
    assert list(tokens_attended((5, 6, 7, 8), 3, shifted=True)) == [6, 7, 8]
    # Cut off: nobody has read the last token.
    assert list(tokens_attended((5, 6, 7), 3, shifted=True)) == [6, 7, 7]
    assert list(tokens_attended((5,), 0, shifted=True)) == []
    assert list(tokens_attended((), 0, shifted=False)) == []


def test_languages_around_a_text_are_no_words() -> None:
    tokenizer = listed_tokenizer()
    [(segment, _, links)] = copied("the old man", tokenizer)
    assert segment.token_ids[0] == tokenizer.source_encoder(PAIR).before[0]
    assert links[0] == WordLink((0, 3), (0, 3))
