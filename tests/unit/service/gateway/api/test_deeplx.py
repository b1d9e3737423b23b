"""The plain form of DeepLX and Immersive Translate, at LibreTranslate's path."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import FakeBackend, Gateway


def _gateway() -> Gateway:
    return Gateway(FakeBackend(), FakeBackend("de-en", (("de", "en"),)))


@pytest.mark.parametrize("source", ["EN", "auto", ""])
async def test_a_text(source: str) -> None:
    text = "The house is old and stands by the river."
    async with _gateway().client() as client:
        answer = await client.post(
            "/translate", json={"text": text, "source_lang": source, "target_lang": "DE"}
        )
    assert answer.status_code == 200
    assert answer.json() == {
        "code": 200,
        "data": f"de:{text}",
        "alternatives": [],
        "source_lang": "EN",
        "target_lang": "DE",
        "method": "Free",
    }


async def test_a_list() -> None:
    async with _gateway().client() as client:
        answer = await client.post(
            "/translate",
            json={"text_list": ["a", "b"], "source_lang": "en", "target_lang": "de"},
        )
    assert answer.json() == {
        "translations": [
            {"detected_source_lang": "en", "text": "de:a"},
            {"detected_source_lang": "en", "text": "de:b"},
        ]
    }


@pytest.mark.parametrize(
    "body",
    [
        {"target_lang": "DE"},
        {"target_lang": "DE", "text": "a", "text_list": ["a"]},
        {"target_lang": "DE", "text": 1},
        {"target_lang": "xx", "source_lang": "en", "text": "a"},
    ],
)
async def test_what_is_wrong_is_refused_in_the_form_of_the_path(body: dict[str, Any]) -> None:
    async with _gateway().client() as client:
        answer = await client.post("/translate", json=body)
    assert (answer.status_code, answer.json().keys()) == (400, {"error"})
