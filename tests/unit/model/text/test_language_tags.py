"""Tags of BCP 47, of codes as models write them and as people do."""

from __future__ import annotations

import pytest

from model.text.language_tags import bcp47, script


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
