"""Translates documents in the background, and forgets those that have expired.

A document goes on where the last worker has stored what there was: a gateway that ends stores it
and gives the document back, one that is killed loses the seconds since it did last.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from model.errors import InvalidRequestError
from service.documents.document import Batch
from service.errors import StoreUnavailableError
from service.jobs.jobs import ReadDocuments
from service.jobs.names import blob_age
from service.jobs.translation import LostLeaseError, Translation
from service.observability.metrics import DocumentMetrics
from service.settings import Documents
from service.store.records import StoredDocument
from service.store.store import Store

__all__ = ["DocumentWorker", "TranslateBatch"]

TranslateBatch = Callable[[StoredDocument, Batch], Awaitable[Sequence[str]]]

_LOOK_SECONDS = 2.0
"""Between two looks for a document of another gateway; jittered."""
_SWEEP_SECONDS = 60.0
_SWEPT = 100
"""Documents that are deleted, and contents that are looked up, at a time."""
_UNUSED_SECONDS = 3600.0
"""Age from which a content that belongs to no document is deleted: nobody stores it any more."""
_AFTER_FAILURE_SECONDS = 5.0
_CLOSE_SECONDS = 10.0
_FAILED = "the server failed to translate the document"

LOGGER = logging.getLogger("polyhead.documents")


class DocumentWorker:
    """Belongs to one event loop.

    Args:
        settings: limits.
        store: where the documents are.
        read: reads and writes them.
        translate: has a batch of a document translated; it raises InvalidRequestError for what
            will never be translated, and other errors for what may be later.
        metrics: counts what becomes of the documents.
        is_draining: whether the gateway is about to end, so that others must go on.
    """

    def __init__(
        self,
        settings: Documents,
        store: Store,
        read: ReadDocuments,
        translate: TranslateBatch,
        *,
        metrics: DocumentMetrics,
        is_draining: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._store = store
        self._read = read
        self._translate = translate
        self._metrics = metrics
        self._is_draining = is_draining
        self._new = asyncio.Event()
        self._unused: set[str] = set()
        """Contents of which the last sweep found no document."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to work. Idempotent."""
        if self._tasks or not self._settings.enabled:
            return
        self._tasks = [asyncio.create_task(self._sweep_forever())]
        for _ in range(self._settings.at_a_time):
            self._tasks.append(asyncio.create_task(self._work_forever()))

    def wake(self) -> None:
        """There is a new document."""
        self._new.set()

    async def close(self) -> None:
        """Ends; gives back what is in work, for another gateway to go on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        self._tasks = []
        self._read.close()

    async def _work_forever(self) -> None:
        while True:
            try:
                if self._is_draining() or not await self._work():
                    await self._wait()
            except StoreUnavailableError:
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)  # it is in the log
            except Exception as error:
                LOGGER.error("the work on documents failed: %s", type(error).__name__)
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)

    async def _wait(self) -> None:
        self._new.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS * random.uniform(0.5, 1.5)):
                await self._new.wait()

    async def _work(self) -> bool:
        """Translates a document; whether there was one."""
        if not self._store.is_there:
            return False
        worker = uuid.uuid4().hex
        seconds = self._settings.lease_seconds
        document = await self._store.documents.claim(worker, seconds=seconds)
        if document is None:
            return False
        if document.attempts > self._settings.max_attempts:
            await self._fail(document, worker, f"{_FAILED} in {document.attempts - 1} attempts")
            return True
        await self._go_on(document, worker)
        return True

    async def _go_on(self, document: StoredDocument, worker: str) -> None:
        translation = Translation(
            self._settings, self._store, self._read, self._translate, document, worker,
            is_draining=self._is_draining,
        )  # fmt: skip
        try:
            with self._metrics.in_work.track_inprogress():
                is_done = await translation.run()
            if is_done:
                seconds = max(0.0, time.time() - document.created_at)
                self._metrics.count(document.format, "done", seconds)
        except LostLeaseError:
            return  # it was deleted, or another one has it
        except asyncio.CancelledError:
            with suppress(StoreUnavailableError):
                await self._store.documents.release(document.id, worker, started=False)
            raise
        except StoreUnavailableError:
            await self._store.documents.release(
                document.id, worker, after=_AFTER_FAILURE_SECONDS, started=False
            )
        except InvalidRequestError as error:
            await self._fail(document, worker, str(error))
        except Exception as error:
            LOGGER.error("document %s failed: %s", document.id, type(error).__name__)
            await self._store.documents.release(
                document.id, worker, after=_AFTER_FAILURE_SECONDS, started=True
            )

    async def _fail(self, document: StoredDocument, worker: str, problem: str) -> None:
        failed = await self._store.documents.fail(
            document.id, worker, problem, keep_seconds=self._settings.keep_seconds
        )
        if failed:
            self._metrics.count(document.format, "failed")
            await self._delete_contents([document])

    async def _sweep_forever(self) -> None:
        while True:
            try:
                if self._store.is_there:
                    await self.sweep()
            except StoreUnavailableError:
                pass  # it is in the log
            except Exception as error:
                LOGGER.error("old documents could not be deleted: %s", type(error).__name__)
            await asyncio.sleep(_SWEEP_SECONDS * random.uniform(0.8, 1.2))

    async def sweep(self) -> None:
        """Deletes documents that have expired, some at a time, and contents that belong to none.

        Those must be old, and have belonged to none a sweep ago, either: where the clock is set
        forward, one may seem old whose document is being stored.
        """
        expired = await self._store.documents.remove_expired(most=_SWEPT)
        await self._delete_contents(expired)
        names = await self._store.blobs.names()
        old = [name for name in names if blob_age(name) > _UNUSED_SECONDS]
        unused: set[str] = set()
        for begin in range(0, len(old), _SWEPT):
            unused |= await self._store.documents.unused(old[begin : begin + _SWEPT])
        again, self._unused = unused & self._unused, unused
        for name in again:
            await self._store.blobs.delete(name)

    async def _delete_contents(self, documents: Sequence[StoredDocument]) -> None:
        for document in documents:
            for blob in (document.source_blob, document.result_blob):
                if blob is not None:
                    with suppress(StoreUnavailableError):
                        await self._store.blobs.delete(blob)
