"""The plain form of DeepLX and Immersive Translate, at LibreTranslate's path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.store.store import Store
from tests.fakes import FakeBackend, Gateway
from tests.stores import new_database


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


async def test_a_key_may_stand_in_the_address_as_its_clients_have_it(tmp_path: Path) -> None:
    gateway = Gateway(
        FakeBackend(), access={"keys": "required"}, store_url=new_database(None, tmp_path)
    )
    store = Store(gateway.settings)
    _, secret = await store.keys.add("one")
    await store.close()
    body = {"text": "a", "source_lang": "en", "target_lang": "de"}
    bearer = {"Authorization": f"Bearer {secret}"}
    async with gateway.running_client() as client:
        for status, path, headers in (
            (200, f"/translate?token={secret}", {}),
            (200, "/translate?token=wrong", bearer),
            (403, "/translate?token=wrong", {}),
            (400, "/translate", {}),
            (404, f"/{secret}/translate", {}),
        ):
            answer = await client.post(path, json=body, headers=headers)
            assert answer.status_code == status, (path, answer.text)
            assert secret not in answer.text
        # Clients of LibreTranslate's form have a field for it.
        own = {"q": "a", "source": "en", "target": "de"}
        answer = await client.post(f"/translate?token={secret}", json=own)
        assert answer.status_code == 400
