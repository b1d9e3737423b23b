"""Documents in the background: two workers of one store, ends of all kinds, what is left behind."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from model.errors import InvalidRequestError, QueueFullError
from service.documents.document import Batch
from service.errors import StoreFullError, StoreUnavailableError, UnknownDocumentError
from service.jobs import worker as worker_module
from service.jobs.worker import DocumentWorker
from service.settings import Settings
from service.store.documents import StoredDocuments
from service.store.records import Count, DocumentState, StoredDocument
from service.store.store import Store
from service.store.tables import DOCUMENTS
from service.store.usage import month_of
from tests import document_kills
from tests.document_kills import LIMITS, LINES, SUBJECT, add, jobs_of, translated, worker_of

_SEEN_SECONDS = 60.0


def _settings(folder: Path, **limits: Any) -> Settings:
    return Settings(
        store_url=f"sqlite:///{folder / 'store.db'}",
        blobs_url=str(folder / "blobs"),
        documents=LIMITS.model_copy(update=limits),
    )


@asynccontextmanager
async def _working(settings: Settings, **options: Any) -> AsyncIterator[DocumentWorker]:
    store = Store(settings)
    worker = worker_of(settings, store, **options)
    worker.start()
    try:
        yield worker
    finally:
        await worker.close()
        await store.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(_settings(tmp_path))
    yield store
    await store.close()


async def _until(store: Store, id: str, meets: Callable[[StoredDocument], bool]) -> StoredDocument:
    async with asyncio.timeout(_SEEN_SECONDS):
        while True:
            found = await store.documents.find(id)
            assert found is not None
            if meets(found):
                return found
            await asyncio.sleep(0.02)


async def _is_done(settings: Settings, store: Store, id: str, number: int) -> None:
    done = await _until(store, id, lambda each: each.state is DocumentState.DONE)
    assert await jobs_of(settings, store).result(done) == translated(number)


async def test_two_workers_share_the_documents(tmp_path: Path, store: Store) -> None:
    settings = _settings(tmp_path)
    counts = [0, 0]

    def counted(place: int) -> Any:
        async def translate(document: StoredDocument, batch: Batch) -> list[str]:
            counts[place] += len(batch.texts)
            return await document_kills.translate(document, batch)

        return translate

    ids = [await add(jobs_of(settings, store), number) for number in range(4)]
    async with _working(settings, translate=counted(0)), _working(settings, translate=counted(1)):
        for number, id in enumerate(ids):
            await _is_done(settings, store, id, number)
    assert min(counts) > 0
    assert sum(counts) == len(ids) * (LINES - 1)
    assert len(await store.blobs.names()) == len(ids)


async def test_what_was_translated_is_not_translated_again(tmp_path: Path, store: Store) -> None:
    settings = _settings(tmp_path, save_seconds=0.0, batches=1)
    texts: list[str] = []
    end = asyncio.Event()

    async def translate(document: StoredDocument, batch: Batch) -> Sequence[str]:
        if len(texts) > LINES // 2 and not end.is_set():
            end.set()
            await asyncio.sleep(3600)
        texts.extend(batch.texts)
        return await document_kills.translate(document, batch)

    id = await add(jobs_of(settings, store), 1)
    async with _working(settings, translate=translate):
        await asyncio.wait_for(end.wait(), 60)
    released = await store.documents.find(id)
    assert released is not None
    assert (released.state, released.worker) == (DocumentState.QUEUED, None)
    assert released.done_units == len(texts)
    async with _working(settings, translate=translate):
        await _is_done(settings, store, id, 1)
    assert len(texts) == len(set(texts)) == LINES - 1


async def test_a_gateway_that_drains_gives_documents_back(tmp_path: Path, store: Store) -> None:
    settings = _settings(tmp_path)
    id = await add(jobs_of(settings, store), 1)
    draining = False
    async with _working(settings, is_draining=lambda: draining):
        await _until(store, id, lambda each: each.state is DocumentState.TRANSLATING)
        draining = True
        await _until(store, id, lambda each: each.worker is None)
        await asyncio.sleep(0.1)
        assert (await _until(store, id, lambda _: True)).state is DocumentState.QUEUED
    async with _working(settings):
        await _is_done(settings, store, id, 1)


async def test_one_that_is_deleted_ends_in_the_middle(tmp_path: Path, store: Store) -> None:
    settings = _settings(tmp_path, batches=1)
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def translate(document: StoredDocument, batch: Batch) -> Sequence[str]:
        began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return []

    jobs = jobs_of(settings, store)
    id = await add(jobs, 1)
    async with _working(settings, translate=translate):
        await asyncio.wait_for(began.wait(), 60)
        await jobs.remove(await jobs.find(id, "@"))
        await asyncio.wait_for(cancelled.wait(), 60)
        with pytest.raises(UnknownDocumentError):
            await jobs.find(id, "@")
    assert await store.blobs.names() == []


async def test_an_overload_is_waited_for_and_a_refusal_is_not(tmp_path: Path, store: Store) -> None:
    settings = _settings(tmp_path, batches=1)
    errors: list[Exception] = [QueueFullError("full")]

    async def translate(document: StoredDocument, batch: Batch) -> Sequence[str]:
        if errors:
            raise errors.pop()
        return await document_kills.translate(document, batch)

    async with _working(settings, translate=translate):
        await _is_done(settings, store, await add(jobs_of(settings, store), 1), 1)
        errors.append(InvalidRequestError("the language must be another one"))
        id = await add(jobs_of(settings, store), 2)
        failed = await _until(store, id, lambda each: each.state is DocumentState.ERROR)
        assert failed.error == "the language must be another one"
    assert len(await store.blobs.names()) == 1


async def test_what_ends_its_workers_fails_at_last(tmp_path: Path, store: Store) -> None:
    settings = _settings(tmp_path, max_attempts=2)
    id = await add(jobs_of(settings, store), 1)
    for _ in range(2):
        assert await store.documents.claim("dies", seconds=-1.0)
    async with _working(settings):
        failed = await _until(store, id, lambda each: each.state is DocumentState.ERROR)
    assert failed.error == "the server failed to translate the document in 2 attempts"


async def test_a_full_disk_loses_nothing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    jobs = jobs_of(settings, store)
    id = await add(jobs, 1)
    fsync, is_full = os.fsync, True

    def full(descriptor: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("service.store.blobs.os.fsync", full)
    monkeypatch.setattr("service.jobs.translation._PAUSES", (0.01, 0.1))
    counted = await _counted(store)
    with pytest.raises(StoreFullError):
        await add(jobs, 2)
    assert await _counted(store) == counted
    async with _working(settings):
        await _until(store, id, lambda each: each.done_units == LINES - 1)
        is_full = False
        await _is_done(settings, store, id, 1)


async def _counted(store: Store) -> Count:
    counts = await store.usage.of_month(month_of(time.time()), [SUBJECT])
    return counts.get(SUBJECT, Count())


async def test_a_database_that_is_lost_at_the_end_counts_what_it_has(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client is told that a document is not stored; it is, and fails, and costs nothing."""
    settings = _settings(tmp_path, max_attempts=1)
    monkeypatch.setattr(worker_module, "_AFTER_FAILURE_SECONDS", 0.01)
    stored = StoredDocuments.add

    async def stored_and_lost(self: StoredDocuments, *arguments: Any) -> None:
        await stored(self, *arguments)
        raise StoreUnavailableError("the connection is gone")

    with monkeypatch.context() as lost:
        lost.setattr(StoredDocuments, "add", stored_and_lost)
        with pytest.raises(StoreUnavailableError):
            await add(jobs_of(settings, store), 1)
    assert (await _counted(store)).requests == 1
    async with store.database.reading() as connection:
        id = await connection.scalar(select(DOCUMENTS.c.id))
    async with _working(settings):
        failed = await _until(store, str(id), lambda each: each.state is DocumentState.ERROR)
    assert failed.counted_month is None
    assert await _counted(store) == Count(0, 0)


async def test_old_ones_are_deleted_with_their_contents(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    jobs = jobs_of(settings, store)
    old, new = await add(jobs, 1), await add(jobs, 2)
    async with store.database.writing() as connection:
        passed = {"expires_at": int(time.time()) - 1}
        await connection.execute(update(DOCUMENTS).where(DOCUMENTS.c.id == old).values(passed))
    with pytest.raises(UnknownDocumentError):
        await jobs.find(old, "@")
    await store.blobs.write("document-00000001-" + "a" * 32, b"of nobody")
    await store.blobs.write("somebodys", b"not a document")
    worker = worker_of(settings, store)
    for _ in range(2):
        await worker.sweep()
    kept = (await jobs.find(new, "@")).source_blob
    assert await store.blobs.names() == sorted([str(kept), "somebodys"])
    # One that was just stored may have no row yet.
    await store.blobs.write(young := f"document-{int(time.time()):08x}-" + "b" * 32, b"new")
    for _ in range(2):
        await worker.sweep()
    assert young in await store.blobs.names()
    # Nor is one lost that seems old because the clock was set forward, and whose row comes now.
    monkeypatch.setattr(worker_module, "_UNUSED_SECONDS", -1.0)
    await worker.sweep()
    assert young in await store.blobs.names()
    await worker.sweep()
    assert young not in await store.blobs.names()


async def test_gateways_without_documents_make_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with _working(Settings()):
        await asyncio.sleep(0.1)
    assert list(tmp_path.iterdir()) == []


def test_killed_gateways_lose_nothing(tmp_path: Path) -> None:
    # Any number by hand: python -m tests.document_kills FOLDER KILLS
    done = subprocess.run(
        [sys.executable, "-m", "tests.document_kills", str(tmp_path), "12"],
        stdout=subprocess.PIPE, timeout=300, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == 12
    assert found["confirmed"] > 0
    assert found["lost"] == 0
    assert found["stored"] == found["counted"]
