"""Which language a text is in, of those that are served."""

from __future__ import annotations

import time

import pytest

from model.text.language_detection import detect_language

GERMAN = "Wir öffnen morgen um neun Uhr."
SERVED = ("en", "de", "pt", "zh-Hant")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, "de"),
        (GERMAN.upper(), "de"),
        ("We open at nine.", "en"),
        ("Abrimos amanhã às nove.", "pt"),
        ("我們明天九點開門。", "zh-Hant"),
        ("danke", "de"),
        (f'<p class="the shop is open at nine">{GERMAN}</p>', "de"),
        (f"{GERMAN} https://example.org/the/shop/is/open/at/nine #opening @the_shop", "de"),
        # What weighs more than all others together in the model's own mean.
        ("Wir treffen uns morgen um neun vor dem Laden, please be there on time.", "de"),
        (f"a\0b {GERMAN}\r\n", "de"),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    ranks = detect_language(text, SERVED)
    assert ranks[0].language == language
    assert 0 < sum(one.confidence for one in ranks) <= 1.000001
    assert [one.confidence for one in ranks] == sorted((r.confidence for r in ranks), reverse=True)


def test_only_what_is_asked_for_is_found() -> None:
    assert [one.language for one in detect_language(GERMAN, ("en",))] == ["en"]
    assert detect_language(GERMAN, ("en", "deu_Latn"))[0].language == "deu_Latn"
    assert detect_language(GERMAN, ()) == []
    assert detect_language(GERMAN, ("xx", "not a code!")) == []


@pytest.mark.parametrize("text", ["", " \n", "123,45 €", "😀", "<br>", "https://example.org/wir"])
def test_a_text_without_words_tells_nothing(text: str) -> None:
    assert detect_language(text, SERVED) == []


@pytest.mark.parametrize(
    "text", ["x" * 10**6, "a " * 10**6, "<" * 10**6, "{a" * 10**6, "@" * 10**6, ":a" * 10**6]
)
def test_a_long_text_takes_no_longer(text: str) -> None:
    begin = time.thread_time()
    detect_language(text, SERVED)
    assert time.thread_time() - begin < 1
