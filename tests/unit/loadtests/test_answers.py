"""The load test's judgement of answers: a right one passes, each kind of wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.mix import libretranslate_fault, translate_fault


def _answer(**changes: Any) -> dict[str, Any]:
    translations = [
        {"text": "Guten Morgen.", "finish_reason": "stop"},
        {"text": "Guten Abend.", "finish_reason": "length"},
    ]
    return {"translations": translations, "model": "en-de"} | changes


TEXTS = ["Good morning.", "Good evening."]


def test_a_right_answer_passes() -> None:
    assert translate_fault(_answer(), texts=TEXTS) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ([], "JSON object"),
        (_answer(translations=None), "one entry for each text"),
        (_answer(translations=[]), "one entry for each text"),
        (_answer(translations=["a", "b"]), "one entry for each text"),
        (_answer(translations=[{"text": " ", "finish_reason": "stop"}] * 2), "must not be empty"),
        (_answer(translations=[{"text": "a", "finish_reason": "cancelled"}] * 2), "stop, length"),
        (_answer(translations=[{"text": "a"}] * 2), "stop, length"),
        (_answer(translations=[{"text": "a\nb", "finish_reason": "stop"}] * 2), "line breaks"),
        (_answer(model=""), "`model`"),
    ],
)
def test_a_wrong_answer_is_named(answer: object, fault: str) -> None:
    found = translate_fault(answer, texts=TEXTS)
    assert found is not None
    assert fault in found


@pytest.mark.parametrize(
    ("translated", "query"),
    [("Hallo.", "Hello."), (["Hallo.", "Ja."], ["Hello.", "Yes."])],
)
def test_a_right_libretranslate_answer_passes(
    translated: str | list[str], query: str | list[str]
) -> None:
    assert libretranslate_fault({"translatedText": translated}, query=query) is None


@pytest.mark.parametrize(
    ("answer", "query", "fault"),
    [
        ("Hallo.", "Hello.", "JSON object"),
        ({}, "Hello.", "must not be empty"),
        ({"translatedText": ["Hallo."]}, "Hello.", "must not be empty"),
        ({"translatedText": "Hallo."}, ["Hello."], "one entry for each text"),
        ({"translatedText": ["Hallo."]}, ["Hello.", "Yes."], "one entry for each text"),
        ({"translatedText": ["Hallo.", ""]}, ["Hello.", "Yes."], "must not be empty"),
        ({"translatedText": "Hallo."}, "Hel\nlo.", "line breaks"),
        ({"translatedText": ["Hallo.", "Ja."]}, ["Hel\nlo.", "Yes."], "line breaks"),
    ],
)
def test_a_wrong_libretranslate_answer_is_named(
    answer: object, query: str | list[str], fault: str
) -> None:
    found = libretranslate_fault(answer, query=query)
    assert found is not None
    assert fault in found
