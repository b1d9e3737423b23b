"""DeepL's glossaries: /v2/glossaries, of one language pair, and /v3/glossaries, of several."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.errors import InvalidRequestError
from model.text.language_tags import bcp47
from model.text_options import GlossaryEntry
from service.errors import UnknownGlossaryError
from service.gateway.api.contract import Contract, Reply
from service.gateway.api.deepl import DEEPL, not_supported, problem_of
from service.gateway.api.deepl_schemas import DeepLError
from service.gateway.api.form_body import read_fields
from service.gateway.api.stored_glossaries import StoredGlossaries, dictionary_for
from service.routing.router import Router
from service.store.records import Dictionary, Glossary, Scope

__all__ = ["DEEPL_GLOSSARIES", "DeepLGlossariesApi"]

DEEPL_GLOSSARIES = Contract(error_form=DEEPL.error_form, errors=DEEPL.errors)

_Code = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$", max_length=35)]
_Name = Annotated[str, Field(min_length=1, max_length=1000)]
_MAX_DICTIONARIES = 100
_GlossaryId = Annotated[str, Path(examples=["4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"])]
_PAIR: dict[str, Any] = {"source_lang": "en", "target_lang": "de"}
_TERMS: dict[str, Any] = _PAIR | {"entries": "invoice\tFaktura", "entries_format": "tsv"}
_ID: dict[str, Any] = {"glossary_id": "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11", "name": "Invoices"}
_INFO: dict[str, Any] = _PAIR | {"entry_count": 1}
_TIME: dict[str, Any] = {"creation_time": "2026-11-29T12:00:00.000000Z"}
_ONE: dict[str, Any] = _ID | _INFO | _TIME | {"ready": True}
_MANY: dict[str, Any] = _ID | _TIME | {"dictionaries": [_INFO]}
_MAX_FIELDS = 32
_TSV = "text/tab-separated-values"
_COMMON: dict[str, Any] = {"scope": Scope.TRANSLATE, "tags": ["DeepL"]}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": DeepLError, "description": description}
    for status, description in (
        (400, "A field breaks a rule, or there are too many glossaries"),
        (403, "The API key is not valid, or none was sent"),
        (404, "There is no such glossary"),
        (429, "Too many requests: see Retry-After"),
        (503, "What is stored cannot be reached now: see Retry-After"),
    )
}


class DeepLDictionary(BaseModel):
    """The terms of a language pair."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"examples": [_TERMS]}
    )

    source_lang: _Code
    target_lang: _Code
    entries: str
    """Lines of a term, a tab (or comma) and its translation."""
    entries_format: Literal["tsv", "csv"] = "tsv"

    def to_dictionary(self) -> Dictionary:
        """As it is stored.

        Raises:
            InvalidRequestError: the entries are not in their format.
        """
        pairs = list(_pairs(self.entries, self.entries_format))
        if len({term for term, _ in pairs}) < len(pairs):
            raise InvalidRequestError("Parameter 'entries' must have each term once.")
        if not pairs:
            raise InvalidRequestError("Parameter 'entries' must have an entry.")
        # Terms that differ in case are different ones.
        times = Counter(term.casefold() for term, _ in pairs)
        return Dictionary(
            source=self.source_lang.lower(),
            target=self.target_lang.lower(),
            entries=tuple(
                GlossaryEntry(term, (translation,), case_sensitive=times[term.casefold()] > 1)
                for term, translation in pairs
            ),
        )


class DeepLNewGlossary(DeepLDictionary):
    """A glossary of one language pair."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Invoices"} | _TERMS]})

    name: _Name


class DeepLNewMultilingualGlossary(BaseModel):
    """A glossary of several language pairs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Invoices", "dictionaries": [_TERMS]}]}
    )

    name: _Name
    dictionaries: list[DeepLDictionary] = Field(min_length=1, max_length=_MAX_DICTIONARIES)


class DeepLGlossaryChange(BaseModel):
    """What becomes of a glossary: another name, and terms that are added or take the place of
    others."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Letters", "dictionaries": [_TERMS]}]}
    )

    name: _Name | None = None
    dictionaries: list[DeepLDictionary] = Field(default_factory=list, max_length=_MAX_DICTIONARIES)


class DeepLDictionaryInfo(Reply):
    """A dictionary without its terms."""

    model_config = ConfigDict(json_schema_extra={"examples": [_INFO]})

    source_lang: str
    target_lang: str
    entry_count: int


class DeepLGlossary(DeepLDictionaryInfo):
    """A glossary of one language pair."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ONE]})

    glossary_id: str
    name: str
    ready: bool = True
    creation_time: str


class DeepLMultilingualGlossary(Reply):
    """A glossary of several language pairs."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MANY]})

    glossary_id: str
    name: str
    dictionaries: list[DeepLDictionaryInfo]
    creation_time: str


class DeepLGlossaries(Reply):
    """Those of one language pair that a client has."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"glossaries": [_ONE]}]})

    glossaries: list[DeepLGlossary]


class DeepLMultilingualGlossaries(Reply):
    """Those that a client has."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"glossaries": [_MANY]}]})

    glossaries: list[DeepLMultilingualGlossary]


class DeepLDictionaryEntries(Reply):
    """A dictionary with its terms."""

    source_lang: str
    target_lang: str
    entries: str
    entries_format: Literal["tsv"] = "tsv"


class DeepLEntries(Reply):
    """The dictionaries of a glossary with their terms."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dictionaries": [_TERMS]}]})

    dictionaries: list[DeepLDictionaryEntries]


class DeepLPair(Reply):
    """A language pair."""

    source_lang: str
    target_lang: str


class DeepLPairs(Reply):
    """The language pairs that glossaries may have."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"supported_languages": [_PAIR]}]})

    supported_languages: list[DeepLPair]


_Fields = TypeVar("_Fields", bound=BaseModel)


def _body(model: type[BaseModel]) -> dict[str, Any]:
    described = model.model_json_schema()
    if definitions := described.pop("$defs", None):
        # Within a description of routes there is no place for them.
        described["properties"]["dictionaries"]["items"] = definitions["DeepLDictionary"]
    schema = {"schema": described}
    content = {"application/json": schema}
    if model is DeepLNewGlossary:
        content["application/x-www-form-urlencoded"] = schema
    # A change of nothing may be an empty body.
    return {"requestBody": {"required": model is not DeepLGlossaryChange, "content": content}}


def _query() -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 35}
    return {
        "parameters": [
            {"name": name, "in": "query", "required": True, "schema": schema, "example": code}
            for name, code in _PAIR.items()
        ]
    }


class DeepLGlossariesApi:
    """The handlers of DeepL's glossaries."""

    def __init__(self, glossaries: StoredGlossaries, router: Router) -> None:
        self._glossaries = glossaries
        self._router = router

    @DEEPL_GLOSSARIES.route(
        "/v2/glossary-language-pairs",
        summary="The language pairs of glossaries, in DeepL's form",
        response_model=DeepLPairs,
        responses={403: _ERRORS[403]},
        **_COMMON,
    )
    async def pairs(self) -> DeepLPairs:
        """All pairs that are served, by their languages alone."""
        served = {
            (_language(source), _language(target))
            for source, targets in self._router.languages.items()
            for target in targets
        }
        return DeepLPairs(
            supported_languages=[
                DeepLPair(source_lang=source, target_lang=target)
                for source, target in sorted(served)
                if source != target
            ]
        )

    @DEEPL_GLOSSARIES.route(
        "/v2/glossaries",
        methods=["POST"],
        summary="Store a glossary of one language pair, in DeepL's form",
        status_code=201,
        response_model=DeepLGlossary,
        responses=_ERRORS,
        openapi_extra=_body(DeepLNewGlossary),
        **_COMMON,
    )
    async def add(self, request: Request) -> Response:
        """Takes JSON or a form."""
        wanted = await _read(request, DeepLNewGlossary)
        added = await self._glossaries.add(request, wanted.name, [self._served(wanted)])
        return JSONResponse(_glossary(added).model_dump(), status_code=201)

    @DEEPL_GLOSSARIES.route(
        "/v2/glossaries",
        summary="The glossaries of one language pair, in DeepL's form",
        response_model=DeepLGlossaries,
        responses=_ERRORS,
        **_COMMON,
    )
    async def all(self, request: Request) -> DeepLGlossaries:
        """Those of the API key."""
        found = await self._glossaries.all(request)
        ones = [_glossary(each) for each in found if len(each.dictionaries) == 1]
        return DeepLGlossaries(glossaries=ones)

    @DEEPL_GLOSSARIES.route(
        "/v2/glossaries/{glossary_id}",
        summary="A glossary of one language pair, in DeepL's form",
        response_model=DeepLGlossary,
        responses=_ERRORS,
        **_COMMON,
    )
    async def glossary(self, request: Request, glossary_id: _GlossaryId) -> DeepLGlossary:
        """Without its terms."""
        found = await self._glossaries.find(request, glossary_id)
        if len(found.dictionaries) != 1:
            raise _no_dictionary()
        return _glossary(found)

    @DEEPL_GLOSSARIES.route(
        "/v2/glossaries/{glossary_id}/entries",
        summary="The terms of a glossary of one language pair, in DeepL's form",
        response_class=Response,
        responses=_ERRORS | {200: {"content": {_TSV: {}}, "description": "Its terms"}},
        **_COMMON,
    )
    async def entries(self, request: Request, glossary_id: _GlossaryId) -> Response:
        """Lines of a term, a tab and its translation."""
        found = await self._glossaries.dictionaries(request, glossary_id)
        if len(found) != 1:
            raise _no_dictionary()
        return Response(_tsv(found[0]), media_type=_TSV)

    @DEEPL_GLOSSARIES.route(
        "/v2/glossaries/{glossary_id}",
        methods=["DELETE"],
        summary="Delete a glossary, in DeepL's form",
        status_code=204,
        response_class=Response,
        responses=_ERRORS,
        **_COMMON,
    )
    async def remove(self, request: Request, glossary_id: _GlossaryId) -> Response:
        """Deletes it with all its terms."""
        await self._glossaries.remove(request, glossary_id)
        return Response(status_code=204)

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries",
        methods=["POST"],
        summary="Store a glossary of several language pairs, in DeepL's form",
        status_code=201,
        response_model=DeepLMultilingualGlossary,
        responses=_ERRORS,
        openapi_extra=_body(DeepLNewMultilingualGlossary),
        **_COMMON,
    )
    async def add_multilingual(self, request: Request) -> Response:
        """With a dictionary for each pair."""
        wanted = await _read(request, DeepLNewMultilingualGlossary)
        dictionaries = [self._served(each) for each in wanted.dictionaries]
        added = await self._glossaries.add(request, wanted.name, dictionaries)
        return JSONResponse(_multilingual(added).model_dump(), status_code=201)

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries",
        summary="The glossaries, in DeepL's form",
        response_model=DeepLMultilingualGlossaries,
        responses=_ERRORS,
        **_COMMON,
    )
    async def all_multilingual(self, request: Request) -> DeepLMultilingualGlossaries:
        """Those of the API key."""
        found = await self._glossaries.all(request)
        return DeepLMultilingualGlossaries(glossaries=[_multilingual(each) for each in found])

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries/{glossary_id}",
        summary="A glossary, in DeepL's form",
        response_model=DeepLMultilingualGlossary,
        responses=_ERRORS,
        **_COMMON,
    )
    async def multilingual(
        self, request: Request, glossary_id: _GlossaryId
    ) -> DeepLMultilingualGlossary:
        """Without its terms."""
        return _multilingual(await self._glossaries.find(request, glossary_id))

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries/{glossary_id}",
        methods=["PATCH"],
        summary="Rename a glossary or add terms, in DeepL's form",
        response_model=DeepLMultilingualGlossary,
        responses=_ERRORS,
        openapi_extra=_body(DeepLGlossaryChange),
        **_COMMON,
    )
    async def change(self, request: Request, glossary_id: _GlossaryId) -> DeepLMultilingualGlossary:
        """Terms that a dictionary has already get the new translation; others are added."""
        wanted = await _read(request, DeepLGlossaryChange)
        dictionaries = [self._served(each) for each in wanted.dictionaries]
        changed = await self._glossaries.change(
            request, glossary_id, name=wanted.name, dictionaries=dictionaries, merge=True
        )
        return _multilingual(changed)

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries/{glossary_id}",
        methods=["DELETE"],
        summary="Delete a glossary, in DeepL's form",
        status_code=204,
        response_class=Response,
        responses=_ERRORS,
        **_COMMON,
    )
    async def remove_multilingual(self, request: Request, glossary_id: _GlossaryId) -> Response:
        """Deletes it with all its dictionaries."""
        return await self.remove(request, glossary_id)

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries/{glossary_id}/entries",
        summary="The terms of a language pair of a glossary, in DeepL's form",
        response_model=DeepLEntries,
        responses=_ERRORS,
        openapi_extra=_query(),
        **_COMMON,
    )
    async def entries_of_pair(self, request: Request, glossary_id: _GlossaryId) -> DeepLEntries:
        """As lines of a term, a tab and its translation."""
        source, target = _pair(request)
        found = await self._glossaries.dictionaries(request, glossary_id)
        if (one := dictionary_for(found, source, target)) is None:
            raise _no_dictionary()
        return DeepLEntries(
            dictionaries=[
                DeepLDictionaryEntries(
                    source_lang=one.source, target_lang=one.target, entries=_tsv(one)
                )
            ]
        )

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries/{glossary_id}/dictionaries",
        methods=["PUT"],
        summary="Replace the terms of a language pair of a glossary, in DeepL's form",
        response_model=DeepLDictionaryInfo,
        responses=_ERRORS,
        openapi_extra=_body(DeepLDictionary),
        **_COMMON,
    )
    async def replace(self, request: Request, glossary_id: _GlossaryId) -> DeepLDictionaryInfo:
        """A dictionary that was not there is added."""
        dictionary = self._served(await _read(request, DeepLDictionary))
        await self._glossaries.change(request, glossary_id, dictionaries=[dictionary])
        return DeepLDictionaryInfo(
            source_lang=dictionary.source,
            target_lang=dictionary.target,
            entry_count=len(dictionary.entries),
        )

    @DEEPL_GLOSSARIES.route(
        "/v3/glossaries/{glossary_id}/dictionaries",
        methods=["DELETE"],
        summary="Delete the terms of a language pair of a glossary, in DeepL's form",
        status_code=204,
        response_class=Response,
        responses=_ERRORS,
        openapi_extra=_query(),
        **_COMMON,
    )
    async def remove_pair(self, request: Request, glossary_id: _GlossaryId) -> Response:
        """The other pairs stay."""
        source, target = _pair(request)
        await self._glossaries.remove_dictionary(
            request, glossary_id, source.lower(), target.lower()
        )
        return Response(status_code=204)

    def _served(self, wanted: DeepLDictionary) -> Dictionary:
        """As it is stored; InvalidFieldError where no model has one of its languages."""
        for name, code in (
            ("source_lang", wanted.source_lang),
            ("target_lang", wanted.target_lang),
        ):
            if self._router.served(code) is None:
                raise not_supported(name)
        return wanted.to_dictionary()


async def _read(request: Request, model: type[_Fields]) -> _Fields:
    fields = await read_fields(request, max_fields=_MAX_FIELDS, lists=())
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise problem_of(exc.errors(include_url=False)[0]) from None


def _pair(request: Request) -> tuple[str, str]:
    source = request.query_params.get("source_lang", "")
    target = request.query_params.get("target_lang", "")
    for name, value in (("source_lang", source), ("target_lang", target)):
        if not 0 < len(value) <= 35:
            raise InvalidRequestError(f"Parameter '{name}' not specified.")
    return source, target


def _pairs(entries: str, form: str) -> Iterable[tuple[str, str]]:
    """The terms and their translations."""
    rows: Iterable[list[str]] = (line.split("\t") for line in entries.splitlines())
    if form == "csv":
        rows = csv.reader(io.StringIO(entries, newline=""), strict=True)
    try:
        for number, row in enumerate(rows, start=1):
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            # Of four columns, the last two repeat the languages.
            if len(cells) not in ((2, 4) if form == "csv" else (2,)) or not all(cells[:2]):
                raise InvalidRequestError(
                    f"Parameter 'entries' must have a term and its translation in each line, but "
                    f"line {number} has not."
                )
            yield cells[0], cells[1]
    except csv.Error:
        raise InvalidRequestError("Parameter 'entries' must be CSV, but is not.") from None


def _tsv(dictionary: Dictionary) -> str:
    return "\n".join(f"{entry.source}\t{entry.targets[0]}" for entry in dictionary.entries)


def _language(code: str) -> str:

    return bcp47(code).partition("-")[0].lower()


def _time(glossary: Glossary) -> str:
    return f"{datetime.fromtimestamp(glossary.created_at, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _glossary(glossary: Glossary) -> DeepLGlossary:
    [only] = glossary.dictionaries
    return DeepLGlossary(
        glossary_id=glossary.id,
        name=glossary.name,
        source_lang=only.source,
        target_lang=only.target,
        entry_count=only.num_entries,
        creation_time=_time(glossary),
    )


def _multilingual(glossary: Glossary) -> DeepLMultilingualGlossary:
    return DeepLMultilingualGlossary(
        glossary_id=glossary.id,
        name=glossary.name,
        dictionaries=[
            DeepLDictionaryInfo(
                source_lang=one.source, target_lang=one.target, entry_count=one.num_entries
            )
            for one in glossary.dictionaries
        ],
        creation_time=_time(glossary),
    )


def _no_dictionary() -> UnknownGlossaryError:
    return UnknownGlossaryError(
        "There is no such dictionary in this glossary.", field="glossary_id"
    )
