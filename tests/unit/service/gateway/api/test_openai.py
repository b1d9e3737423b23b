"""OpenAI's API: with its own client, and what says the languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from model.errors import DeadlineExceededError, QueueFullError
from service.settings import Quota
from service.store.records import Scope
from service.store.store import Store
from tests.fakes import FakeBackend, Gateway
from tests.stores import new_database

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


def _gateway() -> Gateway:
    return Gateway(
        FakeBackend(),
        FakeBackend("broad", sources=("en", "de", "fr", "pt-BR"), targets=("fr", "pt-BR", "en")),
    )


def _client(gateway: Gateway, key: str = "none") -> openai.AsyncOpenAI:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app, raise_app_exceptions=False))
    return openai.AsyncOpenAI(
        base_url="http://gateway/v1", api_key=key, http_client=http, max_retries=0
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
    ("body", "message", "param", "code"),
    [
        ({"messages": HELLO}, "`model` is required", "model", "missing_required_parameter"),
        (
            {"model": "en-de", "messages": []}, "`messages` must have at least 1 item",
            "messages", "invalid_value",
        ),
        (
            {"model": "en-de", "messages": [{"role": "system"}]}, "one of the role user",
            "messages", "invalid_value",
        ),
        (
            {"model": "en-de", "messages": "x"}, "`messages` must be a list",
            "messages", "invalid_type",
        ),
        (
            {"model": "broad", "messages": HELLO}, "`target` must be given",
            "target", "missing_required_parameter",
        ),
        (
            {"model": "x", "messages": HELLO, "source": "de", "target": "pl"}, "`target` must be",
            "target", "unsupported_value",
        ),
        (
            {"model": "en-de", "messages": HELLO, "target": "pl"}, "`model` must be one",
            "model", "invalid_value",
        ),
        (
            {"model": "en-de", "messages": [{"role": "user", "content": "x" * 50}]},
            "`messages` must have at most 40 characters", "messages", "context_length_exceeded",
        ),
    ],
)  # fmt: skip
async def test_bad_requests_are_refused_in_its_form(
    body: dict[str, Any], message: str, param: str, code: str
) -> None:
    gateway = Gateway(*_gateway().backends, limits={"max_text_chars": 40})
    async with gateway.client() as client:
        answer = await client.post("/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert message in error.pop("message")
    assert error == {"type": "invalid_request_error", "param": param, "code": code}


async def test_its_client_tells_errors_apart() -> None:
    gateway = _gateway()
    async with _client(gateway) as client:
        with pytest.raises(openai.NotFoundError, match="`model` must be one") as unknown:
            await client.chat.completions.create(model="gpt-5", messages=HELLO)
        with pytest.raises(openai.NotFoundError) as unlisted:
            await client.models.retrieve("gpt-5")
        with pytest.raises(openai.BadRequestError) as empty:
            await client.chat.completions.create(model="en-de", messages=[])
        gateway.backend.fail_next(QueueFullError("full"), KeyError("x"))
        with pytest.raises(openai.InternalServerError) as full:
            await client.chat.completions.create(model="en-de", messages=HELLO)
        with pytest.raises(openai.InternalServerError) as broken:
            await client.chat.completions.create(model="en-de", messages=HELLO)
    assert _told(unknown) == ("invalid_request_error", "model", "model_not_found")
    assert _told(unlisted)[1:] == ("model", "model_not_found")
    assert _told(empty) == ("invalid_request_error", "messages", "invalid_value")
    assert _told(full) == ("service_unavailable_error", None, "server_is_overloaded")
    assert _told(broken) == ("server_error", None, None)
    assert full.value.request_id


async def test_its_client_tells_what_a_key_may(tmp_path: Path) -> None:
    gateway = Gateway(
        FakeBackend(), access={"keys": "required"}, store_url=new_database(None, tmp_path)
    )
    store = Store(gateway.settings)
    quotas = [Quota(requests_per_minute=1), Quota(characters_per_month=5), Quota()]
    secrets = []
    for number, quota in enumerate(quotas):
        scope = Scope.DOCUMENTS if number == 2 else Scope.TRANSLATE
        secrets.append((await store.keys.add(str(number), scopes=[scope], quota=quota))[1])
    await store.close()
    errors = []
    async with gateway.running_client():
        for secret in ("none", secrets[0], secrets[0], secrets[1], secrets[2]):
            async with _client(gateway, secret) as client:
                try:
                    await client.chat.completions.create(model="en-de", messages=HELLO)
                except openai.APIStatusError as error:
                    errors.append((type(error), error.type, error.code))
    assert errors == [
        (openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        (openai.RateLimitError, "requests", "rate_limit_exceeded"),
        (openai.RateLimitError, "insufficient_quota", "insufficient_quota"),
        (openai.PermissionDeniedError, "invalid_request_error", "missing_scope"),
    ]


def _told(
    caught: pytest.ExceptionInfo[openai.APIStatusError],
) -> tuple[str | None, str | None, str | None]:
    return caught.value.type, caught.value.param, caught.value.code
