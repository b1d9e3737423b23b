"""Texts whose languages are not said: each is detected, and all come back in one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from model.errors import QueueFullError
from tests.fakes import FakeBackend, Gateway, until

ENGLISH, GERMAN, PORTUGUESE = (
    "The shop opens at nine.",
    "Wir öffnen morgen um neun.",
    "A loja abre às nove horas.",
)


def _gateway(**settings: Any) -> Gateway:
    return Gateway(
        FakeBackend("de-en", (("de", "en"),)),
        FakeBackend("pt-en", (("pt", "en"),)),
        FakeBackend("en-fr", (("en", "fr"),)),
        **settings,
    )


async def _post(gateway: Gateway, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    async with gateway.client() as client:
        answer = await client.post("/v1/translate", json=body)
    assert answer.status_code == status, answer.text
    value: dict[str, Any] = answer.json()
    return value


async def test_a_list_is_split_by_language_and_put_together_again() -> None:
    gateway = _gateway()
    texts = [GERMAN, PORTUGUESE, ENGLISH, "", GERMAN]
    answer = await _post(gateway, {"texts": texts, "target": "EN-us"})
    found = [(one["text"], one["detected_source"]["language"]) for one in answer["translations"]]
    assert found == [
        (f"en:{GERMAN}", "de"),
        (f"en:{PORTUGUESE}", "pt"),
        (ENGLISH, "en"),
        ("", "de"),
        (f"en:{GERMAN}", "de"),
    ]
    assert answer["model"] == "de-en, pt-en"
    assert answer["target"] == "en"
    assert "source" not in answer
    assert answer["usage"]["source_tokens"] == 2 * 6 + 7
    assert answer["translations"][3]["detected_source"]["confidence"] == 0
    assert answer["translations"][0]["detected_source"]["confidence"] > 0.9
    assert [[call.texts for call in backend.calls] for backend in gateway.backends] == [
        [(GERMAN, "", GERMAN)], [(PORTUGUESE,)], [],
    ]  # fmt: skip
    labels = {"route": "/v1/translate", "status": "200", "source": "de", "target": "en"}
    assert gateway.count("polyhead_http_requests_total", **labels) == 1


async def test_one_text_has_one_source() -> None:
    answer = await _post(_gateway(), {"text": GERMAN, "target": "en"})
    assert (answer["source"], answer["target"], answer["model"]) == ("de", "en", "de-en")


async def test_the_way_may_lead_through_the_pivot() -> None:
    answer = await _post(_gateway(), {"texts": [GERMAN, ENGLISH], "target": "fr"})
    assert [one["text"] for one in answer["translations"]] == [
        f"fr:en:{GERMAN}", f"fr:{ENGLISH}",
    ]  # fmt: skip


async def test_only_languages_of_the_named_model_are_found() -> None:
    body = {"text": PORTUGUESE, "target": "en", "model": "de-en"}
    answer = await _post(_gateway(), body)
    assert answer["translations"][0]["detected_source"]["language"] in ("de", "en")


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"target": "xx"}, "target", "`target` must be one of en, fr, but is 'xx'"),
        ({"model": "zz"}, "model", "`model` must be one of de-en, en-fr, pt-en, but is 'zz'"),
        (
            {"model": "de-en", "target": "fr"},
            "target",
            "`target` must be one of en, but is 'fr'",
        ),
        ({"text": None, "texts": ["a", "\0"]}, "texts[1]", "`texts[1]` must not have"),
    ],
)
async def test_what_is_not_served_is_told(change: dict[str, Any], field: str, words: str) -> None:
    body = {"text": GERMAN, "target": "en"} | change
    error = (await _post(_gateway(), body, 422))["error"]
    assert error["field"] == field
    assert error["message"].startswith(words)


async def test_the_error_of_one_part_is_that_of_all_and_ends_the_others() -> None:
    gateway = _gateway()
    gateway.backends[0].hold_next()
    gateway.backends[1].fail_next(QueueFullError("full"))
    answer = await _post(gateway, {"texts": [GERMAN, PORTUGUESE], "target": "en"}, 503)
    assert answer["error"]["type"] == "overloaded"
    assert gateway.backends[0].num_cancelled == 1


async def test_one_time_limit_is_for_all_parts() -> None:
    gateway = _gateway(limits={"request_timeout_seconds": 0.05})
    gateway.backends[1].hold_next()
    answer = await _post(gateway, {"texts": [GERMAN, PORTUGUESE], "target": "en"}, 504)
    assert answer["error"]["type"] == "deadline_exceeded"


async def test_all_models_are_held_while_their_part_is_in_work() -> None:
    gateway = _gateway()
    releases = [backend.hold_next() for backend in gateway.backends[:2]]
    task = asyncio.create_task(_post(gateway, {"texts": [GERMAN, PORTUGUESE], "target": "en"}))
    await until(lambda: all(backend.num_active for backend in gateway.backends[:2]))
    assert gateway.router.held_keys == {"de-en@1", "pt-en@1"}
    for release in releases:
        release.set()
    await task
    assert gateway.router.held_keys == frozenset()


async def test_kept_spans_and_alignments_follow_their_texts() -> None:
    gateway = _gateway()
    body = {
        "texts": [GERMAN, PORTUGUESE, ENGLISH],
        "target": "en",
        "return_alignments": True,
        "keep": [{"text": 0, "begin": 0, "end": 3}, {"text": 1, "begin": 2, "end": 6}],
    }
    answer = await _post(gateway, body)
    spans = [backend.calls[0].text_options.keep_spans for backend in gateway.backends[:2]]
    assert spans == [((0, 0, 3),), ((0, 2, 6),)]
    assert answer["translations"][2]["alignments"][0] == {"source": [0, 3], "target": [0, 3]}


@pytest.mark.parametrize(
    ("source", "target"), [("de-AT", "en_GB"), ("DEU", "eng_Latn"), ("de-Latn-DE", "EN-US")]
)
async def test_codes_mean_what_is_served(source: str, target: str) -> None:
    answer = await _post(_gateway(), {"text": GERMAN, "source": source, "target": target})
    assert (answer["source"], answer["target"]) == ("de", "en")
    body = {"text": GERMAN, "source": source, "target": target, "model": "de-en"}
    assert (await _post(_gateway(), body))["source"] == "de"


@pytest.mark.parametrize(("places", "at_once"), [(1, 1), (2, 1), (3, 2), (64, 2)])
async def test_calls_to_several_models_have_places_of_their_own(places: int, at_once: int) -> None:
    gateway = _gateway(limits={"max_in_flight": places})
    releases = [backend.hold_next() for backend in gateway.backends[:2]]
    body = {"texts": [GERMAN, PORTUGUESE, GERMAN], "target": "en"}
    task = asyncio.create_task(_post(gateway, body))
    await until(lambda: sum(each.num_active for each in gateway.backends) == at_once)
    for _ in range(20):
        await asyncio.sleep(0)
    assert [each.num_active for each in gateway.backends[:2]] == [1, at_once - 1]
    assert gateway.router.held_keys == {"de-en@1", "pt-en@1"}
    for release in releases:
        release.set()
    answer = await task
    assert [one["text"] for one in answer["translations"]] == [
        f"en:{GERMAN}", f"en:{PORTUGUESE}", f"en:{GERMAN}",
    ]  # fmt: skip
