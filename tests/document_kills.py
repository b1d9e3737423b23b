"""Workers of documents that are killed in the middle of anything: `python -m tests.document_kills`.

This process has no threads and imports all first: each gateway is a fork of it, and two run at a
time, on one store. The last line is JSON: what became of the documents that were confirmed, and how
many documents and characters are stored and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiosqlite  # noqa: F401 (before the forks)
import sqlalchemy

from service.documents.document import Batch, DocumentOptions, Unit
from service.documents.formats import DOCUMENT_FORMATS
from service.jobs.jobs import DocumentJobs, NewDocument, ReadDocuments
from service.jobs.worker import DocumentWorker
from service.observability.metrics import GatewayMetrics
from service.settings import Documents, Settings
from service.store import documents  # noqa: F401
from service.store.records import DocumentState, StoredDocument
from service.store.store import Store
from service.store.tables import DOCUMENTS, USAGE

LINES = 120
SUBJECT = "key"
LIMITS = Documents(
    max_waiting=10**6, max_waiting_per_client=10**6, max_kept=10**6, max_kept_per_client=10**6,
    lease_seconds=1.0, save_seconds=0.1, batches=2, max_attempts=100,
)  # fmt: skip
_BATCH_SECONDS = 0.02
_FIRST_SECONDS = 60.0
_COUNTED = sqlalchemy.select(
    sqlalchemy.func.sum(USAGE.c.requests), sqlalchemy.func.sum(USAGE.c.characters)
).where(USAGE.c.subject == SUBJECT)


class ReadHere(ReadDocuments):
    """Reads and writes documents in this process."""

    async def units(self, format: str, data: bytes, options: DocumentOptions) -> list[Unit]:
        [found] = [each for each in DOCUMENT_FORMATS if each.name == format]
        return list(found.read(data, options).units)

    async def written(
        self, format: str, data: bytes, options: DocumentOptions, translations: Sequence[str]
    ) -> bytes:
        [found] = [each for each in DOCUMENT_FORMATS if each.name == format]
        return found.read(data, options).written(translations)


def content(number: int) -> bytes:
    """A document of many texts."""
    return "".join(f"Line {number} {line} says so.\r\n" for line in range(LINES)).encode()


def translated(number: int) -> bytes:
    """Its translation."""
    lines = (f"de:Line {number} {line} says so.\r\n" for line in range(1, LINES))
    return (f"Line {number} 0 says so.\r\n" + "".join(lines)).encode()


async def translate(document: StoredDocument, batch: Batch) -> list[str]:
    """As a model, after some time."""
    await asyncio.sleep(_BATCH_SECONDS)
    return [f"{document.target}:{text}" for text in batch.texts]


async def languages(
    units: Sequence[Unit], source: str | None, target: str, model: str | None
) -> tuple[str, str]:
    """As a router."""
    return source or "en", target


def jobs_of(settings: Settings, store: Store) -> DocumentJobs:
    """What a client's request has."""
    read = ReadHere(settings)
    return DocumentJobs(
        settings.documents, store, read, languages=languages, metrics=GatewayMetrics().documents,
        on_new=lambda: None,
    )  # fmt: skip


def worker_of(settings: Settings, store: Store, **more: Any) -> DocumentWorker:
    """One that translates as above."""
    options: dict[str, Any] = {
        "translate": translate, "metrics": GatewayMetrics().documents,
        "is_draining": lambda: False, **more,
    }  # fmt: skip
    return DocumentWorker(settings.documents, store, ReadHere(settings), **options)


@contextlib.asynccontextmanager
async def spending(characters: int) -> AsyncIterator[None]:
    """As where nothing is limited."""
    yield


async def add(jobs: DocumentJobs, number: int) -> str:
    """Sends a document; its id when it is confirmed."""
    new = NewDocument(
        owner="@", subject=SUBJECT, name=f"{number}.csv", data=content(number), source="en",
        target="de",
    )  # fmt: skip
    return (await jobs.add(new, spending=spending)).id


async def _gateway(settings: Settings, most: int, pipe: int) -> None:
    store = Store(settings)
    worker = worker_of(settings, store)
    worker.start()
    jobs = jobs_of(settings, store)
    for _ in range(most):
        number = uuid.uuid4().int % 10**9
        id = await add(jobs, number)
        os.write(pipe, f"{id} {number}\n".encode())
        await asyncio.sleep(random.uniform(0.2, 0.6))
    await asyncio.sleep(3600)


def _fork(settings: Settings, most: int, pipe: int) -> int:
    if pid := os.fork():
        return pid
    try:
        asyncio.run(_gateway(settings, most, pipe))
    finally:
        os._exit(1)


async def _end(settings: Settings, confirmed: dict[str, int], seconds: float) -> dict[str, Any]:
    """What becomes of the documents when gateways live."""
    store = Store(settings)
    worker = worker_of(settings, store)
    worker.start()
    found: dict[str, StoredDocument | None] = {}
    async with asyncio.timeout(seconds):
        while True:
            found = {id: await store.documents.find(id) for id in confirmed}
            states = {each.state for each in found.values() if each is not None}
            if not states & {DocumentState.QUEUED, DocumentState.TRANSLATING}:
                break
            await asyncio.sleep(0.2)
    jobs = jobs_of(settings, store)
    wrong = [
        id
        for id, each in found.items()
        if each is None
        or each.state is not DocumentState.DONE
        or await jobs.result(each) != translated(confirmed[id])
    ]
    await worker.close()
    results = {each.result_blob for each in found.values() if each is not None}
    left = set(await store.blobs.names()) - results
    unused = await store.documents.unused(left)
    sums = sqlalchemy.func.count(), sqlalchemy.func.sum(DOCUMENTS.c.num_characters)
    async with store.database.reading() as connection:
        # Others were stored and not confirmed: their gateway was killed in between.
        stored = (await connection.execute(sqlalchemy.select(*sums))).one()
        counted = (await connection.execute(_COUNTED)).one()
    await store.close()
    return {
        "confirmed": len(confirmed), "lost": len(wrong), "left_blobs": len(unused),
        "stored": [*map(int, stored)], "counted": [*map(int, counted)],
    }  # fmt: skip


def main(folder: Path, kills: int) -> dict[str, Any]:
    """Kills gateways so often, two of which work at a time; then lets one end the work."""
    settings = Settings(
        store_url=f"sqlite:///{folder / 'store.db'}",
        blobs_url=str(folder / "blobs"),
        documents=LIMITS,
    )
    reading, writing = os.pipe()
    living = [_fork(settings, 3, writing) for _ in range(2)]
    select.select([reading], [], [], _FIRST_SECONDS)  # a busy machine takes its time
    for _ in range(kills):
        time.sleep(random.uniform(0.2, 1.2))
        pid = living.pop(random.randrange(len(living)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        living.append(_fork(settings, 1, writing))
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        lines = [line.split() for line in pipe.read().decode().splitlines()]
    confirmed = {id: int(number) for id, number in lines}
    return {"kills": kills} | asyncio.run(_end(settings, confirmed, 30 + 3 * len(confirmed)))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
