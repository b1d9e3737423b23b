"""Stored glossaries in the native API: stored, listed, used, deleted; and each key has its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.text_options import GlossaryEntry
from tests.fakes import FakeBackend, Gateway
from tests.stores import new_database, store_of

ENTRIES = {
    "cat": "Katze",
    "dog": ["Hund", "Köter"],
    "AIDS": {"forms": ["AIDS"], "case_sensitive": True},
}
DICTIONARY = {"source": "en", "target": "de", "entries": ENTRIES}
NEW = {"name": "Tiere", "dictionaries": [DICTIONARY]}
TEXT = {"text": "Hello", "source": "en", "target": "de"}
STORED = (
    GlossaryEntry("cat", ("Katze",)),
    GlossaryEntry("dog", ("Hund", "Köter")),
    GlossaryEntry("AIDS", ("AIDS",), case_sensitive=True),
)
NOBODYS = "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"


def _gateway(folder: Path, **settings: Any) -> Gateway:
    backends = FakeBackend("a", (("en", "de"),)), FakeBackend("b", (("de", "en"),))
    return Gateway(*backends, store_url=new_database(None, folder), **settings)


@asynccontextmanager
async def _client(
    folder: Path, **settings: Any
) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    gateway = _gateway(folder, **settings)
    async with gateway.running_client() as client:
        yield gateway, client


async def test_a_glossary_is_stored_listed_and_deleted(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        added = await client.post("/v1/glossaries", json=NEW)
        assert added.status_code == 201
        glossary = added.json()
        assert glossary["name"] == "Tiere"
        assert glossary["dictionaries"] == [{"source": "en", "target": "de", "num_entries": 3}]
        path = f"/v1/glossaries/{glossary['id']}"
        assert (await client.get("/v1/glossaries")).json() == {"glossaries": [glossary]}
        details = (await client.get(path)).json()
        assert details == glossary | {"contents": [DICTIONARY]}
        deleted = await client.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert (await client.get("/v1/glossaries")).json() == {"glossaries": []}
        for answer in (await client.get(path), await client.delete(path)):
            assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


async def test_requests_use_its_terms(tmp_path: Path) -> None:
    async with _client(tmp_path) as (gateway, client):
        id = (await client.post("/v1/glossaries", json=NEW)).json()["id"]

        async def terms(**more: Any) -> tuple[GlossaryEntry, ...]:
            answer = await client.post("/v1/translate", json=TEXT | {"glossary_id": id} | more)
            assert answer.status_code == 200, answer.text
            return gateway.backend.calls[-1].text_options.glossary

        assert await terms() == STORED
        assert await terms(source="en-US", target="DE-at") == STORED
        # The request's own take their place.
        cow = GlossaryEntry("cow", ("Kuh",))
        own = GlossaryEntry("CAT", ("Mieze",))
        assert await terms(glossary={"CAT": "Mieze", "cow": "Kuh"}) == (own, *STORED[1:], cow)
        # And those of other requests are not changed.
        assert await terms() == STORED


async def test_what_is_deleted_is_used_no_more(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        id = (await client.post("/v1/glossaries", json=NEW)).json()["id"]
        request = TEXT | {"glossary_id": id}
        assert (await client.post("/v1/translate", json=request)).status_code == 200
        await client.delete(f"/v1/glossaries/{id}")
        assert (await client.post("/v1/translate", json=request)).status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"glossary_id": NOBODYS}, 404, "glossary_id"),
        ({"glossary_id": "x\0"}, 404, "glossary_id"),
        ({"glossary_id": ""}, 422, "glossary_id"),
        ({"source": None}, 422, "source"),
        ({"source": "de", "target": "en"}, 422, "glossary_id"),
    ],
)
async def test_a_request_that_cannot_use_one(
    tmp_path: Path, change: dict[str, Any], status: int, field: str
) -> None:
    async with _client(tmp_path) as (gateway, client):
        id = (await client.post("/v1/glossaries", json=NEW)).json()["id"]
        answer = await client.post("/v1/translate", json=TEXT | {"glossary_id": id} | change)
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)
        assert gateway.backend.calls == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a\0"},
        {"name": None},
        {"dictionaries": []},
        {"dictionaries": [DICTIONARY, DICTIONARY]},
        {"dictionaries": [DICTIONARY | {"source": "a/b"}]},
        {"dictionaries": [DICTIONARY | {"entries": {}}]},
        {"dictionaries": [DICTIONARY | {"entries": {"a": ""}}]},
        {"dictionaries": [DICTIONARY | {"entries": {"a": "b\nc"}}]},
        {"dictionaries": [DICTIONARY | {"entries": {"a": "b", "A": "c"}}]},
        {"dictionaries": [DICTIONARY | {"entries": {str(n): "a" for n in range(6)}}]},
        {"more": 1},
    ],
)
async def test_what_breaks_a_rule_is_not_stored(tmp_path: Path, change: dict[str, Any]) -> None:
    async with _client(tmp_path, limits={"max_stored_glossary_entries": 5}) as (_, client):
        answer = await client.post("/v1/glossaries", json=NEW | change)
        assert answer.status_code == 422, answer.text
        assert (await client.get("/v1/glossaries")).json() == {"glossaries": []}


async def test_there_are_so_many_at_most(tmp_path: Path) -> None:
    async with _client(tmp_path, max_glossaries=2) as (_, client):
        statuses = [(await client.post("/v1/glossaries", json=NEW)).status_code for _ in range(3)]
        assert statuses == [201, 201, 422]


async def test_each_key_has_its_own(tmp_path: Path) -> None:
    gateway = _gateway(tmp_path, access={"keys": "required"})
    store = store_of(new_database(None, tmp_path), tmp_path)
    alice, bob = [
        {"Authorization": f"Bearer {(await store.keys.add(name))[1]}"} for name in ("alice", "bob")
    ]
    await store.close()
    async with gateway.running_client() as client:
        id = (await client.post("/v1/glossaries", json=NEW, headers=alice)).json()["id"]
        assert (await client.get("/v1/glossaries", headers=bob)).json() == {"glossaries": []}
        for method in ("GET", "DELETE"):
            answer = await client.request(method, f"/v1/glossaries/{id}", headers=bob)
            assert answer.status_code == 404
        for headers, status in ((bob, 404), (alice, 200)):
            answer = await client.post(
                "/v1/translate", json=TEXT | {"glossary_id": id}, headers=headers
            )
            assert answer.status_code == status


async def test_without_a_store_all_else_works() -> None:
    async with Gateway().running_client() as client:
        answer = await client.get("/v1/glossaries")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "store_unavailable")
        assert (await client.post("/v1/translate", json=TEXT)).status_code == 200
