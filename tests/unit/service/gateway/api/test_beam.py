"""The native API's answer about the search for a sentence, and what it refuses."""

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
        return await client.post("/v1/beam", json=body)


async def test_candidates_come_with_what_became_of_them() -> None:
    gateway = Gateway(limits=Limits(max_search_candidates=77))
    answer = await _post(gateway, HELLO | {"generation": {"beam_size": 3}})
    assert answer.status_code == 200
    assert answer.json() == {
        "translation": "de:Hello there",
        "model": "en-de",
        "beam_size": 3,
        "candidates": [
            {"parent": None, "token": " b", "log_prob": -0.25, "state": "kept", "score": None},
            {"parent": None, "token": " c", "log_prob": -2.1235, "state": "pruned", "score": None},
            {"parent": 0, "token": "</s>", "log_prob": -0.5, "state": "ended", "score": -0.25},
        ],
        "best": [0, 2],
    }
    [call] = gateway.backend.calls
    assert call.max_search_candidates == 77
    assert call.max_attention_numbers is None
    assert call.generation is not None
    assert call.generation.beam_size == 3


async def test_other_calls_record_no_search() -> None:
    gateway = Gateway()
    async with gateway.client() as client:
        for path in ("/v1/translate", "/v1/attention"):
            await client.post(path, json=HELLO)
    assert [call.max_search_candidates for call in gateway.backend.calls] == [None, None]


async def test_what_a_replica_refuses_is_told() -> None:
    backend = FakeBackend()
    backend.fail_next(InvalidRequestError("the text must be one sentence, but has 2"))
    answer = await _post(Gateway(backend), HELLO)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "the text must be one sentence, but has 2"


async def test_two_models_have_no_common_search() -> None:
    backends = FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),))
    answer = await _post(Gateway(*backends), HELLO | {"source": "de", "target": "fr"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "target"


@pytest.mark.parametrize(
    "body",
    [{"texts": ["a"]}, {"text": 1}, {"generation": {"beam_size": 9}}, {"generation": {"x": 1}}],
)
async def test_bad_fields_are_refused(body: dict[str, Any]) -> None:
    assert (await _post(Gateway(), HELLO | body)).status_code == 422
