"""One document, translated under a lease: batch by batch, stored again and again, then written."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from model.errors import EngineDeadError, PolyheadError, RequestFailedError
from service.documents.document import Batch, Unit, batches
from service.errors import StoreUnavailableError
from service.jobs.jobs import ReadDocuments, options_of
from service.jobs.names import new_blob
from service.settings import Documents
from service.store.records import StoredDocument
from service.store.store import Store

__all__ = ["ContentLostError", "LostLeaseError", "Translation"]

_MOST_TEXTS = 16
_MOST_CHARACTERS = 2000
_BEATS = 6
"""Times that a lease is made longer within itself."""
_MOST_BEAT_SECONDS = 2.0
"""Nor are progress and the document's deletion seen later."""
_PAUSES = (0.5, 30.0)
"""Seconds before a batch that a model could not take is sent again: the first, and the most."""


class LostLeaseError(PolyheadError):
    """The document was deleted, or has another worker."""


class ContentLostError(PolyheadError):
    """The document's file is not where blobs are: perhaps they are in another node's folder."""


class Translation:
    """The work of one claim.

    Args:
        settings: limits.
        store: where the document is.
        read: reads and writes it.
        translate: has a batch translated.
        document: as it was claimed.
        worker: who claimed it.
        is_draining: whether to stop, so that others go on.
    """

    def __init__(
        self,
        settings: Documents,
        store: Store,
        read: ReadDocuments,
        translate: Callable[[StoredDocument, Batch], Awaitable[Sequence[str]]],
        document: StoredDocument,
        worker: str,
        *,
        is_draining: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._store = store
        self._read = read
        self._translate = translate
        self._document = document
        self._worker = worker
        self._is_draining = is_draining
        self._units: list[Unit] = []
        self._translations: list[str | None] = []
        self._digest = ""
        self._saved_blob = document.result_blob
        self._saved_at = time.monotonic()
        self._saving = asyncio.Lock()
        self._leased_until = time.monotonic() + settings.lease_seconds
        self._began = time.monotonic()
        self._characters = 0
        """Translated since then."""

    async def run(self) -> bool:
        """Translates the document, or gives it back when the gateway is about to end.

        Returns:
            Whether it has been translated.

        Raises:
            LostLeaseError: somebody else has it now, or nobody.
            InvalidRequestError: it cannot be translated; others may be tried again.
        """
        beating = asyncio.create_task(self._beat_forever())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait((beating, work), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await beating  # it has failed
            return await work
        finally:
            for task in (work, beating):
                task.cancel()
            # What is done to the document behind this is done alone.
            await asyncio.gather(work, beating, return_exceptions=True)

    async def _work(self) -> bool:
        data = await self._content(self._document.source_blob)
        if data is None:
            raise ContentLostError("the content of a document is not there")
        options = options_of(self._document.options, self._document.source, self._document.target)
        self._units = await self._read.units(self._document.format, data, options)
        self._digest = _digest(self._units)
        self._translations = await self._saved()
        self._began = time.monotonic()
        try:
            await self._translate_all()
        except asyncio.CancelledError:
            with suppress(PolyheadError):
                await self._save()
            raise
        if None in self._translations:  # the gateway is draining
            await self._save()
            await self._store.documents.release(self._document.id, self._worker, started=False)
            return False
        found = [text or "" for text in self._translations]
        written = await self._read.written(self._document.format, data, options, found)
        await self._finish(written)
        return True

    async def _translate_all(self) -> None:
        """Fills in the translations, some batches at a time."""
        batches = iter(list(self._missing()))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.batches):
                    group.create_task(self._translate_each(batches))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _translate_each(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            texts = await self._translated(batch)
            if texts is None:
                return
            for place, text in zip(batch.places, texts, strict=True):
                self._translations[place] = text
            self._characters += sum(map(len, batch.texts))
            if time.monotonic() >= self._saved_at + self._settings.save_seconds:
                self._saved_at = time.monotonic()
                with suppress(StoreUnavailableError):  # then a little more could be lost
                    await self._save()

    def _missing(self) -> Iterable[Batch]:
        """What has no translation yet, in batches."""
        places = [place for place, text in enumerate(self._translations) if text is None]
        rest = [self._units[place] for place in places]
        for batch in batches(rest, _MOST_TEXTS, _MOST_CHARACTERS):
            yield batch._replace(places=[places[place] for place in batch.places])

    async def _translated(self, batch: Batch) -> Sequence[str] | None:
        """The translations, once a model can take the batch; None when the gateway ends."""
        pause, most = _PAUSES
        while not self._is_draining():
            with suppress(RequestFailedError, EngineDeadError):
                return await self._translate(self._document, batch)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, most)
        return None

    async def _save(self) -> None:
        """Stores what there is."""
        async with self._saving:
            await self._save_now()

    async def _save_now(self) -> None:
        done = self._done_units()
        if not done:
            return
        content = json.dumps([self._digest, self._translations]).encode()
        blob = new_blob()
        await self._store.blobs.write(blob, content)
        if not await self._store.documents.save(
            self._document.id, self._worker, blob, done_units=done
        ):
            await self._store.blobs.delete(blob)
            raise LostLeaseError("the document is another worker's")
        before, self._saved_blob = self._saved_blob, blob
        if before is not None:
            await self._store.blobs.delete(before)

    async def _saved(self) -> list[str | None]:
        """What another worker has stored of the same texts."""
        content = await self._content(self._saved_blob)
        if content is not None:
            digest, translations = json.loads(content)
            if digest == self._digest:
                return list(translations)
        return [None] * len(self._units)

    async def _finish(self, written: bytes) -> None:
        blob = new_blob()
        while True:
            try:
                await self._store.blobs.write(blob, written)
                break
            except StoreUnavailableError:  # such as a full disk
                await asyncio.sleep(_PAUSES[1] * random.uniform(0.1, 0.3))
        if not await self._store.documents.finish(
            self._document.id, self._worker, blob, keep_seconds=self._settings.keep_seconds
        ):
            await self._store.blobs.delete(blob)
            raise LostLeaseError("the document is another worker's")
        for old in (self._document.source_blob, self._saved_blob):
            if old is not None:
                with suppress(StoreUnavailableError):
                    await self._store.blobs.delete(old)

    async def _content(self, blob: str | None) -> bytes | None:
        return None if blob is None else await self._store.blobs.read(blob)

    async def _beat_forever(self) -> None:
        """Keeps the lease, and tells how far the work is; LostLeaseError when it is lost."""
        lease = self._settings.lease_seconds
        while True:
            await asyncio.sleep(min(lease / _BEATS, _MOST_BEAT_SECONDS))
            began = time.monotonic()
            try:
                is_mine = await self._store.documents.renew(
                    self._document.id, self._worker, seconds=lease,
                    done_units=self._done_units(), seconds_left=self._seconds_left(),
                )  # fmt: skip
            except StoreUnavailableError:
                if time.monotonic() < self._leased_until:
                    continue
                is_mine = False
            if not is_mine:
                raise LostLeaseError("the document was deleted, or is another worker's")
            self._leased_until = began + lease

    def _done_units(self) -> int:
        if not self._translations:  # not read yet
            return self._document.done_units
        return sum(text is not None for text in self._translations)

    def _seconds_left(self) -> int | None:
        """By the characters of this worker so far; None as long as there are none."""
        if not self._characters:
            return None
        left = sum(
            len(unit.text)
            for unit, text in zip(self._units, self._translations, strict=True)
            if text is None
        )
        speed = self._characters / max(time.monotonic() - self._began, 1e-3)
        return round(left / speed)


def _digest(units: Sequence[Unit]) -> str:
    content = json.dumps([[unit.text, unit.format] for unit in units])
    return hashlib.sha256(content.encode()).hexdigest()
