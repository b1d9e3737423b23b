"""How a target begins of which the text is given."""

from __future__ import annotations

import pytest

from model.text.target_prefix import PrefixTokenizer
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TOKENIZER = train_tiny_tokenizer(byte_fallback=True)
PREFIXES = PrefixTokenizer(TOKENIZER)


def said(ids: tuple[int, ...]) -> str:
    return "".join(text for text, _ in TOKENIZER.surfaces(ids))


@pytest.mark.parametrize(
    "text", ["the", "th", "the old m", "the old man", "the old man,", "the letterx", "t", "Zq é"]
)
def test_tokens_and_what_the_next_one_begins_with_are_the_text(text: str) -> None:
    seam = PREFIXES.seam(text)
    assert (said(seam.token_ids) + seam.rest).split() == text.split()
    if seam.following is not None:
        assert len(seam.following)
        assert (seam.following[1:] > seam.following[:-1]).all()
        assert all(said((int(each),)).startswith(seam.rest) for each in seam.following)


def test_a_word_may_go_on_in_all_its_pieces() -> None:
    [whole] = TOKENIZER.target.tokenize("the")
    for begun in ("t", "th", "the"):
        seam = PREFIXES.seam(begun)
        assert seam.token_ids == ()
        assert seam.following is not None
        assert whole in seam.following


def test_behind_white_space_another_word_begins() -> None:
    seam = PREFIXES.seam("the old ")
    assert said(seam.token_ids).strip() == "the old"
    assert seam.following is not None
    starts = [said((int(each),))[0] for each in seam.following]
    assert all(not start.isalnum() for start in starts)


def test_a_long_beginning_without_white_space_costs_little() -> None:
    seam = PREFIXES.seam("x" * 1000)
    assert said(seam.token_ids).strip() + seam.rest == "x" * 1000
    assert len(seam.rest) <= 24


def test_what_the_vocabulary_lacks_is_given_as_it_can_be() -> None:
    listed = train_tiny_tokenizer(byte_fallback=False)
    seam = PrefixTokenizer(listed).seam("漢字")
    assert seam.following is None
    assert seam.rest == ""
