"""Documents as clients have them: sent, looked at, fetched, deleted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from model.documents import plain_texts
from model.text.glossary import Glossary
from model.text_options import GlossaryEntry
from service.documents.document import DocumentOptions, Unit, batches
from service.documents.errors import DocumentTooLargeError
from service.documents.formats import find_format
from service.documents.limits import DocumentLimits
from service.documents.process import DocumentProcess, ReaderLostError
from service.errors import (
    DocumentNotReadyError,
    ForbiddenError,
    StoreUnavailableError,
    UnknownDocumentError,
)
from service.jobs.names import new_blob, safe_name
from service.observability.metrics import DocumentMetrics
from service.settings import Documents, Settings
from service.store.records import DocumentState, StoredDocument
from service.store.store import Store

__all__ = ["DocumentJobs", "NewDocument", "ReadDocuments", "glossary_of", "options_of"]

_T = TypeVar("_T")
_READERS = 2


@dataclass(frozen=True, kw_only=True)
class NewDocument:
    """A document as it was sent."""

    owner: str
    subject: str | None = None
    """Whose use its characters count as."""
    name: str | None = field(repr=False)
    """Name of its file, as the client has it."""
    media_type: str | None = None
    data: bytes = field(repr=False)
    source: str | None
    """None to find it."""
    target: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """`model`, `glossary` (a tuple of GlossaryEntry), fields of DocumentOptions; `open`: its id
    alone shows it."""
    secret: str | None = field(default=None, repr=False)
    """What one must have to see it, besides its id."""


class ReadDocuments:
    """Reads and writes files in processes of their own, some at a time.

    Args:
        settings: `documents` and `limits`.
    """

    def __init__(self, settings: Settings) -> None:
        documents = settings.documents
        self._limits = DocumentLimits(
            max_bytes=documents.max_bytes, max_characters=documents.max_characters
        )
        self._max_text_chars = settings.limits.max_total_chars
        self._process = DocumentProcess(
            max_memory_bytes=documents.max_memory_mib * 2**20, max_seconds=documents.max_seconds
        )
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="documents")

    async def units(self, format: str, data: bytes, options: DocumentOptions) -> list[Unit]:
        """What is translated of a file; raises as `DocumentProcess.units` does."""
        options = replace(options, limits=self._limits)
        units = await self._run(self._process.units, format, data, options)
        longest = max((len(unit.text) for unit in units), default=0)
        if longest > (most := self._max_text_chars):
            raise DocumentTooLargeError(
                f"a paragraph of the document must have at most {most} characters, but one has "
                f"{longest}"
            )
        return units

    async def written(
        self, format: str, data: bytes, options: DocumentOptions, translations: Sequence[str]
    ) -> bytes:
        """The file with translations; raises as `units` does."""
        options = replace(options, limits=self._limits)
        return await self._run(self._process.written, format, data, options, translations)

    def close(self) -> None:
        """Ends the threads, once what they do is done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, call: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


class DocumentJobs:
    """The documents of clients. Belongs to one event loop.

    Args:
        settings: limits.
        store: where they are.
        read: reads them.
        languages: the languages of a document's texts and the target's, of a source (None to find
            it), a target and perhaps a model; it raises for what is not served.
        metrics: counts the documents.
        on_new: called when there is a new one.
    """

    def __init__(
        self,
        settings: Documents,
        store: Store,
        read: ReadDocuments,
        *,
        languages: Callable[
            [Sequence[Unit], str | None, str, str | None], Awaitable[tuple[str, str]]
        ],
        metrics: DocumentMetrics,
        on_new: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._read = read
        self._languages = languages
        self._metrics = metrics
        self._on_new = on_new

    async def add(
        self,
        new: NewDocument,
        *,
        spending: Callable[[int], AbstractAsyncContextManager[None]],
    ) -> StoredDocument:
        """Stores a document, to be translated. When it returns, it is not lost any more.

        Args:
            new: the document. Its characters are stored with it as those of its subject.
            spending: what it is stored in, of its characters; it raises when they are too many.

        Raises:
            DocumentError, InvalidRequestError: it cannot be translated.
            RateLimitedError, OverloadedError: there are too many.
            StoreFullError, StoreUnavailableError: it cannot be stored.
        """
        if not self._settings.enabled:
            raise ForbiddenError("documents are not translated by this server")
        found = find_format(new.name, new.media_type)
        await self._store.documents.check(new.owner, self._settings)
        options = options_of(new.options, new.source, new.target)
        units = await self._units(found.name, new.data, options)
        source, target = await self._languages(
            units, new.source, new.target, new.options.get("model")
        )
        kept = dict(new.options)
        if entries := kept.pop("glossary", ()):
            kept["glossary"] = await asyncio.to_thread(_terms_in, units, entries)
        now = time.time()
        document = StoredDocument(
            id=str(uuid.uuid4()),
            owner=new.owner,
            subject=new.subject,
            created_at=int(now),
            expires_at=int(now + self._settings.keep_seconds) + 1,
            name=safe_name(new.name, f".{found.name}"),
            format=found.name,
            source=source,
            target=target,
            options=kept,
            num_bytes=len(new.data),
            num_characters=sum(unit.num_characters for unit in units),
            total_units=len(units),
            secret_hash=None if new.secret is None else _hash(new.secret),
            source_blob=new_blob(),
        )
        await self._store_new(document, new.data, spending)
        self._metrics.count(document.format, "accepted")
        self._on_new()
        return document

    async def _units(self, format: str, data: bytes, options: DocumentOptions) -> list[Unit]:
        try:
            return await self._read.units(format, data, options)
        except ReaderLostError as error:
            raise StoreUnavailableError(str(error)) from error

    async def _store_new(
        self,
        document: StoredDocument,
        data: bytes,
        spending: Callable[[int], AbstractAsyncContextManager[None]],
    ) -> None:
        blob = document.source_blob or ""
        async with spending(document.num_characters):
            try:
                await self._store.blobs.write(blob, data)
                await self._store.documents.add(document, self._settings)
            except Exception:
                # Its row may be there all the same, if the database was lost at the end: whoever
                # takes it on finds no content, and its client gets the characters back.
                await self._delete_blob(blob)
                raise

    async def find(self, id: str, owner: str, *, secret: str | None = None) -> StoredDocument:
        """One that a client may see: one of its own; or of nobody's key, since ids are not guessed.

        Raises:
            UnknownDocumentError: there is no such one, or not any more.
        """
        found = None
        if _is_id(id) and self._store.is_there:
            found = await self._store.documents.find(id)
        if found is None or not _may_see(found, owner, secret):
            raise UnknownDocumentError("there is no such document, or not any more")
        return found

    async def listed(
        self, owner: str, *, most: int, after: tuple[int, str] | None
    ) -> list[StoredDocument]:
        """An owner's documents, the newest first: see `StoredDocuments.listed`."""
        if not self._store.is_there:
            return []
        return await self._store.documents.listed(owner, most=most, after=after)

    async def result(self, document: StoredDocument) -> bytes:
        """The translated file.

        Raises:
            DocumentNotReadyError: there is none (yet).
        """
        if document.state is not DocumentState.DONE:
            raise DocumentNotReadyError(
                document.error or "the document must be translated first, and is not yet"
            )
        content = await self._store.blobs.read(document.result_blob or "")
        if content is None:
            raise UnknownDocumentError("there is no such document, or not any more")
        return content

    async def remove(self, document: StoredDocument) -> None:
        """Deletes one with its contents; if it is being translated, that ends soon."""
        removed = await self._store.documents.remove(document.id)
        for blob in (removed.source_blob, removed.result_blob) if removed else ():
            if blob is not None:
                await self._delete_blob(blob)

    async def _delete_blob(self, blob: str) -> None:
        try:
            await self._store.blobs.delete(blob)
        except StoreUnavailableError:
            return  # the worker's sweep finds it later


def options_of(options: Mapping[str, Any], source: str | None, target: str) -> DocumentOptions:
    """What a format is told, of the options of a document."""
    return DocumentOptions(
        source=source,
        target=target,
        retranslate=options.get("retranslate", False),
        keys=tuple(options.get("keys", ())),
        columns=tuple(options.get("columns", ())),
        header=options.get("header", True),
    )


def _terms_in(units: Sequence[Unit], entries: Sequence[GlossaryEntry]) -> list[list[Any]]:
    """The entries that a document may need, as they are stored with it."""
    finder = Glossary(entries)
    found: set[GlossaryEntry] = set()
    for batch in batches(units):
        found.update(finder.entries_in(plain_texts(batch.texts, batch.text_options())))
    return [[*entry] for entry in entries if entry in found]


def glossary_of(options: Mapping[str, Any]) -> tuple[GlossaryEntry, ...]:
    """The terms of a document's options."""
    return tuple(
        GlossaryEntry(term, tuple(targets), case_sensitive)
        for term, targets, case_sensitive in options.get("glossary", ())
    )


def _may_see(document: StoredDocument, owner: str, secret: str | None) -> bool:
    if document.secret_hash is not None and (
        secret is None or not hmac.compare_digest(document.secret_hash, _hash(secret))
    ):
        return False
    return (
        document.owner == owner
        or document.owner.startswith("@")
        or document.options.get("open", False)
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
