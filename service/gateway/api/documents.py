"""Documents in the native API: POST and GET /v1/documents, GET and DELETE of one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import InvalidFieldError, shown
from service.gateway.api.contract import Contract
from service.gateway.api.document_requests import DocumentRequests
from service.gateway.api.document_schemas import FILE, DocumentList, DocumentReply, upload_body
from service.gateway.api.native import NATIVE_ERRORS, native_error
from service.gateway.api.native_schemas import ErrorReply
from service.gateway.api.uploads import Upload, read_upload
from service.store.records import Scope

__all__ = ["DOCUMENTS", "DocumentsApi"]

DOCUMENTS = Contract(error_form=native_error, errors=NATIVE_ERRORS)

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": description}
    for status, description in (
        (401, "There must be an API key, or a valid one"),
        (403, "The API key is for something else, or documents are not translated here"),
        (429, "Too many requests or documents: see Retry-After"),
        (503, "Too much to do, or what is stored cannot be reached: see Retry-After"),
    )
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorReply, "description": "There is no such document, or not any more"}
}
_NO_GLOSSARY: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorReply, "description": "There is no glossary of that id"}
}
_NOT_READY: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorReply, "description": "It is not translated yet, or has failed"}
}
_BAD: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": description}
    for status, description in (
        (400, "The body is not a form"),
        (408, "The body did not arrive in time"),
        (413, "The document is too large"),
        (415, "The document is of a format that is not known, or the body is not a form"),
        (422, "A field breaks a rule, the document is damaged, or the languages are not served"),
        (507, "There is no room to store it"),
    )
}
_BODY = upload_body(
    ["target"],
    source="Language code of the document; found where absent.",
    target="Language code to translate into.",
    model="Id or alias of the model.",
    glossary_id="Id of a stored glossary, or of several, with commas between; needs `source`.",
    keys="Of .json: names or paths of the strings to translate, with commas between.",
    columns="Of .csv: names or numbers of the columns to translate, with commas between.",
    retranslate='"true": messages of .po and .xliff that have a translation get a new one.',
)
_Id = Annotated[str, Path(examples=["4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"])]
_Limit = Annotated[int, Query(ge=1, le=100, examples=[20])]
_After = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,12}-[0-9a-f-]{36}$",
        examples=["1796000000-4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"],
    ),
]
_COMMON: dict[str, Any] = {"scope": Scope.DOCUMENTS, "tags": ["documents"]}


class DocumentsApi:
    """The handlers of documents."""

    def __init__(self, documents: DocumentRequests) -> None:
        self._documents = documents

    @DOCUMENTS.route(
        "/v1/documents",
        methods=["POST"],
        summary="Translate a document in the background",
        status_code=202,
        response_model=DocumentReply,
        responses=_ERRORS | _BAD | _NO_GLOSSARY,
        openapi_extra={"requestBody": _BODY},
        **_COMMON,
    )
    async def add(self, request: Request) -> Response:
        """Takes in a file: .txt .md .html .srt .vtt .docx .pptx .xlsx .odt .epub .po .xliff .json
        .csv, known by its name or its media type.

        What is answered is stored: it is not lost when a gateway ends. `GET` at the `Location`
        tells how far it is.
        """
        upload = await read_upload(request)
        fields = upload.fields
        added = await self._documents.add(
            request,
            upload,
            source=fields.get("source") or None,
            target=_required(upload, "target"),
            model=fields.get("model"),
            glossary_ids=upload.names("glossary_id"),
            keys=upload.names("keys"),
            columns=upload.names("columns"),
            retranslate=_flag(upload, "retranslate"),
        )
        return JSONResponse(
            DocumentReply.of(added).model_dump(),
            status_code=202,
            headers={"Location": f"/v1/documents/{added.id}"},
        )

    @DOCUMENTS.route(
        "/v1/documents",
        summary="The documents of the API key",
        response_model=DocumentList,
        responses=_ERRORS | {422: {"model": ErrorReply, "description": "A bad `limit` or `after`"}},
        **_COMMON,
    )
    async def all(self, request: Request, limit: _Limit = 20, after: _After = None) -> Response:
        """Those that were sent to this API, the newest first, page by page.

        Without a key nothing is listed: who knows the id of a document may see it.
        """
        last = None
        if after:
            created_at, _, id = after.partition("-")
            last = int(created_at), id
        found = await self._documents.listed(request, most=limit + 1, after=last)
        page, more = found[:limit], len(found) > limit
        listed = DocumentList(
            documents=[DocumentReply.of(each) for each in page],
            next=f"{page[-1].created_at}-{page[-1].id}" if more else None,
        )
        return JSONResponse(listed.model_dump())

    @DOCUMENTS.route(
        "/v1/documents/{id}",
        summary="How far a document is",
        response_model=DocumentReply,
        responses=_ERRORS | _UNKNOWN,
        **_COMMON,
    )
    async def document(self, request: Request, id: _Id) -> DocumentReply:
        """Its state, and the share that has been translated."""
        return DocumentReply.of(await self._documents.find(request, id))

    @DOCUMENTS.route(
        "/v1/documents/{id}/result",
        summary="The translated file",
        response_class=Response,
        responses=_ERRORS | _UNKNOWN | _NOT_READY | FILE,
        **_COMMON,
    )
    async def result(self, request: Request, id: _Id) -> Response:
        """The file, in the format of the one that was sent; as often as wanted until it expires."""
        return await self._documents.result(await self._documents.find(request, id))

    @DOCUMENTS.route(
        "/v1/documents/{id}",
        methods=["DELETE"],
        summary="Delete a document",
        status_code=204,
        response_class=Response,
        responses=_ERRORS | _UNKNOWN,
        **_COMMON,
    )
    async def remove(self, request: Request, id: _Id) -> Response:
        """Deletes it and its translation; if it is being translated, that ends within seconds."""
        await self._documents.remove(await self._documents.find(request, id))
        return Response(status_code=204)


def _required(upload: Upload, name: str) -> str:
    if not (value := upload.fields.get(name, "")):
        raise InvalidFieldError(f"`{name}` is required", field=name)
    return value


def _flag(upload: Upload, name: str) -> bool:
    value = upload.fields.get(name, "")
    if value.lower() not in ("", "true", "false", "1", "0"):
        raise InvalidFieldError(
            f"`{name}` must be true or false, but is {shown(value)}", field=name
        )
    return value.lower() in ("true", "1")
