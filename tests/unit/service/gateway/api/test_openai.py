"""OpenAI's API: with its own client, and what says the languages."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from model.errors import DeadlineExceededError, QueueFullError
from tests.fakes import FakeBackend, Gateway

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


def _gateway() -> Gateway:
    return Gateway(
        FakeBackend(),
        FakeBackend("broad", sources=("en", "de", "fr", "pt-BR"), targets=("fr", "pt-BR", "en")),
    )


def _client(gateway: Gateway) -> openai.AsyncOpenAI:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app))
    return openai.AsyncOpenAI(
        base_url="http://gateway/v1", api_key="none", http_client=http, max_retries=0
    )


async def test_its_client_has_a_text_translated() -> None:
    gateway = _gateway()
    async with _client(gateway) as client:
        answer = await client.chat.completions.create(
            model="en-de",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Not this"},
                {"role": "assistant", "content": "de:Not this"},
                {"role": "user", "content": [{"type": "text", "text": "Hello there"}]},
            ],
            temperature=0.3,
        )
    assert answer.choices[0].message.content == "de:Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.object) == ("en-de", "chat.completion")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 6
    [call] = gateway.backend.calls
    assert (call.texts, call.source, call.target) == (("Hello there",), "en", "de")


@pytest.mark.parametrize("with_usage", [False, True])
async def test_its_client_reads_a_stream(with_usage: bool) -> None:
    async with _client(_gateway()) as client:
        stream = await client.chat.completions.create(
            model="en-de", messages=HELLO, stream=True,
            stream_options={"include_usage": with_usage},
        )  # fmt: skip
        chunks = [chunk async for chunk in stream]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "de:Hello there"
    assert {choice.finish_reason for choice in choices[:-1]} == {None}
    assert choices[-1].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    usage = [chunk.usage for chunk in chunks if chunk.usage]
    assert [each.total_tokens for each in usage] == [6] * with_usage


async def test_its_client_lists_the_models() -> None:
    async with _client(_gateway()) as client:
        models = await client.models.list()
    assert [(each.id, each.object) for each in models.data] == [
        ("en-de", "model"),
        ("broad", "model"),
    ]


async def test_its_client_understands_errors() -> None:
    gateway = _gateway()
    async with _client(gateway) as client:
        gateway.backend.fail_next(QueueFullError("full"))
        with pytest.raises(openai.InternalServerError, match="queue is full") as caught:
            await client.chat.completions.create(model="en-de", messages=HELLO)
        assert caught.value.status_code == 503
        with pytest.raises(openai.UnprocessableEntityError, match="`target` must be given"):
            await client.chat.completions.create(model="gpt-5", messages=HELLO)
        gateway.backend.after_first_delta = DeadlineExceededError("late")
        stream = await client.chat.completions.create(model="en-de", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="ran out"):
            async for _ in stream:
                pass


@pytest.mark.parametrize(
    ("body", "pair"),
    [
        ({"model": "en-de"}, ("en", "de")),
        ({"model": "de-fr"}, ("de", "fr")),
        ({"model": "en-pt-BR"}, ("en", "pt-BR")),
        ({"model": "auto-fr"}, ("en", "fr")),
        ({"model": "broad", "target": "fr", "source": "de"}, ("de", "fr")),
        ({"model": "gpt-5", "target": "de"}, ("en", "de")),
        ({"model": "gpt-5", "system": "Translate from English into French."}, ("en", "fr")),
        ({"model": "gpt-5", "system": "You translate to pt-BR, nothing else"}, ("en", "pt-BR")),
    ],
)
async def test_what_says_the_languages(body: dict[str, str], pair: tuple[str, str]) -> None:
    gateway = _gateway()
    system = body.pop("system", None)
    told = [{"role": "system", "content": system}] if system else []
    text = {"role": "user", "content": "The house is old and it stands by the river."}
    async with gateway.client() as client:
        answer = await client.post("/v1/chat/completions", json={**body, "messages": [*told, text]})
    assert answer.status_code == 200, answer.text
    [call] = [call for backend in gateway.backends for call in backend.calls]
    assert (call.source, call.target) == pair


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": HELLO}, "`model` is required"),
        ({"model": "en-de", "messages": []}, "`messages` must have at least 1 item"),
        ({"model": "en-de", "messages": [{"role": "system"}]}, "one of the role user"),
        ({"model": "en-de", "messages": "x"}, "`messages` must be a list"),
    ],
)
async def test_bad_requests_are_refused(body: dict[str, Any], message: str) -> None:
    async with _gateway().client() as client:
        answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 422
    assert message in json.loads(answer.text)["error"]["message"]
