"""DeepL's API (v2): POST /v2/translate, GET /v2/languages and /v2/usage.

Where keys are off, any is accepted, since its client cannot do without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.errors import InvalidRequestError
from model.text.language_tags import bcp47
from model.text_options import GlossaryEntry, TextFormat, TextOptions
from service.errors import Failure, InvalidFieldError, LanguageNotServedError
from service.gateway.access import AccessControl
from service.gateway.api.contract import Contract, translation_errors
from service.gateway.api.deepl_schemas import (
    DeepLError,
    DeepLLanguage,
    DeepLReply,
    DeepLTranslateRequest,
    DeepLUsage,
)
from service.gateway.api.form_body import read_fields
from service.gateway.api.language_names import language_name
from service.gateway.api.pipeline import REQUEST_HEADERS, Translated, TranslationPipeline
from service.gateway.api.stored_glossaries import StoredGlossaries, joined
from service.gateway.request_context import RequestContext
from service.settings import Limits
from service.store.records import Scope

__all__ = ["DEEPL", "DeepLApi", "not_supported", "problem_of"]

_FORMATS = {None: TextFormat.TEXT, "html": TextFormat.HTML, "xml": TextFormat.XML}
"""By `tag_handling`."""
_VARIANTS = {"EN": ("EN-GB", "EN-US"), "PT": ("PT-BR", "PT-PT")}
"""Targets of which the client insists on a variant."""
_UNLIMITED = 10**12
_LISTS = ("text", "ignore_tags", "splitting_tags", "non_splitting_tags", "glossary_ids")
"""Fields that may be repeated in a form."""
_ERRORS = translation_errors(DeepLError) | {
    456: {"model": DeepLError, "description": "The characters of this month are used up"}
}
_SCHEMA = {"schema": DeepLTranslateRequest.model_json_schema()}
_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": _SCHEMA,
        "application/x-www-form-urlencoded": _SCHEMA,
        "multipart/form-data": _SCHEMA,
    },
}


_STATUSES = {401: 403, 415: 400, 422: 400}
"""Those that DeepL has in place of ours."""


def _error_form(failure: Failure, context: RequestContext) -> Response:
    """A failure in DeepL's form, which has one status for all invalid requests."""
    del context
    status = _STATUSES.get(failure.status, failure.status)
    if failure.kind == "quota_exceeded":
        status = 456
    return JSONResponse({"message": failure.message}, status_code=status, headers=failure.headers)


_KEY_ERRORS: dict[int | str, dict[str, Any]] = {
    status: _ERRORS[status] for status in (403, 429, 503)
}
DEEPL = Contract(error_form=_error_form, errors=_KEY_ERRORS)


class DeepLApi:
    """The handlers of DeepL's API."""

    def __init__(
        self,
        pipeline: TranslationPipeline,
        limits: Limits,
        access: AccessControl,
        glossaries: StoredGlossaries,
    ) -> None:
        self._pipeline = pipeline
        self._limits = limits
        self._access = access
        self._glossaries = glossaries

    @DEEPL.route(
        "/v2/translate",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="Translate, in DeepL's form",
        response_model=DeepLReply,
        responses=_ERRORS,
        openapi_extra={"parameters": REQUEST_HEADERS, "requestBody": _REQUEST_BODY},
        tags=["DeepL"],
    )
    async def translate(self, request: Request) -> Response:
        """Translates `text`, a list of texts, from JSON or a form."""
        fields = await read_fields(request, max_fields=self._limits.max_texts + 64, lists=_LISTS)
        wanted = _validated(fields)
        texts = wanted.all_texts()
        options = await self._text_options(request, wanted)
        try:
            reply = await self._pipeline.translate(
                request,
                texts,
                source=wanted.source_lang,
                target=wanted.target_lang,
                options={},
                field="text",
                is_list=True,
                text_options=options,
                num_stored_terms=len(options.glossary),
            )
        except LanguageNotServedError as error:
            raise not_supported(f"{error.field}_lang") from None
        answer = {"translations": _translations(wanted, texts, reply)}
        return Response(to_json(answer), media_type="application/json")

    @DEEPL.route(
        "/v2/languages",
        scope=Scope.TRANSLATE,
        summary="The languages, in DeepL's form",
        response_model=list[DeepLLanguage],
        response_model_exclude_none=True,
        responses={400: _ERRORS[400]},
        openapi_extra={
            "parameters": [
                {
                    "name": "type",
                    "in": "query",
                    "schema": {"type": "string", "enum": ["source", "target"], "default": "source"},
                }
            ]
        },
        tags=["DeepL"],
    )
    async def languages(self, request: Request) -> list[DeepLLanguage]:
        """The sources, or with `type=target` the targets, those of English and Portuguese by their
        variants. The parameter may also stand in a form."""
        fields = await read_fields(request, max_fields=16, lists=())
        kind = fields.get("type", "source") if isinstance(fields, dict) else None
        languages = self._pipeline.router.languages
        if kind == "source":
            return _listed(code for code, into in languages.items() if into)
        if kind == "target":
            targets = {code for into in languages.values() for code in into}
            return [
                each.model_copy(update={"supports_formality": False})
                for each in _listed(targets, with_variants=True)
            ]
        raise not_supported("type")

    @DEEPL.route(
        "/v2/usage",
        scope=Scope.TRANSLATE,
        summary="The characters translated and allowed, in DeepL's form",
        response_model=DeepLUsage,
        tags=["DeepL"],
    )
    async def usage(self, request: Request) -> DeepLUsage:
        """Those of the API key in this month; a service without a limit tells a large one."""
        caller = await self._access.admit(request.scope, Scope.TRANSLATE)
        used, limit = self._access.month_of(caller)
        return DeepLUsage(character_count=used, character_limit=limit or _UNLIMITED)

    async def _text_options(self, request: Request, wanted: DeepLTranslateRequest) -> TextOptions:
        """What the request asks of its texts, with the terms of its glossaries."""
        options = TextOptions(
            format=_FORMATS[wanted.tag_handling],
            ignore_tags=wanted.all_ignored_tags(),
            structure=wanted.structure(),
        )
        if not (ids := wanted.all_glossaries()):
            return options
        if wanted.source_lang is None:
            raise InvalidFieldError(
                "Parameter 'source_lang' not specified, as it must be with a glossary.",
                field="source_lang",
            )
        source, target, texts = wanted.source_lang, wanted.target_lang, wanted.all_texts()
        terms: tuple[GlossaryEntry, ...] = ()
        try:
            for id in reversed(ids):
                more = await self._glossaries.terms(request, id, source, target, texts, options)
                terms = joined(terms, more)
        except InvalidFieldError:
            raise not_supported("glossary_id" if wanted.glossary_id else "glossary_ids") from None
        return replace(options, glossary=terms)


def _validated(fields: Any) -> DeepLTranslateRequest:
    try:
        return DeepLTranslateRequest.model_validate(fields)
    except ValidationError as exc:
        raise problem_of(exc.errors(include_url=False)[0]) from None


def problem_of(error: ErrorDetails) -> InvalidRequestError:
    """A validation error in DeepL's wording."""
    if error["type"] == "value_error":
        return not_supported(str(error["ctx"]["error"]))
    if not error["loc"]:
        return InvalidRequestError("The body must be a JSON object or a form.")
    field = str(error["loc"][0])
    if error["type"] in ("missing", "too_short"):
        return InvalidFieldError(f"Parameter '{field}' not specified.", field=field)
    if field == "text":
        return InvalidFieldError("Parameter 'text' must be a list of strings.", field=field)
    return not_supported(field)


def not_supported(field: str) -> InvalidFieldError:
    """The error for a value, in DeepL's wording."""
    return InvalidFieldError(f"Value for '{field}' not supported.", field=field)


def _translations(
    wanted: DeepLTranslateRequest, texts: tuple[str, ...], reply: Translated
) -> list[dict[str, Any]]:
    """The fields of each DeepLTranslation."""
    more = {} if wanted.model_type is None else {"model_type_used": _used(wanted.model_type)}
    found = reply.sources
    if reply.detections is not None:
        found = tuple(detection.language for detection in reply.detections)
    return [
        {
            "detected_source_language": _language(code),
            "text": translation.text,
            "billed_characters": len(text),
            **more,
        }
        for code, text, translation in zip(found, texts, reply.translations, strict=True)
    ]


def _used(model_type: str) -> str:
    return model_type.removeprefix("prefer_")


def _language(code: str) -> str:
    """The language alone, in capitals, as sources are named."""
    return bcp47(code).partition("-")[0].upper()


def _listed(codes: Iterable[str], *, with_variants: bool = False) -> list[DeepLLanguage]:
    listed: dict[str, str] = {}
    for code in codes:
        tag = bcp47(code) if with_variants else _language(code)
        for variant in _VARIANTS.get(tag.upper(), (tag,)) if with_variants else (tag,):
            listed[variant.upper()] = language_name(variant if "-" in variant else variant.lower())
    return [DeepLLanguage(language=code, name=name) for code, name in sorted(listed.items())]
