"""Punctuation is made plain as the tools do with which OPUS-MT prepared its text."""

import random

import pytest
import sacremoses

from model.text.punctuation import PunctuationNormalizer

_PARTS = [
    *"abcAB12 ()%.,:;?!`'\"<>\r\u00a0«»„“”‘’‚´–—…º-",
    *("nº\u00a0", "\u00a0cm", "\u00a0ºC", "''", "..."),
]


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "cs", "zh"])
def test_it_is_what_sacremoses_writes(language: str) -> None:
    generator = random.Random(language)
    normalizer = PunctuationNormalizer(language)
    expected = sacremoses.MosesPunctNormalizer(language)
    for _ in range(3000):
        text = "".join(generator.choices(_PARTS, k=generator.randint(0, 25)))
        assert normalizer.normalize(text) == expected.normalize(text)


def test_only_the_language_of_a_code_counts() -> None:
    text = "Er sagte: „Das sind 2\u00a0000 «Stück»…“ — und ging."
    plain = 'Er sagte: "Das sind 2,000 "Stück""... - und ging.'
    for code in ("de", "de-CH", "DE_at"):
        assert PunctuationNormalizer(code).normalize(text) == plain
    assert "2.000" in PunctuationNormalizer("en").normalize(text)


def test_many_points_cost_no_more_than_their_number() -> None:
    # With a look-ahead from each point, these would be 10^10 steps.
    points = "." * 100_000
    assert PunctuationNormalizer("de").normalize(f'{points}a."b') == f'{points}a".b'
