"""LibreTranslate's files: POST /translate_file, which answers where the translated one is."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import Path
from pydantic import ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from model.errors import InvalidRequestError
from service.documents.errors import UnsupportedDocumentError
from service.errors import ForbiddenError, LanguageNotServedError
from service.gateway.access import AccessControl
from service.gateway.api.contract import Contract, Reply, translation_errors
from service.gateway.api.document_requests import DocumentRequests
from service.gateway.api.document_schemas import FILE, upload_body
from service.gateway.api.libretranslate import LIBRETRANSLATE, current_code
from service.gateway.api.libretranslate_schemas import LibreTranslateError
from service.gateway.api.uploads import read_upload
from service.settings import Settings
from service.store.records import DocumentState, Scope, StoredDocument

__all__ = ["LIBRETRANSLATE_FILES", "LibreTranslateFilesApi"]

LIBRETRANSLATE_FILES = Contract(
    error_form=LIBRETRANSLATE.error_form, errors=LIBRETRANSLATE.errors, key_in_fields=True
)

_LOOK_SECONDS = (0.1, 1.0)
"""Between two looks whether a document is done: the first, and the most."""
_WAIT_SHARE = 0.9
"""Share of the time of a request for which it waits for its document."""
_File = Annotated[str, Path(examples=["4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11.docx"])]
_ERRORS = translation_errors(LibreTranslateError)
_MORE: dict[int | str, dict[str, Any]] = {
    404: {"model": LibreTranslateError, "description": "There is no such file, or not any more"},
    409: {"model": LibreTranslateError, "description": "It could not be translated"},
    507: {"model": LibreTranslateError, "description": "There is no room to store it"},
}


class LibreTranslateFile(Reply):
    """Where a translated file is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "translatedFileUrl": "http://localhost:8000/download_file/"
                    "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11.docx"
                }
            ]
        }
    )

    translatedFileUrl: str  # noqa: N815 - the wire's name


class LibreTranslateFilesApi:
    """The handlers of LibreTranslate's files."""

    def __init__(
        self, documents: DocumentRequests, access: AccessControl, settings: Settings
    ) -> None:
        self._documents = documents
        self._access = access
        self._enabled = settings.documents.enabled
        self._wait_seconds = _WAIT_SHARE * settings.limits.request_timeout_seconds

    @LIBRETRANSLATE_FILES.route(
        "/translate_file",
        scope=Scope.DOCUMENTS,
        methods=["POST"],
        summary="Translate a file, in LibreTranslate's form",
        response_model=LibreTranslateFile,
        responses=_ERRORS | _MORE,
        openapi_extra={
            "requestBody": upload_body(
                ["source", "target"],
                source='Language code of the file, or "auto".',
                target="Language code to translate into.",
                api_key="The API key, where there must be one and no header has it.",
            )
        },
        tags=["LibreTranslate"],
    )
    async def translate_file(self, request: Request) -> LibreTranslateFile:
        """Answers when the file has been translated, or before the time for the request is over."""
        if not self._enabled:
            raise ForbiddenError("Files translation are disabled on this server.")
        upload = await read_upload(request)
        fields = upload.fields
        key = fields.get("api_key") or fields.get("apiKey")
        await self._access.admit(request.scope, Scope.DOCUMENTS, key)
        for name in ("source", "target"):
            if not fields.get(name):
                raise InvalidRequestError(f"Invalid request: missing {name} parameter")
        source, target = current_code(fields["source"]), current_code(fields["target"])
        try:
            added = await self._documents.add(
                request, upload, source=None if source == "auto" else source, target=target,
                open=True,
            )  # fmt: skip
        except LanguageNotServedError as error:
            name = fields["source" if error.field == "source" else "target"]
            raise InvalidRequestError(f"{name[:35]} is not supported") from None
        except UnsupportedDocumentError:
            raise InvalidRequestError("Invalid request: file format not supported") from None
        done = await self._waited(request, added)
        if done.state is DocumentState.ERROR:
            raise InvalidRequestError(done.error or "the file cannot be translated")
        extension = done.name.rpartition(".")[2]
        return LibreTranslateFile(
            translatedFileUrl=f"{_origin(request)}/download_file/{done.id}.{extension}"
        )

    @LIBRETRANSLATE_FILES.route(
        "/download_file/{file}",
        summary="A translated file, in LibreTranslate's form",
        response_class=Response,
        responses={status: _ERRORS[status] for status in (503,)} | _MORE | FILE,
        tags=["LibreTranslate"],
    )
    async def download_file(self, request: Request, file: _File) -> Response:
        """The file, until it expires; who has its URL needs no API key."""
        found = await self._documents.find(request, file.partition(".")[0])
        return await self._documents.result(await self._waited(request, found))

    async def _waited(self, request: Request, document: StoredDocument) -> StoredDocument:
        """The document when it is done, or time is over."""
        until = time.monotonic() + self._wait_seconds
        pause, most = _LOOK_SECONDS
        while document.state not in (DocumentState.DONE, DocumentState.ERROR):
            if time.monotonic() + pause > until:
                break
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, most)
            document = await self._documents.find(request, document.id)
        return document


def _origin(request: Request) -> str:
    """What the client has asked for, as far as it says."""
    is_secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    return f"{'https' if is_secure else 'http'}://{request.url.netloc}"
