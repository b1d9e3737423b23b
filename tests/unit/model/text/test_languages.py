"""Sets of languages: looked up, never multiplied out."""

import pytest

from model.text.languages import Languages, Pair, listed

BROAD = tuple(f"l{number:03}_Latn" for number in range(202))


def test_pairs_are_found_in_any_letter_case() -> None:
    languages = Languages(sources=("en", "zh-Hant"), targets=("en", "de"))
    assert languages.find("EN", "De") == Pair("en", "de")
    assert languages.find("ZH-HANT", "en") == ("zh-Hant", "en")
    for source, target in (("en", "en"), ("de", "en"), ("en", "zh-hant"), ("xx", "de"), ("", "")):
        assert languages.find(source, target) is None
    assert languages.pairs == (("en", "de"), ("zh-Hant", "en"), ("zh-Hant", "de"))
    assert languages.num_pairs == 3


@pytest.mark.parametrize(
    ("sources", "targets", "words"),
    [
        (("en",), ("de",), "en to de"),
        (("en",), ("de", "fr"), "en to de, en to fr"),
        (BROAD, BROAD, "202 languages"),
        (("en",), BROAD, "en to 202 languages"),
        (BROAD, ("en",), "202 languages to en"),
        (BROAD, BROAD[:50], "202 languages to 50 languages"),
    ],
)
def test_a_person_is_told_in_a_few_words(
    sources: tuple[str, ...], targets: tuple[str, ...], words: str
) -> None:
    assert str(Languages(sources=sources, targets=targets)) == words


def test_long_lists_are_cut() -> None:
    assert listed(["fr", "de"]) == "de, fr"
    assert listed(BROAD) == f"{', '.join(BROAD[:20])} and 182 more"
