"""DeepL's glossaries on the wire; its own client is in test_clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.text_options import GlossaryEntry
from tests.fakes import FakeBackend, Gateway
from tests.stores import new_database

NEW = {"name": "a", "source_lang": "EN", "target_lang": "DE", "entries": "cat\tKatze\ndog\tHund"}
NOBODYS = "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"


@asynccontextmanager
async def _client(folder: Path) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    gateway = Gateway(
        FakeBackend("a", (("en", "de"),)),
        FakeBackend("b", (("de", "en"),)),
        store_url=new_database(None, folder),
    )
    async with gateway.running_client() as client:
        yield gateway, client


@pytest.mark.parametrize(
    "kwargs",
    [
        {"json": NEW},
        {"json": NEW | {"entries_format": "tsv", "entries": "cat\tKatze\r\n\r\ndog \t Hund\n"}},
        {"json": NEW | {"entries_format": "csv", "entries": 'cat,"Katze"\ndog,Hund,en,de\n'}},
        {"data": NEW},
    ],
)
async def test_forms_of_the_same(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    async with _client(tmp_path) as (gateway, client):
        answer = await client.post("/v2/glossaries", **kwargs)
        assert answer.status_code == 201, answer.text
        glossary = answer.json()
        id = glossary["glossary_id"]
        assert glossary | {"glossary_id": "", "creation_time": ""} == {
            "glossary_id": "", "name": "a", "ready": True, "source_lang": "en", "target_lang": "de",
            "entry_count": 2, "creation_time": "",
        }  # fmt: skip
        entries = await client.get(f"/v2/glossaries/{id}/entries")
        assert entries.headers["content-type"] == "text/tab-separated-values; charset=utf-8"
        assert entries.text == "cat\tKatze\ndog\tHund"
        request = {"text": ["x"], "source_lang": "EN", "target_lang": "DE", "glossary_id": id}
        assert (await client.post("/v2/translate", json=request)).status_code == 200
        assert gateway.backend.calls[-1].text_options.glossary == (
            GlossaryEntry("cat", ("Katze",)), GlossaryEntry("dog", ("Hund",)),
        )  # fmt: skip


async def test_terms_that_differ_in_case_are_two(tmp_path: Path) -> None:
    async with _client(tmp_path) as (gateway, client):
        new = NEW | {"entries": "Polish\tPolnisch\npolish\tpolieren"}
        id = (await client.post("/v2/glossaries", json=new)).json()["glossary_id"]
        request = {"text": ["x"], "source_lang": "EN", "target_lang": "DE", "glossary_id": id}
        await client.post("/v2/translate", json=request)
        assert gateway.backend.calls[-1].text_options.glossary == (
            GlossaryEntry("Polish", ("Polnisch",), case_sensitive=True),
            GlossaryEntry("polish", ("polieren",), case_sensitive=True),
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "Value for 'name' not supported."),
        ({"name": ""}, "Value for 'name' not supported."),
        ({"source_lang": "x/y"}, "Value for 'source_lang' not supported."),
        ({"target_lang": 5}, "Value for 'target_lang' not supported."),
        ({"entries_format": "json"}, "Value for 'entries_format' not supported."),
        ({"entries": ""}, "Parameter 'entries' must have an entry."),
        ({"entries": "a\tb\na\tc"}, "Parameter 'entries' must have each term once."),
        ({"entries": "a"}, "a term and its translation in each line, but line 1 has not."),
        ({"entries": "a\tb\nc\t"}, "a term and its translation in each line, but line 2 has not."),
        ({"entries": 'a,"b', "entries_format": "csv"}, "must be CSV, but is not."),
        ({"entries": "a\tb\x00"}, "must not have the character U+0000"),
    ],
)
async def test_what_breaks_a_rule(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    async with _client(tmp_path) as (_, client):
        answer = await client.post("/v2/glossaries", json=NEW | change)
        assert (answer.status_code, list(answer.json())) == (400, ["message"])
        assert message in answer.json()["message"]
        assert (await client.get("/v3/glossaries")).json() == {"glossaries": []}


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        pair = "source_lang=en&target_lang=de"
        for method, path in (
            ("GET", f"/v2/glossaries/{NOBODYS}"),
            ("GET", f"/v2/glossaries/{NOBODYS}/entries"),
            ("DELETE", f"/v2/glossaries/{NOBODYS}"),
            ("GET", "/v2/glossaries/x"),
            ("GET", f"/v3/glossaries/{NOBODYS}"),
            ("DELETE", f"/v3/glossaries/{NOBODYS}"),
            ("GET", f"/v3/glossaries/{NOBODYS}/entries?{pair}"),
            ("DELETE", f"/v3/glossaries/{NOBODYS}/dictionaries?{pair}"),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, list(answer.json())) == (404, ["message"]), path
        answer = await client.get(f"/v3/glossaries/{NOBODYS}/entries")
        assert (answer.status_code, answer.json()) == (
            400, {"message": "Parameter 'source_lang' not specified."},
        )  # fmt: skip


async def test_a_glossary_of_several_pairs_is_none_of_version_2(tmp_path: Path) -> None:
    pairs = [
        {"source_lang": "en", "target_lang": "de", "entries": "cat\tKatze"},
        {"source_lang": "de", "target_lang": "en", "entries": "Katze\tcat"},
    ]
    async with _client(tmp_path) as (_, client):
        added = await client.post("/v3/glossaries", json={"name": "a", "dictionaries": pairs})
        assert added.status_code == 201
        id = added.json()["glossary_id"]
        assert (await client.get("/v2/glossaries")).json() == {"glossaries": []}
        assert (await client.get(f"/v2/glossaries/{id}")).status_code == 404
        # In the native API it is the same.
        native = (await client.get(f"/v1/glossaries/{id}")).json()
        assert [one["entries"] for one in native["contents"]] == [
            {"cat": "Katze"},
            {"Katze": "cat"},
        ]


async def test_dictionaries_keep_their_order(tmp_path: Path) -> None:
    pairs = [
        {"source_lang": "en", "target_lang": "de", "entries": "cat\tKatze"},
        {"source_lang": "de", "target_lang": "en", "entries": "Katze\tcat"},
    ]

    async def order(client: httpx.AsyncClient, id: str) -> list[str]:
        found = (await client.get(f"/v3/glossaries/{id}")).json()
        listed = (await client.get("/v3/glossaries")).json()["glossaries"]
        assert found == next(each for each in listed if each["glossary_id"] == id)
        return [one["source_lang"] for one in found["dictionaries"]]

    async with _client(tmp_path) as (_, client):
        for given in (pairs, pairs[::-1]):
            new = {"name": "a", "dictionaries": given}
            id = (await client.post("/v3/glossaries", json=new)).json()["glossary_id"]
            first, second = (one["source_lang"] for one in given)
            assert await order(client, id) == [first, second]
            path = f"/v3/glossaries/{id}/dictionaries"
            await client.put(path, json=given[0] | {"entries": "a\tb"})
            assert await order(client, id) == [first, second]
            query = {name: given[0][name] for name in ("source_lang", "target_lang")}
            assert (await client.delete(path, params=query)).status_code == 204
            await client.patch(f"/v3/glossaries/{id}", json={"dictionaries": given})
            assert await order(client, id) == [second, first]


async def test_several_glossaries_are_used_in_their_order(tmp_path: Path) -> None:
    async with _client(tmp_path) as (gateway, client):
        ids = []
        for entries in ("cat\tKatze\ndog\tHund", "cat\tMieze\ncow\tKuh"):
            answer = await client.post("/v2/glossaries", json=NEW | {"entries": entries})
            ids.append(answer.json()["glossary_id"])
        request = {"text": ["x"], "source_lang": "EN", "target_lang": "DE"}
        for kwargs in (
            {"json": request | {"glossary_ids": ids}},
            {"data": request | {"glossary_ids": ",".join(ids)}},
        ):
            assert (await client.post("/v2/translate", **kwargs)).status_code == 200
            terms = gateway.backend.calls[-1].text_options.glossary
            assert {entry.source: entry.targets for entry in terms} == {
                "cat": ("Katze",), "dog": ("Hund",), "cow": ("Kuh",),
            }  # fmt: skip


async def test_of_a_large_glossary_a_request_has_what_its_texts_have(tmp_path: Path) -> None:
    entries = "\n".join(f"Source-{number}\tTarget-{number}" for number in range(10_000))
    async with _client(tmp_path) as (gateway, client):
        added = await client.post("/v2/glossaries", json=NEW | {"entries": entries})
        assert (added.status_code, added.json()["entry_count"]) == (201, 10_000)
        id = added.json()["glossary_id"]
        assert (await client.get(f"/v2/glossaries/{id}/entries")).text == entries
        request = {"source_lang": "EN", "target_lang": "DE", "glossary_id": id}
        for more, text, found in (
            ({}, "Is source-77 here?", [77]),
            ({}, "Source-770 and Source-7.", [7, 770]),
            ({}, "Resource-77", []),
            ({"tag_handling": "html"}, "<p>Sour<b>ce&#45;77</b> <i>x</i></p>", [77]),
            ({"tag_handling": "xml"}, "<p>Source-7<a/>7</p>", [77]),
        ):
            body = request | more | {"text": [text]}
            assert (await client.post("/v2/translate", json=body)).status_code == 200
            terms = gateway.backend.calls[-1].text_options.glossary
            assert [entry.source for entry in terms] == [f"Source-{each}" for each in found]
        added = await client.post("/v2/glossaries", json=NEW | {"entries": entries + "\na\tb"})
        assert added.status_code == 400
        # In a request's own glossary there may be fewer, whatever the stored one has.
        own = {f"a{number}": "b" for number in range(1001)}
        native = {
            "text": "Source-7", "source": "en", "target": "de", "glossary_id": id, "glossary": own,
        }  # fmt: skip
        assert (await client.post("/v1/translate", json=native)).status_code == 422
        own.popitem()
        assert (await client.post("/v1/translate", json=native)).status_code == 200


async def test_many_terms_of_a_large_glossary_are_within_the_limit(tmp_path: Path) -> None:
    entries = "\n".join(f"s{number}\tt{number}" for number in range(1500))
    async with _client(tmp_path) as (gateway, client):
        added = await client.post("/v2/glossaries", json=NEW | {"entries": entries})
        text = " ".join(f"s{number}" for number in range(1500))
        body = {
            "source_lang": "EN", "target_lang": "DE", "text": [text],
            "glossary_id": added.json()["glossary_id"],
        }  # fmt: skip
        assert (await client.post("/v2/translate", json=body)).status_code == 200
        assert len(gateway.backend.calls[-1].text_options.glossary) == 1500


async def test_the_pairs_are_those_that_are_served(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        assert (await client.get("/v2/glossary-language-pairs")).json() == {
            "supported_languages": [
                {"source_lang": "de", "target_lang": "en"},
                {"source_lang": "en", "target_lang": "de"},
            ]
        }


async def test_only_languages_that_are_served(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        answer = await client.post("/v2/glossaries", json=NEW | {"target_lang": "XX"})
        expected = (400, {"message": "Value for 'target_lang' not supported."})
        assert (answer.status_code, answer.json()) == expected
        one = {"source_lang": "XX", "target_lang": "DE", "entries": "cat\tKatze"}
        answer = await client.post("/v3/glossaries", json={"name": "a", "dictionaries": [one]})
        expected = (400, {"message": "Value for 'source_lang' not supported."})
        assert (answer.status_code, answer.json()) == expected
