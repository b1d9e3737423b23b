"""The texts of the load test, and the lengths that are drawn."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.corpus import Corpus, LoadTestError, heavy_tailed


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.read()


def test_own_texts_are_many_and_varied(corpus: Corpus) -> None:
    assert len(corpus.sentences) >= 300
    assert len(corpus.paragraphs) >= 40
    assert len(set(corpus.sentences)) == len(corpus.sentences)
    assert len(set(corpus.paragraphs)) == len(corpus.paragraphs)
    words = sorted(len(sentence.split()) for sentence in corpus.sentences)
    assert words[0] <= 3
    assert words[-1] >= 30
    assert any(sentence.endswith("?") for sentence in corpus.sentences)
    assert any(character.isdigit() for sentence in corpus.sentences for character in sentence)


def test_own_paragraphs_hold_several_sentences_each(corpus: Corpus) -> None:
    for paragraph in corpus.paragraphs:
        assert sum(paragraph.count(mark) for mark in (". ", "? ", "! ")) >= 1, paragraph
        assert "\n" not in paragraph


def test_a_document_is_whole_paragraphs(corpus: Corpus) -> None:
    rng = random.Random(1)
    counts = Counter()
    for _ in range(400):
        pieces = corpus.document(rng, most=6).split("\n\n")
        assert set(pieces) <= set(corpus.paragraphs)
        counts[len(pieces)] += 1
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert counts[1] > counts[2] > counts[6]


def test_a_batch_is_two_or_more_sentences(corpus: Corpus) -> None:
    rng = random.Random(2)
    sizes = set()
    for _ in range(400):
        texts = corpus.batch(rng, most=16)
        assert set(texts) <= set(corpus.sentences)
        sizes.add(len(texts))
    assert min(sizes) == 2
    assert max(sizes) == 16


def test_the_same_seed_draws_the_same_texts(corpus: Corpus) -> None:
    def drawn(seed: int) -> list[str]:
        rng = random.Random(seed)
        return [corpus.sentence(rng) for _ in range(5)] + [corpus.document(rng, most=6)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_a_file_with_few_texts_serves_too(tmp_path: Path) -> None:
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("Only this one.\r\n\n  \n", encoding="utf-8")
    paragraphs = tmp_path / "paragraphs.txt"
    paragraphs.write_text("One.\nStill one.\n\n\n\nTwo.\n", encoding="utf-8")
    corpus = Corpus.read(sentences, paragraphs)
    assert corpus.sentences == ("Only this one.",)
    assert corpus.paragraphs == ("One.\nStill one.", "Two.")
    assert set(corpus.batch(random.Random(0), most=16)) == {"Only this one."}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b" \n\n", "at least one text"),
        (b"caf\xe9\n", "must be UTF-8 text, but byte 3 is not"),
    ],
)
def test_a_file_that_is_no_good_is_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LoadTestError, match=message) as caught:
        Corpus.read(path)
    assert str(path) in str(caught.value)


@given(
    seed=st.integers(0, 2**32),
    least=st.integers(1, 50),
    span=st.integers(0, 500),
    alpha=st.floats(0.1, 5.0),
)
def test_a_drawn_length_stays_within_its_bounds(
    seed: int, least: int, span: int, alpha: float
) -> None:
    most = least + span
    assert least <= heavy_tailed(random.Random(seed), least=least, most=most, alpha=alpha) <= most


def test_drawn_lengths_have_a_heavy_tail() -> None:
    rng = random.Random(5)
    drawn = [heavy_tailed(rng, least=1, most=1000, alpha=1.0) for _ in range(20_000)]
    # With alpha 1 each doubling halves what is left, far beyond where a normal distribution ends.
    for length in (2, 8, 32, 128):
        share = sum(value >= length for value in drawn) / len(drawn)
        assert share == pytest.approx(1 / length, rel=0.25)
