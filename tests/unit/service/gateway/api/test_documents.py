"""Documents over HTTP: taken in, translated in the background, fetched, deleted; in three forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.errors import InvalidRequestError
from service.jobs import jobs
from service.settings import Quota
from service.store.records import Scope
from service.store.store import Store
from tests.document_reader import ReaderHere
from tests.fakes import FakeBackend, Gateway
from tests.office_files import docx_file
from tests.stores import new_database

TEXT = b"The cat sleeps.\n\nThe dog barks.\n"
TRANSLATED = b"de:The cat sleeps.\n\nThe dog barks.\n"
UNKNOWN = "96ab91fd-e715-41a1-adeb-5d701f84a483"
PAIR = {"source": "en", "target": "de"}


@pytest.fixture
def reader_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each document would be read and written by a Python of its own, three times."""
    monkeypatch.setattr(jobs, "DocumentProcess", ReaderHere)


here = pytest.mark.usefixtures("reader_here")


def gateway_of(folder: Path, **settings: Any) -> Gateway:
    backends = FakeBackend("a", (("en", "de"),)), FakeBackend("b", (("de", "en"),))
    places: dict[str, Any] = {
        "store_url": new_database(None, folder),
        "blobs_url": str(folder / "blobs"),
    }
    return Gateway(*backends, **places, **settings)


@asynccontextmanager
async def _client(
    folder: Path, **settings: Any
) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    gateway = gateway_of(folder, **settings)
    async with gateway.running_client() as client:
        yield gateway, client


def _file(content: bytes = TEXT, name: str = "cats.txt") -> dict[str, tuple[str, bytes]]:
    return {"file": (name, content)}


async def sent(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/documents", files=_file(), data=PAIR | fields)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ended(client: httpx.AsyncClient, id: str, seconds: float = 60.0) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/documents/{id}")).json()
            if found["state"] in ("done", "failed"):
                return found
            await asyncio.sleep(0.05)


async def test_a_document_is_translated_fetched_and_deleted(tmp_path: Path) -> None:
    async with _client(tmp_path) as (gateway, client):
        answer = await client.post("/v1/documents", files=_file(), data=PAIR)
        document = answer.json()
        path = f"/v1/documents/{document['id']}"
        assert (answer.status_code, answer.headers["location"]) == (202, path)
        done = await ended(client, document["id"])
        assert (done["state"], done["progress"], done["problem"]) == ("done", 1.0, None)
        assert done["result_name"] == "cats.de.txt"
        assert done["characters"] == len("The cat sleeps.") + len("The dog barks.")
        for _ in range(2):
            result = await client.get(f"{path}/result")
            assert (result.status_code, result.content) == (200, TRANSLATED)
        assert result.headers["content-type"].startswith("text/plain")
        assert "attachment" in result.headers["content-disposition"]
        assert {call.priority for call in gateway.backend.calls} == {"batch"}
        deleted = await client.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        for gone in (
            await client.get(path),
            await client.get(f"{path}/result"),
            await client.delete(path),
        ):
            assert (gone.status_code, gone.json()["error"]["type"]) == (404, "not_found")
        assert not list((tmp_path / "blobs").iterdir())


@pytest.mark.parametrize(
    ("name", "content", "limits", "problem"),
    [
        ("bomb.docx", lambda: docx_file(" " * (16 * 2**20)), {}, "`max_growth`"),
        ("slow.json", lambda: b"[%b1]" % (b"[]," * 2_000_000), {"max_seconds": 1}, "within 1 s"),
        ("big.xlf", lambda: b"<a>%b</a>" % (b"<b/>" * 2_000_000), {"max_memory_mib": 256}, "MiB"),
    ],
    ids=["bomb", "time", "memory"],
)
async def test_a_file_harms_only_who_reads_it(
    tmp_path: Path,
    name: str,
    content: Callable[[], bytes],
    limits: dict[str, int],
    problem: str,
) -> None:
    async with _client(tmp_path, documents=limits) as (_, client):
        answer = await client.post("/v1/documents", files=_file(content(), name), data=PAIR)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (413, "document_too_large"), error
        assert problem in error["message"]
        assert (await client.get("/health")).status_code == 200


@here
async def test_the_language_is_found(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        files = _file(b"This is an English text about the weather in London.\n")
        answer = await client.post("/v1/documents", files=files, data={"target": "de"})
        assert (answer.status_code, answer.json()["source"]) == (202, "en")
        answer = await client.post("/v1/documents", files=files, data={"target": "en"})
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "target")


@here
@pytest.mark.parametrize(
    ("name", "content", "fields", "status", "kind"),
    [
        ("cats.exe", TEXT, PAIR, 415, "unsupported_document"),
        ("cats", TEXT, PAIR, 415, "unsupported_document"),
        ("cats.docx", TEXT, PAIR, 422, "invalid_document"),
        ("cats.txt", TEXT, {"source": "en"}, 422, "invalid_request"),
        ("cats.txt", TEXT, {"source": "en", "target": "fr"}, 422, "unsupported_language"),
        ("cats.txt", TEXT, PAIR | {"retranslate": "perhaps"}, 422, "invalid_request"),
        ("cats.txt", TEXT, {"source": "en", "target": "d" * 99}, 422, "invalid_request"),
        ("cats.txt", b"word " * 300, PAIR, 413, "document_too_large"),
    ],
)
async def test_what_is_refused(
    tmp_path: Path, name: str, content: bytes, fields: dict[str, str], status: int, kind: str
) -> None:
    async with _client(tmp_path, documents={"max_characters": 1000}) as (_, client):
        answer = await client.post("/v1/documents", files=_file(content, name), data=fields)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind), answer.text
        answer = await client.post("/v1/documents", json=PAIR)
        assert answer.status_code == 415
        answer = await client.post("/v1/documents", files={"other": TEXT}, data=PAIR)
        assert answer.status_code in (400, 422)
        assert not (tmp_path / "blobs").exists()


@here
async def test_a_name_of_other_letters_goes_there_and_back(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        files = _file(name="../Übersicht für März.txt")
        document = (await client.post("/v1/documents", files=files, data=PAIR)).json()
        assert document["name"] == "Übersicht für März.txt"
        await ended(client, document["id"])
        result = await client.get(f"/v1/documents/{document['id']}/result")
        assert result.headers["content-disposition"] == (
            'attachment; filename="_bersicht f_r M_rz.de.txt"; '
            "filename*=UTF-8''%C3%9Cbersicht%20f%C3%BCr%20M%C3%A4rz.de.txt"
        )


@here
@pytest.mark.parametrize(
    "said",
    [
        b"filename*=UTF-8''%C3%9Cbersicht.txt",
        b"filename=\"x.txt\"; filename*=utf-8'de'%C3%9Cbersicht.txt",
    ],
)
async def test_a_name_may_be_encoded(tmp_path: Path, said: bytes) -> None:
    async with _client(tmp_path, documents={"at_a_time": 0}) as (_, client):
        part = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        fields = (b"source", b"", b"en"), (b"target", b"", b"de"), (b"file", b"; " + said, TEXT)
        body = b"".join(part % field for field in fields) + b"--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post("/v1/documents", content=body, headers=headers)
        assert (answer.status_code, answer.json()["name"]) == (202, "Übersicht.txt"), answer.text


@here
async def test_only_its_key_sees_a_document(tmp_path: Path) -> None:
    gateway = gateway_of(tmp_path, access={"keys": "required"})
    store = Store(gateway.settings)
    headers = []
    for name, scope in (("one", "documents"), ("two", "documents"), ("three", "translate")):
        _, secret = await store.keys.add(name, scopes=[Scope(scope)])
        headers.append({"Authorization": f"Bearer {secret}"})
    await store.close()
    async with gateway.running_client() as client:
        one, two, three = headers
        answer = await client.post("/v1/documents", files=_file(), data=PAIR)
        assert answer.status_code == 401
        answer = await client.post("/v1/documents", files=_file(), data=PAIR, headers=three)
        assert answer.status_code == 403
        answer = await client.post("/v1/documents", files=_file(), data=PAIR, headers=one)
        path = f"/v1/documents/{answer.json()['id']}"
        assert (await client.get(path, headers=two)).status_code == 404
        assert (await client.get(path, headers=one)).status_code == 200
        usage = (await client.get("/v2/usage", headers=three)).json()
        assert usage["character_count"] == 0
        # Nor is there a glossary of another client, as each API says it of a document.
        data = PAIR | {"glossary_id": UNKNOWN}
        answer = await client.post("/v1/documents", files=_file(), data=data, headers=one)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")
        data = {"source_lang": "EN", "target_lang": "DE"}
        for name in ("glossary_id", "glossary_ids"):
            answer = await client.post(
                "/v2/document", files=_file(), data=data | {name: UNKNOWN}, headers=one
            )
            assert answer.status_code == 400
            assert answer.json() == {"message": f"Value for '{name}' not supported."}


@here
async def test_a_key_has_its_documents_listed(tmp_path: Path) -> None:
    gateway = gateway_of(tmp_path, access={"keys": "optional"}, documents={"at_a_time": 0})
    store = Store(gateway.settings)
    one, two = [
        {"Authorization": f"Bearer {(await store.keys.add(name))[1]}"} for name in ("one", "two")
    ]
    await store.close()
    async with gateway.running_client() as client:
        ids = []
        for _ in range(3):
            answer = await client.post("/v1/documents", files=_file(), data=PAIR, headers=one)
            ids.append(answer.json()["id"])
        await client.post("/v1/documents", files=_file(), data=PAIR)
        await client.post("/v2/document", files=_file(), data={"target_lang": "DE"}, headers=one)
        found: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = (await client.get("/v1/documents", params=query, headers=one)).json()
            assert {each["name"] for each in page["documents"]} == {"cats.txt"}
            found += [each["id"] for each in page["documents"]]
            if page["next"] is None:
                break
            query["after"] = page["next"]
        assert sorted(found) == sorted(ids)
        empty = (await client.get("/v1/documents", headers=two)).json()
        assert empty == {"documents": [], "next": None}
        nobody = await client.get("/v1/documents")
        assert (nobody.status_code, nobody.json()["error"]["type"]) == (403, "forbidden")
        for wrong in ({"limit": 0}, {"limit": 101}, {"after": "x"}):
            answer = await client.get("/v1/documents", params=wrong, headers=one)
            assert (answer.status_code, answer.json()["error"]["field"]) == (422, *wrong)


@here
async def test_a_failed_document_costs_nothing_and_is_counted(tmp_path: Path) -> None:
    gateway = gateway_of(tmp_path, access={"keys": "required", "flush_seconds": 0.05})
    store = Store(gateway.settings)
    _, secret = await store.keys.add("one", quota=Quota(characters_per_month=100))
    await store.close()
    headers = {"Authorization": f"Bearer {secret}"}

    async def used(client: httpx.AsyncClient) -> int:
        found: int = (await client.get("/v2/usage", headers=headers)).json()["character_count"]
        return found

    async with gateway.running_client() as client:
        client.headers.update(headers)
        await ended(client, (await sent(client))["id"])
        assert await used(client) == 29
        gateway.backend.fail_next(InvalidRequestError("no such language"))
        failed = await ended(client, (await sent(client))["id"])
        assert (failed["state"], failed["problem"]) == ("failed", "no such language")
        async with asyncio.timeout(60):
            while await used(client) != 29:
                await asyncio.sleep(0.02)
    for state, count in (("accepted", 2), ("done", 1), ("failed", 1)):
        assert gateway.count("polyhead_documents_total", format="txt", state=state) == count
    assert gateway.count("polyhead_document_duration_seconds_count", format="txt") == 1
    assert gateway.count("polyhead_documents_in_work") == 0


@here
async def test_two_at_a_time_do_not_have_more_than_is_left(tmp_path: Path) -> None:
    gateway = gateway_of(tmp_path, access={"keys": "required"}, documents={"at_a_time": 0})
    store = Store(gateway.settings)
    _, secret = await store.keys.add("one", quota=Quota(characters_per_month=100))
    await store.close()
    headers = {"Authorization": f"Bearer {secret}"}
    async with gateway.running_client() as client:
        files = _file(b"word\n" * 15)
        both = [
            client.post("/v1/documents", files=files, data=PAIR, headers=headers) for _ in range(2)
        ]
        answers = await asyncio.gather(*both)
        assert sorted(answer.status_code for answer in answers) == [202, 429]
        usage = (await client.get("/v2/usage", headers=headers)).json()
        assert usage["character_count"] == len("word\n" * 15) - 1


@here
async def test_there_are_only_so_many(tmp_path: Path) -> None:
    limits = {"max_waiting_per_client": 2, "at_a_time": 0}
    async with _client(tmp_path, documents=limits) as (_, client):
        first = await sent(client)
        await sent(client)
        answer = await client.post("/v1/documents", files=_file(), data=PAIR)
        assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limited")
        assert int(answer.headers["retry-after"]) > 0
        await client.delete(f"/v1/documents/{first['id']}")
        await sent(client)
        answer = await client.get(f"/v1/documents/{first['id']}/result")
        assert answer.status_code == 404


@here
async def test_deepls_form(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        data = {"target_lang": "DE", "source_lang": "EN"}
        handle = (await client.post("/v2/document", files=_file(), data=data)).json()
        path = f"/v2/document/{handle['document_id']}"
        key = {"document_key": handle["document_key"]}
        assert (await client.post(path, json={"document_key": "x"})).status_code == 404
        assert (await client.post(path, json={})).status_code == 400
        assert (await client.get(f"/v1/documents/{handle['document_id']}")).status_code == 404
        async with asyncio.timeout(60):
            while (status := (await client.post(path, json=key)).json())["status"] != "done":
                assert status["status"] in ("queued", "translating")
                await asyncio.sleep(0.05)
        assert status["billed_characters"] == len("The cat sleeps.") + len("The dog barks.")
        result = await client.post(f"{path}/result", data=key)
        assert (result.status_code, result.content) == (200, TRANSLATED)
        assert (await client.post(f"{path}/result", data=key)).status_code == 404
        assert not list((tmp_path / "blobs").iterdir())
        answer = await client.post("/v2/document", files=_file(), data={"target_lang": "XX"})
        assert answer.status_code == 400
        assert answer.json() == {"message": "Value for 'target_lang' not supported."}
        files = _file(name="cats.exe")
        answer = await client.post("/v2/document", files=files, data={"target_lang": "DE"})
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("Invalid file extension: ")


@here
async def test_deepls_document_is_not_ready(tmp_path: Path) -> None:
    async with _client(tmp_path, documents={"at_a_time": 0}) as (_, client):
        data = {"target_lang": "DE", "source_lang": "EN"}
        handle = (await client.post("/v2/document", files=_file(), data=data)).json()
        path = f"/v2/document/{handle['document_id']}/result"
        answer = await client.post(path, json={"document_key": handle["document_key"]})
        assert answer.status_code == 503


@here
async def test_libretranslates_form(tmp_path: Path) -> None:
    async with _client(tmp_path) as (_, client):
        answer = await client.post("/translate_file", files=_file(), data=PAIR)
        url = answer.json()["translatedFileUrl"]
        assert url.startswith("http://gateway/download_file/")
        assert url.endswith(".txt")
        result = await client.get(url)
        assert (result.status_code, result.content) == (200, TRANSLATED)
        settings = (await client.get("/frontend/settings")).json()
        assert settings["filesTranslation"] is True
        assert ".docx" in settings["supportedFilesFormat"]
        answer = await client.post("/translate_file", files=_file(), data={"source": "en"})
        assert answer.json() == {"error": "Invalid request: missing target parameter"}
        data = {"source": "en", "target": "xx"}
        answer = await client.post("/translate_file", files=_file(), data=data)
        assert (answer.status_code, answer.json()) == (400, {"error": "xx is not supported"})


async def test_documents_may_be_off(tmp_path: Path) -> None:
    async with _client(tmp_path, documents={"enabled": False}) as (_, client):
        answer = await client.post("/v1/documents", files=_file(), data=PAIR)
        assert answer.status_code == 403
        answer = await client.post("/translate_file", files=_file(), data=PAIR)
        assert answer.json() == {"error": "Files translation are disabled on this server."}
