"""By which tokens a target could say a banned term."""

from __future__ import annotations

import pytest

from model.text.banned_terms import BannedTerms
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TOKENIZER = train_tiny_tokenizer(byte_fallback=True)
BANNED = BannedTerms(TOKENIZER)


def said(ids: tuple[int, ...]) -> str:
    return "".join(text for text, _ in TOKENIZER.surfaces(ids))


@pytest.mark.parametrize("term", ["old", "Old man", "letter", "é"])
def test_all_sequences_say_the_term(term: str) -> None:
    sequences = BANNED.sequences(term)
    assert tuple(TOKENIZER.target.tokenize(term)) in sequences
    assert len(set(sequences)) == len(sequences)
    for ids in sequences:
        assert said(ids).strip().lstrip("\"'(/-[").lower() == term.lower()


def test_pieces_of_every_size_are_banned() -> None:
    letters = tuple(TOKENIZER.target.find(piece) for piece in ("\u2581", "o", "l", "d"))
    assert None not in letters
    assert letters in BANNED.sequences("old")


def test_a_long_term_has_few_sequences() -> None:
    assert len(BANNED.sequences("the old man sees a letter " * 3 + "again")) < 1000
