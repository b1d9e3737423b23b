"""Sentences whose letter case says nothing, as they are better read."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.embedded import EMBEDDED
from model.text import letter_case
from model.text.letter_case import LetterCase, Truecaser, may_be_capitals
from model.text.tokenizer import Tokenizer

VOCABULARY = Tokenizer.from_file(Path(EMBEDDED["en-de"]) / "tokenizer.model").source
ENGLISH, GERMAN = Truecaser(VOCABULARY, "en-GB"), Truecaser(VOCABULARY, "de")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("HOT SOUP", "hot soup"),
        ("NO EXIT", "no exit"),
        ("WET PAINT!", "wet paint!"),
        ("DID YOU SEE IT?", "Did you see it?"),
        ("CANCEL", "cancel"),
        ("I'M SURE WE DON'T.", "I'm sure we don't."),
        ("IT\u2019S TOM'S HOUSE, THEY'VE SEEN IT", "It\u2019s Tom's house, they've seen it"),
        ("MARTIN LIVES IN BERLIN.", "Martin lives in Berlin."),
        ("USA, UK", None),
        ("UNESCO", None),
        ("NATO", None),
        ("EU", None),
        ("I", None),
        ("漢字 漢字", None),
    ],
)
def test_capitals_are_read_as_words_usually_are(text: str, read: str | None) -> None:
    expected = (text, None) if read is None else (read, LetterCase.CAPITALS)
    assert ENGLISH.read(text) == expected


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("BITTE DIE TÜR SCHLIESSEN", "Bitte die Tür schliessen"),
        ("der hund schläft in berlin", "Der Hund schläft in Berlin"),
        ("Der Hund Schläft In Berlin", "Der Hund Schläft In Berlin"),  # nouns have capitals anyway
        ("hund", "hund"),
        ("schnell und leise", "schnell und leise"),
        ("er ist müde.", "er ist müde."),
        ("ER IST MÜDE!", "Er ist müde!"),
        ("2 hunde sind müde.", "2 Hunde sind müde."),
    ],
)
def test_german_nouns_get_their_capitals(text: str, read: str) -> None:
    assert GERMAN.read(text)[0] == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("No Message - Open Full Report", "No message - open full report"),
        ("Angela Merkel Visits New York", "Angela Merkel visits New York"),
        ("Frequently Asked Questions", "Frequently asked questions"),
        ("Peter Smith, Anna Miller", "Peter Smith, Anna Miller"),
        ("We Saw The Water.", "We saw the water."),
        ("Peter Smith Saw Anna Miller.", "Peter Smith saw Anna Miller."),
        ("Mr. Peter Smith.", "Mr. Peter Smith."),
        ("How To Buy A Ticket", "How to buy a ticket"),
        ("We saw Angela Merkel", "We saw Angela Merkel"),
        ("Water", "Water"),
    ],
)
def test_headings_are_read_as_sentences(text: str, read: str) -> None:
    assert ENGLISH.read(text)[0] == read


def test_what_is_remembered_of_words_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["HOT SOUP", "DID YOU SEE IT?", "We Saw The Water.", "i'm in berlin", "HOT WATER, OK"]
    texts += [f"{'a' * length} berlin" for length in (39, 40, 41)]
    expected = [Truecaser(VOCABULARY, "en").read(text) for text in texts]
    monkeypatch.setattr(letter_case, "_MOST_WORDS", 4)
    small = Truecaser(VOCABULARY, "en")
    for truecaser in (small, ENGLISH):
        for _ in range(2):
            assert [truecaser.read(text) for text in texts] == expected
            assert truecaser.read_batch([(text, ()) for text in texts]) == expected


@given(
    st.lists(
        st.text(st.sampled_from("abß é1-.\n漢ⓐⅷ²\ue000"), max_size=8).map(
            lambda end: f"berlin house {end}"[-12:]
        ),
        max_size=4,
    )
)
def test_sentences_in_small_letters_are_read_together_as_alone(sentences: list[str]) -> None:
    for sentence, read in zip(
        sentences, ENGLISH.read_batch([(each, ()) for each in sentences]), strict=True
    ):
        assert read == ENGLISH.read(sentence)
        cased = ENGLISH._cased(sentence, LetterCase.SMALL)
        if read[1] is LetterCase.SMALL and cased is not None:
            known = ENGLISH._known(set(cased.words))
            assert read == letter_case._read(sentence, (), cased, known)


def test_capitals_of_a_dotless_i_stay_dotless() -> None:
    assert Truecaser(VOCABULARY, "tr").read("KAPIYI AÇINIZ")[0].lower() == "kapıyı açınız"


@given(st.text(st.one_of(st.sampled_from("aBß İŉǆ-1ΣI"), st.characters(exclude_categories=["Cs"]))))
def test_no_character_more_or_less(text: str) -> None:
    for each in (text, text.upper(), text.lower(), text.title()):
        read, case = ENGLISH.read(each)
        assert len(read) == len(each)
        assert case is not None or read == each
        assert read.casefold() == each.casefold() or not each.isascii()


@given(
    st.lists(
        st.sampled_from(
            ["a", "is", "the", "House", "HOUSE", "house", "of", "OF", "Of", "A", "É", "été", "Été",
             "don't", "X1", "\ue000", "5th", "a5b", "-", ".", ",", "'", "漢字", "Straße"]
        ),
        max_size=7,
    ).map(" ".join),
    st.sampled_from((ENGLISH, GERMAN)),
)  # fmt: skip
def test_what_may_not_be_read_otherwise_is_not(sentence: str, truecaser: Truecaser) -> None:
    marks = [match.span() for match in re.finditer(r"\bX1\b", sentence)]
    text, case = truecaser.read(sentence, marks)
    if text != sentence:
        assert truecaser.may_read(sentence)
        assert may_be_capitals(sentence) or case is not LetterCase.CAPITALS
