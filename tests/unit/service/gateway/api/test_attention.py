"""The native API's answer about attention, and what it refuses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from model.errors import InvalidRequestError
from service.settings import Limits
from tests.fakes import FakeBackend, Gateway

HELLO = {"text": "Hello there", "source": "en", "target": "de"}


async def _post(gateway: Gateway, body: Any) -> httpx.Response:
    async with gateway.client() as client:
        return await client.post("/v1/attention", json=body)


async def test_maps_come_by_layer_and_head_with_their_tokens() -> None:
    gateway = Gateway(limits=Limits(max_attention_numbers=77))
    answer = await _post(gateway, HELLO)
    assert answer.status_code == 200
    heads = {"maps": [[[[1.0, 0.0], [1.0, 0.0]]]], "entropies": [[0.25]]}
    assert answer.json() == {
        "translation": "de:Hello there",
        "model": "en-de",
        "source_tokens": ["a", "</s>"],
        "target_tokens": ["<s>", "b"],
        "encoder": heads,
        "decoder": None,
        "cross": heads,
    }
    [call] = gateway.backend.calls
    assert call.max_attention_numbers == 77
    assert call.texts == ("Hello there",)


async def test_other_calls_ask_for_no_maps() -> None:
    gateway = Gateway()
    async with gateway.client() as client:
        await client.post("/v1/translate", json=HELLO)
    assert gateway.backend.calls[0].max_attention_numbers is None


async def test_what_a_replica_refuses_is_told() -> None:
    backend = FakeBackend()
    backend.fail_next(InvalidRequestError("the text must be one sentence, but has 2"))
    answer = await _post(Gateway(backend), HELLO)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "the text must be one sentence, but has 2"


async def test_two_models_have_no_common_maps() -> None:
    backends = FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),))
    answer = await _post(Gateway(*backends), HELLO | {"source": "de", "target": "fr"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "target"
    assert not [call for backend in backends for call in backend.calls]


@pytest.mark.parametrize(
    "body", [{"texts": ["a"]}, {"text": 1}, {"generation": {}}, {"text": "x" * 50_000}]
)
async def test_bad_fields_are_refused(body: dict[str, Any]) -> None:
    assert (await _post(Gateway(), HELLO | body)).status_code == 422
