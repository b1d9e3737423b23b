"""Tags of BCP 47, of codes as models write them and as people do."""

from __future__ import annotations

import pytest

from model.text.language_tags import bcp47, closest, script


@pytest.mark.parametrize(
    ("code", "tag", "letters"),
    [
        ("de", "de", "Latn"),
        ("deu", "de", "Latn"),
        ("deu_Latn", "de", "Latn"),
        ("zho_Hans", "zh", "Hans"),
        ("zho_Hant", "zh-Hant", "Hant"),
        ("srp_Cyrl", "sr", "Cyrl"),
        ("sr-Latn", "sr-Latn", "Latn"),
        ("pt-BR", "pt-BR", "Latn"),
        ("prs_Arab", "fa-AF", "Arab"),
        ("ZHO_HANT", "zh-Hant", "Hant"),
        ("zh-hans", "zh", "Hans"),
        ("kor_Hang", "ko", "Kore"),
        ("pbt_Arab", "ps", "Arab"),
        ("nob_Latn", "nb", "Latn"),
        ("no", "nb", "Latn"),
        ("nobody", "nobody", None),
        ("", "", None),
        ("xx_latn", "xx-Latn", "Latn"),
        ("-\ud800_", "-\ud800-", None),
    ],
)
def test_tags_and_scripts(code: str, tag: str, letters: str | None) -> None:
    assert bcp47(code) == tag
    assert script(code) == letters


@pytest.mark.parametrize(
    ("code", "among", "expected"),
    [
        ("en-US", ("de", "en"), "en"),
        ("EN_us", ("en-GB", "en"), "en"),
        ("en-US", ("en-GB", "en-US"), "en-US"),
        ("de_AT", ("deu_Latn",), "deu_Latn"),
        ("ger", ("de",), "de"),
        ("de-DE-1996", ("de",), "de"),
        ("zh-TW", ("zh-Hans", "zh-Hant"), "zh-Hant"),
        ("zh_HK", ("zho_Hans", "zho_Hant"), "zho_Hant"),
        ("zh-CN", ("zh-Hant", "zh"), "zh"),
        ("zh-TW", ("zh",), None),
        ("sr-Latn", ("sr",), None),
        ("pt", ("pt-PT", "pt-BR"), "pt-BR"),
        ("pt-AO", ("pt-PT", "pt-BR"), "pt-PT"),
        ("l001", ("L001",), "L001"),
        ("nn", ("nb",), None),
        ("fr", ("de",), None),
        ("en-", ("en",), None),
        ("", ("en",), None),
        ("en-" + "a" * 40, ("en",), None),
        ("not a code!", ("en",), None),
    ],
)
def test_the_closest_code(code: str, among: tuple[str, ...], expected: str | None) -> None:
    assert closest(code, among) == expected
