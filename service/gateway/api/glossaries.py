"""Stored glossaries in the native API: POST, GET and DELETE /v1/glossaries."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.gateway.api.contract import Contract
from service.gateway.api.glossary_schemas import (
    DictionaryReply,
    GlossaryDetails,
    GlossaryList,
    GlossaryReply,
    NewGlossary,
)
from service.gateway.api.json_body import JsonRoute
from service.gateway.api.native import NATIVE_ERRORS, native_error
from service.gateway.api.native_schemas import ErrorReply
from service.gateway.api.stored_glossaries import StoredGlossaries
from service.store.records import Scope

__all__ = ["GLOSSARIES", "GlossariesApi"]

GLOSSARIES = Contract(error_form=native_error, errors=NATIVE_ERRORS)

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": description}
    for status, description in (
        (401, "There must be an API key, or a valid one"),
        (403, "Only who has an API key may store anything here"),
        (429, "Too many requests: see Retry-After"),
        (503, "What is stored cannot be reached now: see Retry-After"),
    )
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorReply, "description": "There is no such glossary"}
}
_BAD: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": description}
    for status, description in (
        (400, "The body is not JSON in UTF-8"),
        (408, "The body did not arrive in time"),
        (413, "The body is too large"),
        (415, "The body is not declared to be JSON"),
        (422, "A field breaks a rule, or there are too many glossaries"),
        (507, "There is no room to store it"),
    )
}
_Id = Annotated[str, Path(examples=["4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"])]
_COMMON: dict[str, Any] = {"scope": Scope.TRANSLATE, "tags": ["glossaries"]}


class GlossariesApi:
    """The handlers of stored glossaries."""

    def __init__(self, glossaries: StoredGlossaries) -> None:
        self._glossaries = glossaries

    @GLOSSARIES.route(
        "/v1/glossaries",
        methods=["POST"],
        summary="Store a glossary",
        status_code=201,
        response_model=GlossaryReply,
        responses=_ERRORS | _BAD,
        route_class_override=JsonRoute,
        **_COMMON,
    )
    async def add(self, request: Request, body: NewGlossary) -> Response:
        """Stores terms and their translations, to be used by the `glossary_id` of requests.

        It belongs to the API key of the request; where there are no keys, to everybody.
        """
        dictionaries = [each.to_dictionary() for each in body.dictionaries]
        added = await self._glossaries.add(request, body.name, dictionaries)
        return JSONResponse(GlossaryReply.of(added).model_dump(), status_code=201)

    @GLOSSARIES.route(
        "/v1/glossaries",
        summary="The stored glossaries",
        response_model=GlossaryList,
        responses=_ERRORS,
        **_COMMON,
    )
    async def all(self, request: Request) -> GlossaryList:
        """Those of the API key, the oldest first."""
        found = await self._glossaries.all(request)
        return GlossaryList(glossaries=[GlossaryReply.of(each) for each in found])

    @GLOSSARIES.route(
        "/v1/glossaries/{id}",
        summary="A stored glossary, with its terms",
        response_model=GlossaryDetails,
        responses=_ERRORS | _UNKNOWN,
        **_COMMON,
    )
    async def glossary(self, request: Request, id: _Id) -> GlossaryDetails:
        """Its name, its language pairs, and the terms of each."""
        found = await self._glossaries.find(request, id)
        contents = await self._glossaries.dictionaries(request, id)
        return GlossaryDetails(
            **dict(GlossaryReply.of(found)),
            contents=[DictionaryReply.of(each) for each in contents],
        )

    @GLOSSARIES.route(
        "/v1/glossaries/{id}",
        methods=["DELETE"],
        summary="Delete a stored glossary",
        status_code=204,
        response_class=Response,
        responses=_ERRORS | _UNKNOWN,
        **_COMMON,
    )
    async def remove(self, request: Request, id: _Id) -> Response:
        """Deletes it; other gateways may use it for some seconds more."""
        await self._glossaries.remove(request, id)
        return Response(status_code=204)
