"""Documents whose files are in a bucket: sent, translated after a restart, fetched, forgotten."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.jobs import jobs
from service.store.blobs import Blobs
from service.store.store import Store
from service.store.tables import DOCUMENTS
from tests.document_reader import ReaderHere
from tests.fakes import Gateway

pytest.importorskip("s3fs", reason="there is no s3fs: install the extra s3")
moto = pytest.importorskip("moto.server", reason="there is no S3 to test with: install moto, flask")

TEXT = b"The cat sleeps.\n\nThe dog barks.\n"
TRANSLATED = b"de:The cat sleeps.\n\nThe dog barks.\n"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 without contents."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a place for blobs there."""
    for name, value in (
        ("AWS_ENDPOINT_URL", s3), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return f"s3://polyhead-{uuid.uuid4().hex}/files"


async def test_contents_come_back_and_others_see_them(bucket: str) -> None:
    one, other = Blobs(bucket), Blobs(bucket)
    assert await one.read("a") is None
    assert await one.names() == []
    await one.write("a", b"x" * 100_000)
    assert await other.names() == ["a"]
    await one.write("b", b"")
    await one.write("a", b"other")
    assert await other.names() == ["a", "b"]
    assert await other.read("a") == b"other"
    await other.delete("a")
    await other.delete("a")
    assert await one.names() == ["b"]
    assert await one.read("a") is None


async def test_a_document_outlives_its_gateway(
    bucket: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DocumentProcess", ReaderHere)
    places: dict[str, Any] = {"store_url": url, "blobs_url": bucket}
    async with Gateway(**places, documents={"at_a_time": 0}).running_client() as client:
        ids = []
        for _ in range(3):
            answer = await client.post(
                "/v1/documents", files={"file": ("a.txt", TEXT)},
                data={"source": "en", "target": "de"},
            )  # fmt: skip
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
    blobs = Blobs(bucket)
    assert len(await blobs.names()) == len(ids)
    gateway = Gateway(**places)
    store = Store(gateway.settings)
    async with gateway.running_client() as client:
        for id in ids:
            assert await _result(client, id) == TRANSLATED
        assert (await client.delete(f"/v1/documents/{ids[0]}")).status_code == 204
        assert len(await blobs.names()) == len(ids) - 1
        await blobs.write("document-00000001-" + uuid.uuid4().hex, b"left by a dead gateway")
    async with store.database.writing() as connection:
        expired = update(DOCUMENTS).where(DOCUMENTS.c.id == ids[1])
        await connection.execute(expired.values(expires_at=int(time.time()) - 1))
    async with Gateway(**places).running_client() as client:  # it looks around when it starts
        async with asyncio.timeout(60):
            while len(await blobs.names()) > 1:
                await asyncio.sleep(0.05)
        assert (await client.get(f"/v1/documents/{ids[1]}")).status_code == 404
        assert await _result(client, ids[2]) == TRANSLATED
    await store.close()


async def _result(client: httpx.AsyncClient, id: str) -> bytes:
    async with asyncio.timeout(60):
        while (found := (await client.get(f"/v1/documents/{id}")).json())["state"] != "done":
            assert found["state"] in ("waiting", "translating")
            await asyncio.sleep(0.05)
    return (await client.get(f"/v1/documents/{id}/result")).content
