"""Generated sentences that repeat something on purpose."""

from __future__ import annotations

import pytest

from model.text.loops import most_copies_said
from model.training.repeated_sentences import LANGUAGES, repeated_sentences


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_repeats_something_and_they_are_the_same_again(language: str) -> None:
    sentences = repeated_sentences(language, 120)
    assert sentences == repeated_sentences(language, 120)
    assert len(set(sentences)) > 100
    repeating = [each for each in sentences if most_copies_said(each) > 1 or "..." in each]
    # Two copies of a part of a word are not counted, nor is what has only signs.
    assert len(repeating) > 100
