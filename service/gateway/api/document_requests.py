"""Documents as all contracts that have them take them in and give them out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from model.text.language_tags import bcp47
from model.text_options import GlossaryEntry, TextOptions
from service.documents.document import Batch, Unit
from service.documents.formats import DOCUMENT_FORMATS
from service.errors import ForbiddenError, InvalidFieldError, shown
from service.gateway.access import AccessControl
from service.gateway.api.detection import detect_languages
from service.gateway.api.pipeline import TranslationPipeline
from service.gateway.api.stored_glossaries import StoredGlossaries, joined
from service.gateway.api.uploads import Upload
from service.gateway.request_context import RequestContext
from service.jobs.jobs import DocumentJobs, NewDocument, glossary_of
from service.jobs.names import result_name
from service.store.records import Scope, StoredDocument

__all__ = ["DocumentRequests", "DocumentTranslation"]

_DETECTED_CHARACTERS = 4000
"""By which a document's language is found."""
_MAX_CODE_LEN = 35
_MEDIA_TYPES = {each.name: each.media_type for each in DOCUMENT_FORMATS}


class DocumentTranslation:
    """How a gateway translates documents: by its pipeline."""

    def __init__(self, pipeline: TranslationPipeline) -> None:
        self._pipeline = pipeline

    async def batch(self, document: StoredDocument, batch: Batch) -> Sequence[str]:
        """The translations of a batch; raises as `TranslationPipeline.translate_batch` does."""
        options = TextOptions(glossary=glossary_of(document.options))
        return await self._pipeline.translate_batch(
            batch.texts,
            name=document.id,
            source=document.source,
            target=document.target,
            model=document.options.get("model"),
            text_options=batch.text_options(options),
        )

    async def languages(
        self, units: Sequence[Unit], source: str | None, target: str, model: str | None
    ) -> tuple[str, str]:
        """The codes of a document's languages, as they are served.

        Raises:
            LanguageNotServedError: they are not.
            InvalidFieldError: the document is in the target's language already.
        """
        router = self._pipeline.router
        if source is None:
            text = "\n".join(unit.text[:500] for unit in units)[:_DETECTED_CHARACTERS]
            [found] = await detect_languages([text], router.sources_for(target, model))
            source = found.language
            if bcp47(source) == bcp47(router.target(target) or target):
                raise InvalidFieldError(
                    f"`target` must be another language than the document's, which seems to be "
                    f"{shown(source)}; `source` says it if it is not",
                    field="target",
                )
        route = router.find(source, target, model)
        return route.source, route.target


class DocumentRequests:
    """The documents of the clients of requests.

    Args:
        jobs: has the documents.
        access: knows who sends a request, and counts characters.
        glossaries: the stored ones.
    """

    def __init__(
        self, jobs: DocumentJobs, access: AccessControl, glossaries: StoredGlossaries
    ) -> None:
        self._jobs = jobs
        self._access = access
        self._glossaries = glossaries

    async def add(
        self,
        request: Request,
        upload: Upload,
        *,
        source: str | None,
        target: str,
        glossary_ids: Sequence[str] = (),
        secret: str | None = None,
        **options: Any,
    ) -> StoredDocument:
        """Stores a document, to be translated; raises as `DocumentJobs.add` does.

        Args:
            request: of the client.
            upload: the file.
            source: code of its language; None to find it.
            target: code of the language to translate into.
            glossary_ids: of stored glossaries; `source` must be there then. The first one that
                has a term says its translation.
            secret: what one must have to see it, besides its id.
            options: others of `NewDocument`.
        """
        for name, code in (("source", source or ""), ("target", target)):
            if len(code) > _MAX_CODE_LEN:
                raise InvalidFieldError(
                    f"`{name}` must be a language code, but is {shown(code)}", field=name
                )
        caller = await self._access.admit(request.scope, Scope.DOCUMENTS)
        if glossary_ids and source is None:
            raise InvalidFieldError(
                "`source` must be given with `glossary_id`, but is not", field="source"
            )
        terms: tuple[GlossaryEntry, ...] = ()
        for id in reversed(glossary_ids):
            more = await self._glossaries.entries(request, id, source or "", target)
            terms = joined(terms, more)
        options["glossary"] = terms
        new = NewDocument(
            owner=self._owner(request),
            subject=self._access.subject_of_month(caller),
            name=upload.name,
            media_type=upload.media_type,
            data=upload.data,
            source=source,
            target=target,
            options={name: value for name, value in options.items() if value},
            secret=secret,
        )
        added = await self._jobs.add(
            new, spending=lambda characters: self._access.spending_in_store(caller, characters)
        )
        context = RequestContext.of(request.scope)
        context.source, context.target = added.source, added.target
        return added

    async def find(self, request: Request, id: str, *, secret: str | None = None) -> StoredDocument:
        """One that the client may see; raises as `DocumentJobs.find` does."""
        return await self._jobs.find(id, self._owner(request), secret=secret)

    async def listed(
        self, request: Request, *, most: int, after: tuple[int, str] | None
    ) -> list[StoredDocument]:
        """The documents of the request's API key, the newest first.

        Args:
            request: of the client.
            most: as many of them at most.
            after: `created_at` and `id` of the last one that the client knows.

        Raises:
            ForbiddenError: there is no key. Clients may share an address, so nothing is listed to
                who has one.
        """
        caller = await self._access.admit(request.scope, Scope.DOCUMENTS)
        if not caller.owner:
            raise ForbiddenError("the request must have an API key, for a key's documents are told")
        return await self._jobs.listed(caller.owner, most=most, after=after)

    async def result(self, document: StoredDocument, *, once: bool = False) -> Response:
        """The translated file, as a download; raises as `DocumentJobs.result` does.

        Args:
            document: which has been translated.
            once: whether it is deleted when all of it has been sent.
        """
        content = await self._jobs.result(document)
        name = result_name(document.name, document.target)
        plain = name.encode("ascii", "replace").decode().replace("?", "_").replace("\\", "_")
        headers = {
            # Never shown as a page of this service.
            "Content-Disposition": f'attachment; filename="{plain}"; '
            f"filename*=UTF-8''{quote(name, safe='')}",
        }
        task = BackgroundTask(self._jobs.remove, document) if once else None
        return Response(
            content, media_type=_MEDIA_TYPES[document.format], headers=headers, background=task
        )

    async def remove(self, document: StoredDocument) -> None:
        """Deletes one, in whatever state it is."""
        await self._jobs.remove(document)

    def _owner(self, request: Request) -> str:
        caller = RequestContext.of(request.scope).caller
        if caller is not None and caller.owner:
            return caller.owner
        address = self._access.address(request.scope)
        return "@" + hashlib.sha256(address.encode()).hexdigest()[:40]
