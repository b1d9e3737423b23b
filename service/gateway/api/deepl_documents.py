"""DeepL's documents: POST /v2/document, its state and its result, with the key that it answers."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import (
    Failure,
    InvalidFieldError,
    LanguageNotServedError,
    UnknownGlossaryError,
)
from service.gateway.api.contract import Contract, Reply
from service.gateway.api.deepl import DEEPL, not_supported
from service.gateway.api.deepl_schemas import DeepLError
from service.gateway.api.document_requests import DocumentRequests
from service.gateway.api.document_schemas import FILE, upload_body
from service.gateway.api.form_body import read_fields
from service.gateway.api.uploads import Upload, read_upload
from service.gateway.request_context import RequestContext
from service.store.records import DocumentState, Scope, StoredDocument

__all__ = ["DEEPL_DOCUMENTS", "DeepLDocumentsApi"]

_KEY_BYTES = 32
_MAX_FIELDS = 32


def _error_form(failure: Failure, context: RequestContext) -> Response:
    """A failure in DeepL's form; its clients know 503 of a document that is not ready, and these
    words of a file that is none."""
    if failure.kind == "unsupported_document":
        failure = replace(failure, message=f"Invalid file extension: {failure.message}")
    answer = DEEPL.error_form(failure, context)
    if failure.kind == "document_not_ready":
        answer.status_code = 503
    return answer


DEEPL_DOCUMENTS = Contract(error_form=_error_form, errors=DEEPL.errors)

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": DeepLError, "description": description}
    for status, description in (
        (400, "A field breaks a rule, or the document is damaged or of an unknown format"),
        (403, "The API key is not valid, or none was sent"),
        (404, "There is no such document, or not any more"),
        (413, "The document is too large"),
        (429, "Too many requests or documents: see Retry-After"),
        (456, "The characters of this month are used up"),
        (503, "Too much to do, or not ready yet: see Retry-After"),
        (507, "There is no room to store it"),
    )
}
_Id = Annotated[str, Path(examples=["4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"])]
_COMMON: dict[str, Any] = {"scope": Scope.DOCUMENTS, "methods": ["POST"], "tags": ["DeepL"]}
_UPLOAD = upload_body(
    ["target_lang"],
    source_lang="Language code of the document; found where absent.",
    target_lang="Language code to translate into.",
    filename="Name of the file, in place of its own.",
    glossary_id="Id of a stored glossary; needs `source_lang`.",
    glossary_ids="In its place, up to 5 of them, with commas between.",
    output_format="The extension of the file, if any: there is no other one.",
    formality="Read, and without effect.",
)
_KEY_SCHEMA = {
    "schema": {
        "type": "object",
        "required": ["document_key"],
        "properties": {"document_key": {"type": "string"}},
        "examples": [{"document_key": "0C1B"}],
    }
}
_KEY_BODY = {
    "required": True,
    "content": {"application/json": _KEY_SCHEMA, "application/x-www-form-urlencoded": _KEY_SCHEMA},
}


class DeepLDocumentHandle(Reply):
    """What a client must have to ask for its document."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "document_id": "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11",
                    "document_key": "0C1B…",
                }
            ]
        }
    )

    document_id: str
    document_key: str
    """Nobody can see the document without it. The server keeps its hash alone."""


class DeepLDocumentStatus(Reply):
    """How far a document is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "document_id": "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11",
                    "status": "translating",
                    "seconds_remaining": 42,
                }
            ]
        }
    )

    document_id: str
    status: Literal["queued", "translating", "done", "error"]
    seconds_remaining: int | None = None
    """Estimated, while it is translated."""
    billed_characters: int | None = None
    """When it is done."""
    error_message: str | None = None
    """Why it failed."""


class DeepLDocumentsApi:
    """The handlers of DeepL's documents."""

    def __init__(self, documents: DocumentRequests) -> None:
        self._documents = documents

    @DEEPL_DOCUMENTS.route(
        "/v2/document",
        summary="Translate a document in the background, in DeepL's form",
        response_model=DeepLDocumentHandle,
        responses={status: error for status, error in _ERRORS.items() if status != 404},
        openapi_extra={"requestBody": _UPLOAD},
        **_COMMON,
    )
    async def add(self, request: Request) -> DeepLDocumentHandle:
        """Takes in a file, and answers its id and its key."""
        upload = await read_upload(request)
        fields = upload.fields
        if not fields.get("target_lang"):
            raise InvalidFieldError("Parameter 'target_lang' not specified.", field="target_lang")
        if fields.get("filename"):
            upload = Upload(
                fields=fields, name=fields["filename"], media_type=upload.media_type,
                data=upload.data,
            )  # fmt: skip
        _check_format(upload)
        secret = secrets.token_hex(_KEY_BYTES).upper()
        try:
            added = await self._documents.add(
                request,
                upload,
                source=fields.get("source_lang") or None,
                target=fields["target_lang"],
                glossary_ids=upload.names("glossary_id") or upload.names("glossary_ids"),
                secret=secret,
            )
        except LanguageNotServedError as error:
            raise not_supported(f"{error.field}_lang") from None
        except UnknownGlossaryError:
            name = "glossary_id" if upload.names("glossary_id") else "glossary_ids"
            raise not_supported(name) from None
        return DeepLDocumentHandle(document_id=added.id, document_key=secret)

    @DEEPL_DOCUMENTS.route(
        "/v2/document/{document_id}",
        summary="How far a document is, in DeepL's form",
        response_model=DeepLDocumentStatus,
        response_model_exclude_none=True,
        responses=_ERRORS,
        openapi_extra={"requestBody": _KEY_BODY},
        **_COMMON,
    )
    async def status(self, request: Request, document_id: _Id) -> Response:
        """Its state; needs the `document_key`."""
        found = await self._found(request, document_id)
        is_done = found.state is DocumentState.DONE
        status = DeepLDocumentStatus(
            document_id=found.id,
            status=found.state.value,
            seconds_remaining=found.seconds_left,
            billed_characters=found.num_characters if is_done else None,
            error_message=found.error,
        )
        return JSONResponse(status.model_dump(exclude_none=True))

    @DEEPL_DOCUMENTS.route(
        "/v2/document/{document_id}/result",
        summary="The translated file, in DeepL's form",
        response_class=Response,
        responses=_ERRORS | FILE,
        openapi_extra={"requestBody": _KEY_BODY},
        **_COMMON,
    )
    async def result(self, request: Request, document_id: _Id) -> Response:
        """The file, once: it is deleted when all of it has been sent. Needs the `document_key`."""
        found = await self._found(request, document_id)
        return await self._documents.result(found, once=True)

    async def _found(self, request: Request, id: str) -> StoredDocument:
        fields = await read_fields(request, max_fields=_MAX_FIELDS, lists=())
        key = fields.get("document_key") if isinstance(fields, dict) else None
        if not isinstance(key, str) or not key:
            raise InvalidFieldError("Parameter 'document_key' not specified.", field="document_key")
        return await self._documents.find(request, id, secret=key)


def _check_format(upload: Upload) -> None:
    wanted = upload.fields.get("output_format", "").lower().removeprefix(".")
    if wanted and wanted != (upload.name or "").lower().rpartition(".")[2]:
        raise not_supported("output_format")
