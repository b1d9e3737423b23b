"""Keys, scopes, rates and quotas, in the form of each API."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from model.errors import DeadlineExceededError
from service.gateway import usage as usage_module
from service.gateway.access import AccessControl
from service.gateway.admin_token import AdminToken
from service.gateway.request_context import RequestContext
from service.settings import Quota, Settings
from service.store.records import Count, Scope
from service.store.usage import month_of
from tests.fakes import Connection, Gateway, until
from tests.stores import new_database, store_of

NATIVE = ("/v1/translate", {"text": "Hello", "source": "en", "target": "de"})
LIBRETRANSLATE = ("/translate", {"q": "Hello", "source": "en", "target": "de"})
DEEPL = ("/v2/translate", {"text": ["Hello"], "target_lang": "DE"})
CONTRACTS = pytest.mark.parametrize(
    ("path", "body"), [NATIVE, LIBRETRANSLATE, DEEPL], ids=["native", "libretranslate", "deepl"]
)
OPEN = [
    "/", "/languages", "/frontend/settings", "/spec", "/health", "/ready", "/metrics", "/docs",
    "/openapi.json",
]  # fmt: skip
CLOSED = [
    "/v1/models", "/v1/models/en-de", "/v1/glossaries", "/v1/documents", "/v2/languages",
    "/v2/usage", "/v2/glossaries", "/v3/glossaries", "/v2/glossary-language-pairs",
]  # fmt: skip


class _Service:
    """A gateway and its store."""

    def __init__(self, folder: Path, **access: Any) -> None:
        self.url = new_database(None, folder)
        self.folder = folder
        quick = {"refresh_seconds": 0.1, "flush_seconds": 0.05}
        self.settings: dict[str, Any] = {
            "store_url": self.url, "access": quick | {"keys": "required"} | access,
        }  # fmt: skip
        self.gateway = Gateway(**self.settings)

    async def add_key(self, name: str = "alice", **options: Any) -> str:
        store = store_of(self.url, self.folder)
        _, shown = await store.keys.add(name, **options)
        await store.close()
        return shown

    async def revoke(self, name: str = "alice") -> None:
        store = store_of(self.url, self.folder)
        await store.keys.revoke(name)
        await store.close()

    async def used(self, name: str = "alice") -> Count:
        store = store_of(self.url, self.folder)
        [id] = [key.id for key in await store.keys.all() if key.name == name]
        found = await store.usage.of_month(month_of(time.time()), [id])
        await store.close()
        return found.get(id, Count())

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self.gateway.running_client() as client:
            yield client


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _message(answer: httpx.Response) -> str:
    body = answer.json()
    message: str = body["error"]["message"] if "request_id" in body else next(iter(body.values()))
    return message


@CONTRACTS
async def test_keys_are_off_unless_asked_for(path: str, body: Any) -> None:
    async with Gateway().running_client() as client:
        for headers in ({}, _bearer("any"), {"Authorization": "DeepL-Auth-Key any"}):
            answer = await client.post(path, json=body, headers=headers)
            assert answer.status_code == 200


async def test_who_has_a_key_is_let_in(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    key = await service.add_key()
    path, body = LIBRETRANSLATE
    async with service.client() as client:
        for headers in (_bearer(key), {"Authorization": f"DeepL-Auth-Key {key}"}):
            for contract, its_body in (NATIVE, LIBRETRANSLATE, DEEPL):
                answer = await client.post(contract, json=its_body, headers=headers)
                assert answer.status_code == 200, answer.text
        for kwargs in (
            {"json": body | {"api_key": key}},
            {"json": body | {"apiKey": key}},
            {"data": body | {"api_key": key}},
            {"json": body | {"api_key": "wrong"}, "headers": _bearer(key)},
        ):
            assert (await client.post(path, **kwargs)).status_code == 200
        form = await client.post(path, params=body | {"api_key": key})
        assert form.status_code == 200
        detected = await client.post("/detect", data={"q": "Hello", "api_key": key})
        assert detected.status_code == 200
        for get in CLOSED:
            assert (await client.get(get, headers=_bearer(key))).status_code == 200, get


@pytest.mark.parametrize("given", [None, "wrong", "ph_000000000000_" + "a" * 43])
async def test_nobody_else_is(tmp_path: Path, given: str | None) -> None:
    service = _Service(tmp_path)
    await service.add_key()
    headers = {} if given is None else _bearer(given)
    fields = {} if given is None else {"api_key": given}
    async with service.client() as client:
        native, deepl = [
            await client.post(path, json=body, headers=headers) for path, body in (NATIVE, DEEPL)
        ]
        libretranslate = await client.post("/translate", json=LIBRETRANSLATE[1] | fields)
    assert service.gateway.backend.calls == []
    kind = "missing_api_key" if given is None else "invalid_api_key"
    assert (native.status_code, native.json()["error"]["type"]) == (401, kind)
    assert native.headers["www-authenticate"] == "Bearer"
    assert (deepl.status_code, list(deepl.json())) == (403, ["message"])
    expected = (
        (400, "Please contact the server operator to get an API key")
        if given is None
        else (403, "Invalid API key")
    )
    assert (libretranslate.status_code, libretranslate.json()["error"]) == expected
    assert service.gateway.count("polyhead_http_requests_refused_total", reason=kind) == 3


async def test_a_body_is_not_looked_at_without_a_key(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    async with service.client() as client:
        answer = await client.post("/v1/translate", json={"field": 1})
        assert answer.status_code == 401
        for path in CLOSED:
            assert (await client.get(path)).status_code in (401, 403), path
            assert (await client.options(path)).status_code == 200
        for path in OPEN:
            assert (await client.get(path)).status_code == 200, path
        description = (await client.get("/openapi.json")).json()
        about = (await client.get("/frontend/settings")).json()
    assert description["paths"]["/v1/translate"]["post"]["security"] == [{"key": []}]
    assert "security" not in description["paths"]["/languages"]["get"]
    assert (about["apiKeys"], about["keyRequired"]) == (True, True)


async def test_keys_may_be_optional(tmp_path: Path) -> None:
    service = _Service(tmp_path, keys="optional")
    key = await service.add_key()
    async with service.client() as client:
        for path, body in (NATIVE, LIBRETRANSLATE, DEEPL):
            assert (await client.post(path, json=body)).status_code == 200
            right = await client.post(path, json=body, headers=_bearer(key))
            assert right.status_code == 200
            wrong = await client.post(path, json=body, headers=_bearer("wrong"))
            assert wrong.status_code in (401, 403)
        stored = await client.get("/v1/glossaries")
        assert (stored.status_code, stored.json()["error"]["type"]) == (403, "forbidden")
        about = (await client.get("/frontend/settings")).json()
    assert (about["apiKeys"], about["keyRequired"]) == (True, False)


async def test_a_scope_is_all_that_a_key_is_good_for(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    documents = await service.add_key("documents", scopes=[Scope.DOCUMENTS])
    translate = await service.add_key("translate", scopes=[Scope.TRANSLATE])
    admin = await service.add_key("admin", scopes=[Scope.ADMIN])
    change = {"model": "/models/news"}
    async with service.client() as client:
        for path, body in (NATIVE, LIBRETRANSLATE, DEEPL):
            refused = await client.post(path, json=body, headers=_bearer(documents))
            assert (refused.status_code, _message(refused)) == (
                403, "the API key must have the scope translate, but has not",
            )  # fmt: skip
            allowed = await client.post(path, json=body, headers=_bearer(admin))
            assert allowed.status_code == 200
        for key, status in ((translate, 403), (documents, 403), ("wrong", 401), (admin, 202)):
            answer = await client.post("/v1/models", json=change, headers=_bearer(key))
            assert answer.status_code == status
    assert len(service.gateway.changes.submitted) == 1


async def test_the_operators_token_is_good_for_all_of_it(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    service.gateway = Gateway(**service.settings, admin_token="secret")
    async with service.client() as client:
        for path in ("/v1/models", "/v1/models/en-de"):
            assert (await client.get(path, headers=_bearer("secret"))).status_code == 200
        answer = await client.delete("/v1/models/en-de", headers=_bearer("secret"))
        assert answer.status_code == 202
        answer = await client.delete("/v1/models/en-de")
        assert answer.status_code == 401


async def test_keys_are_known_and_revoked_within_seconds(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    path, body = NATIVE
    async with service.client() as client:
        key = await service.add_key()

        async def status() -> int:
            return (await client.post(path, json=body, headers=_bearer(key))).status_code

        async def wait_for(wanted: int) -> None:
            async with asyncio.timeout(60):
                while await status() != wanted:
                    await asyncio.sleep(0.01)

        await wait_for(200)
        await service.revoke()
        await wait_for(401)
        assert await status() == 401


async def test_clients_of_keys_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    store = store_of(new_database(None, tmp_path), tmp_path)
    settings = Settings(access={"keys": "required"})
    gateway = Gateway()
    access = AccessControl(settings, store, AdminToken(""), gateway.metrics)
    for number in range(5):
        name = f"key{number}"
        _, key = await store.keys.add(name)
        await access._keys.refresh()
        scope: Any = {"headers": [(b"authorization", f"Bearer {key}".encode())]}
        RequestContext(request_id=name, route="/v1/translate").attach(scope)
        await access.admit(scope, Scope.TRANSLATE)
        await store.keys.revoke(name)
    assert len(access._callers) <= 2
    await store.close()


async def test_a_key_that_expires_is_refused_at_once(tmp_path: Path) -> None:
    service = _Service(tmp_path, refresh_seconds=300)
    key = await service.add_key(expires_at=int(time.time()) + 3600)
    async with service.client() as client:
        path, body = NATIVE
        assert (await client.post(path, json=body, headers=_bearer(key))).status_code == 200
        with pytest.MonkeyPatch.context() as patch:
            later = time.time() + 3601
            patch.setattr(time, "time", lambda: later)
            answer = await client.post(path, json=body, headers=_bearer(key))
        assert answer.status_code == 401


@CONTRACTS
async def test_so_many_requests_in_a_minute(tmp_path: Path, path: str, body: Any) -> None:
    service = _Service(tmp_path, per_key={"requests_per_minute": 3})
    one, more = await service.add_key("one"), await service.add_key("more")
    own = await service.add_key("own", quota=Quota(requests_per_minute=1))
    async with service.client() as client:
        for key, limit in ((one, 3), (more, 3), (own, 1)):
            answers = [
                await client.post(path, json=body, headers=_bearer(key)) for _ in range(limit + 1)
            ]
            assert [each.status_code for each in answers] == [200] * limit + [429]
            assert _message(answers[-1]) == f"Slowdown: {limit} per 1 minute"
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 120
    count = service.gateway.count("polyhead_http_requests_refused_total", reason="rate_limited")
    assert count == 3


@CONTRACTS
async def test_so_many_characters_in_a_minute(tmp_path: Path, path: str, body: Any) -> None:
    service = _Service(tmp_path, per_key={"characters_per_minute": 12})
    key = await service.add_key()
    async with service.client() as client:
        answers = [await client.post(path, json=body, headers=_bearer(key)) for _ in range(3)]
        assert [each.status_code for each in answers] == [200, 200, 429]
        assert _message(answers[-1]) == "Slowdown: 12 characters per 1 minute"
        assert int(answers[-1].headers["retry-after"]) >= 1
        long = {"text": "x" * 13, "source": "en", "target": "de"}
        never = await client.post("/v1/translate", json=long, headers=_bearer(key))
        assert never.status_code == 422
        assert "at most 12 characters in all, as many as this client" in _message(never)


@CONTRACTS
async def test_so_many_characters_in_a_month(tmp_path: Path, path: str, body: Any) -> None:
    service = _Service(tmp_path)
    key = await service.add_key(quota=Quota(characters_per_month=12))
    async with service.client() as client:
        answers = [await client.post(path, json=body, headers=_bearer(key)) for _ in range(3)]
        usage = (await client.get("/v2/usage", headers=_bearer(key))).json()
    status = 456 if path == "/v2/translate" else 429
    assert [each.status_code for each in answers] == [200, 200, status]
    assert _message(answers[-1]).startswith("Quota exceeded: 10 of 12 characters per month")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 31 * 86_400
    assert usage == {"character_count": 10, "character_limit": 12}
    assert await service.used() == Count(2, 10)
    # Another gateway, or the next one, knows it.
    service.gateway = Gateway(**service.settings)
    async with service.client() as client:
        answer = await client.post(path, json=body, headers=_bearer(key))
    assert answer.status_code == status


async def test_what_fails_does_not_count_in_the_month(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    key = await service.add_key()
    path, body = NATIVE
    service.gateway.backend.fail_next(KeyError("x"))
    async with service.client() as client:
        statuses = [
            (await client.post(path, json=each, headers=_bearer(key))).status_code
            for each in (body, body | {"target": "fr"}, body)
        ]
        assert statuses == [500, 422, 200]
    assert await service.used() == Count(1, 5)
    assert service.gateway.count("polyhead_characters_total") == 5


async def test_what_fails_after_the_month_does_not_count_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = ["2026-11"]
    monkeypatch.setattr(usage_module, "_month_of", lambda _: months[0])
    service = _Service(tmp_path)
    key = await service.add_key(quota=Quota(characters_per_month=100))
    path, body = NATIVE
    async with service.client() as client:
        held = service.gateway.backend.hold_next()
        asking = asyncio.create_task(client.post(path, json=body, headers=_bearer(key)))
        await until(lambda: service.gateway.backend.num_active == 1)
        months[0] = "2026-12"
        asking.cancel()
        await asyncio.wait({asking})
        held.set()
        usage = (await client.get("/v2/usage", headers=_bearer(key))).json()
    assert usage["character_count"] == 0
    store = store_of(service.url, tmp_path)
    [id] = [each.id for each in await store.keys.all()]
    assert (await store.usage.of_month("2026-11", [id])).get(id, Count()) == Count()
    assert await store.usage.of_month("2026-12", [id]) == {}
    await store.close()


@pytest.mark.parametrize("error", [DeadlineExceededError("late"), None], ids=["fails", "leaves"])
async def test_a_stream_that_ends_early_counts_what_had_begun(
    tmp_path: Path, error: Exception | None
) -> None:
    service = _Service(tmp_path)
    key = await service.add_key()
    backend = service.gateway.backend
    backend.after_first_delta = error or asyncio.Event()
    body = {"texts": ["Hello you", "not any more"], "source": "en", "target": "de", "stream": True}
    async with service.client():
        connection = Connection(headers={"authorization": f"Bearer {key}"})
        connection.body(json.dumps(body).encode())
        answered = connection.start(service.gateway.app)
        await until(lambda: any(one.get("body") for one in connection.sent))
        if error is None:
            connection.disconnect()
        await answered
        backend.after_first_delta = None
        backend.fail_next(DeadlineExceededError("late"))
        connection = Connection(headers={"authorization": f"Bearer {key}"})
        connection.body(json.dumps(body).encode())
        await connection.start(service.gateway.app)
        assert connection.status == 504
    assert await service.used() == Count(1, len("Hello you"))


async def test_a_whole_stream_counts_once(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    key = await service.add_key()
    chat = {"model": "en-de", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    deeplx = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
    async with service.client() as client:
        for path, body in (
            (NATIVE[0], NATIVE[1] | {"stream": True}), ("/v1/chat/completions", chat),
            ("/translate", deeplx), ("/translate", deeplx | {"api_key": key}),
        ):  # fmt: skip
            headers = {} if "api_key" in body else _bearer(key)
            answer = await client.post(path, json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            refused = await client.post(path, json={**body, "api_key": "wrong"})
            assert refused.status_code in (401, 403)
            assert refused.headers["content-type"].startswith("application/json")
    assert await service.used() == Count(4, 20)


async def test_openais_client_understands_what_is_refused(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    month = await service.add_key("month", quota=Quota(characters_per_month=3))
    minute = await service.add_key("minute", quota=Quota(requests_per_minute=1))
    messages: Any = [{"role": "user", "content": "Hello"}]
    async with service.client() as http:
        client = openai.AsyncOpenAI(
            base_url="http://gateway/v1", api_key="wrong", http_client=http, max_retries=0
        )
        for key, error, said in (
            ("wrong", openai.AuthenticationError, "must be one of this service"),
            (month, openai.RateLimitError, "Quota exceeded"),
            (minute, openai.RateLimitError, "Slowdown: 1 per 1 minute"),
        ):
            asking = client.with_options(api_key=key).chat.completions
            if key == minute:
                await asking.create(model="en-de", messages=messages)
            with pytest.raises(error, match=said) as caught:
                await asking.create(model="en-de", messages=messages, stream=True)
            assert caught.value.response.headers["content-type"].startswith("application/json")


async def test_no_count_is_lost_or_doubled(tmp_path: Path) -> None:
    service = _Service(tmp_path)
    keys = [await service.add_key(name) for name in ("alice", "bob")]
    path, body = NATIVE
    async with service.client() as client:
        for number in range(40):
            answer = await client.post(path, json=body, headers=_bearer(keys[number % 2]))
            assert answer.status_code == 200
    for name in ("alice", "bob"):
        assert await service.used(name) == Count(20, 100)


async def test_addresses_have_limits_of_their_own(tmp_path: Path) -> None:
    limits = {"requests_per_minute": 2, "characters_per_month": 14}
    service = _Service(tmp_path, keys="off", per_address=limits, trusted_proxies=["10.0.0.0/8"])
    path, body = NATIVE

    async def statuses(client: httpx.AsyncClient, address: str, count: int) -> list[int]:
        headers = {"x-polyhead-address": "10.0.0.1", "x-forwarded-for": address}
        return [
            (await client.post(path, json=body, headers=headers)).status_code for _ in range(count)
        ]

    async with service.client() as client:
        assert await statuses(client, "192.0.2.1", 3) == [200, 200, 429]
        assert await statuses(client, "192.0.2.2", 1) == [200]
        assert await statuses(client, "2001:db8::1", 1) == [200]
        assert await statuses(client, "2001:db8::2", 2) == [200, 429]
        headers = {"x-polyhead-address": "192.0.2.1"}
        usage = (await client.get("/v2/usage", headers=headers)).json()
        assert usage == {"message": "Slowdown: 2 per 1 minute"}
    store = store_of(service.url, tmp_path)
    found = await store.usage.of_month(month_of(time.time()), ["@192.0.2.1", "@2001:db8::/64"])
    assert found == {"@192.0.2.1": Count(2, 10), "@2001:db8::/64": Count(2, 10)}
    await store.close()
    service.gateway = Gateway(**service.settings)
    async with service.client() as client:
        assert await statuses(client, "192.0.2.1", 1) == [200]  # nobody has asked for it yet


async def test_without_the_store_known_keys_are_taken_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = _Service(tmp_path, stale_seconds=300)
    key = await service.add_key()
    path, body = NATIVE
    async with service.client() as client:
        (tmp_path / "data").rename(tmp_path / "away")
        assert (await client.post(path, json=body, headers=_bearer(key))).status_code == 200
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 301)
        answer = await client.post(path, json=body, headers=_bearer(key))
        monkeypatch.undo()
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "5"
        (tmp_path / "away").rename(tmp_path / "data")


async def test_a_store_that_is_not_there_lets_nobody_in() -> None:
    gateway = Gateway(
        store_url="postgresql://a:b@127.0.0.1:1/c",
        access={"keys": "required", "flush_seconds": 0.1},
    )
    async with gateway.running_client() as client:
        path, body = NATIVE
        assert (await client.post(path, json=body, headers=_bearer("any"))).status_code == 503
        assert (await client.post(path, json=body)).status_code == 401
        assert (await client.get("/health")).status_code == 200


async def test_no_key_or_address_is_in_a_metric(tmp_path: Path) -> None:
    service = _Service(tmp_path, per_address={"requests_per_minute": 1}, keys="optional")
    key = await service.add_key("mallory")
    path, body = NATIVE
    async with service.client() as client:
        for headers in (_bearer(key), _bearer("wrong"), {"x-polyhead-address": "192.0.2.9"}):
            for _ in range(2):
                await client.post(path, json=body, headers=headers)
    text = repr([metric.samples for metric in service.gateway.metrics.registry.collect()])
    for secret in ("mallory", key, key.split("_")[1], "192.0.2.9"):
        assert secret not in text
