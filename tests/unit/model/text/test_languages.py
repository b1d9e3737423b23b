"""Sets of languages: looked up, never multiplied out."""

import pytest

from model.checkpoints.importers.m2m100_languages import M2M_100, NLLB_200
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


NLLB = Languages(sources=NLLB_200, targets=NLLB_200)


@pytest.mark.parametrize(
    ("code", "own"),
    [
        ("en", "eng_Latn"), ("eng_Latn", "eng_Latn"), ("ENG_latn", "eng_Latn"), ("eng", "eng_Latn"),
        ("en-Latn", "eng_Latn"), ("de", "deu_Latn"), ("zh", "zho_Hans"), ("zh-Hans", "zho_Hans"),
        ("zh_hant", "zho_Hant"), ("ko", "kor_Hang"), ("no", "nob_Latn"), ("nb", "nob_Latn"),
        ("ar", "arb_Arab"), ("fa", "pes_Arab"), ("ps", "pbt_Arab"), ("sr", "srp_Cyrl"),
        ("he", "heb_Hebr"), ("iw", "heb_Hebr"), ("fil", "tgl_Latn"), ("tl", "tgl_Latn"),
        ("ak", None), ("sr-Latn", None), ("en-Cyrl", None), ("xx", None), ("", None),
        ("en" * 10**6, None),
    ],
)  # fmt: skip
def test_models_of_many_languages_know_theirs_by_other_names(code: str, own: str | None) -> None:
    assert NLLB.source(code) == NLLB.target(code) == own


def test_all_of_m2m_100_that_nllb_has_can_be_named_alike() -> None:
    unknown = {code for code in M2M_100 if NLLB.source(code) is None}
    assert unknown == {"br", "fy"}
    assert NLLB.find("en", "eng_Latn") is None
    other = Languages(sources=M2M_100, targets=M2M_100)
    assert other.find("eng_Latn", "nb") == ("en", "no")


def test_a_code_goes_before_another_name() -> None:
    languages = Languages(sources=("en", "eng_Latn", "zh", "zho_Hans"), targets=("de",))
    assert [languages.source(code) for code in languages.sources] == list(languages.sources)
    assert languages.source("eng") is None  # which it may both be


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
