"""LibreTranslate's API: translation, detection, languages, and what its clients ask first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.errors import InvalidRequestError
from model.text.language_detection import Detection
from model.text_options import TextFormat, TextOptions
from service.errors import Failure, ForbiddenError, LanguageNotServedError, shown
from service.gateway.access import AccessControl
from service.gateway.admission import problem_of_characters
from service.gateway.api.contract import Contract, translation_errors
from service.gateway.api.deeplx import is_deeplx, translate_deeplx
from service.gateway.api.detection import rank_languages
from service.gateway.api.form_body import read_fields
from service.gateway.api.language_names import language_name
from service.gateway.api.libretranslate_schemas import (
    LibreTranslateDetection,
    LibreTranslateDetectRequest,
    LibreTranslateError,
    LibreTranslateLanguage,
    LibreTranslateReply,
    LibreTranslateRequest,
    LibreTranslateSettings,
    LibreTranslateSuccess,
    LibreTranslateSuggestRequest,
)
from service.gateway.api.pipeline import REQUEST_HEADERS, Translated, TranslationPipeline
from service.gateway.request_context import RequestContext
from service.settings import Limits, Settings
from service.store.records import Scope
from service.store.store import Store

__all__ = ["LIBRETRANSLATE", "LibreTranslateApi", "current_code"]

_Request = TypeVar(
    "_Request", LibreTranslateRequest, LibreTranslateDetectRequest, LibreTranslateSuggestRequest
)

_MAX_CODE_LEN = 35
_OLD_CODES = {"zt": "zh-Hant", "pb": "pt-BR"}
"""Codes of older versions that are none of BCP 47."""
_AUTO = "auto"
_ERRORS = translation_errors(LibreTranslateError)
_DISABLED: dict[int | str, dict[str, Any]] = {
    403: {"model": LibreTranslateError, "description": "This server does not do that"}
}


def _request_body(model: type[BaseModel]) -> Any:
    schema = {"schema": model.model_json_schema()}
    forms = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    return {"required": True, "content": dict.fromkeys(forms, schema)}


_KEY_ERRORS = {
    "missing_api_key": (400, "Please contact the server operator to get an API key"),
    "invalid_api_key": (403, "Invalid API key"),
}
"""Status and message, by the kind of a failure."""


def _error_form(failure: Failure, context: RequestContext) -> Response:
    """A failure in LibreTranslate's form, which has one status for all invalid requests."""
    del context  # the id is in the header; a field more could break a strict client
    status, message = 400 if failure.status in (415, 422) else failure.status, failure.message
    if failure.kind in _KEY_ERRORS:
        status, message = _KEY_ERRORS[failure.kind]
        return JSONResponse({"error": message}, status_code=status)
    return JSONResponse({"error": message}, status_code=status, headers=failure.headers)


LIBRETRANSLATE = Contract(error_form=_error_form, errors=_ERRORS, key_in_fields=True)


class LibreTranslateApi:
    """The handlers of LibreTranslate's API."""

    def __init__(
        self,
        pipeline: TranslationPipeline,
        settings: Settings,
        app: FastAPI,
        access: AccessControl,
        store: Store,
    ) -> None:
        """`app` is the one that is described by `GET /spec`."""
        self._pipeline = pipeline
        self._settings = settings
        self._limits = settings.limits
        self._access = access
        self._store = store
        self._app = app
        self._listed: tuple[Mapping[str, tuple[str, ...]], bytes] = {}, b"[]"
        """The languages of `Router.languages`, and the answer that was made of them."""

    @LIBRETRANSLATE.route(
        "/translate",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="Translate, in LibreTranslate's form",
        response_model=LibreTranslateReply,
        responses=_ERRORS,
        openapi_extra={
            "parameters": REQUEST_HEADERS,
            "requestBody": _request_body(LibreTranslateRequest),
        },
        tags=["LibreTranslate"],
    )
    async def translate(self, request: Request) -> Response:
        """Translates `q`, a text or a list of texts, from JSON, a form or the query string.

        Also takes the form of DeepLX: `text`, `source_lang` and `target_lang`.
        """
        fields = await read_fields(request, max_fields=self._limits.max_texts + 32, lists=("q",))
        await self._admit(request, fields)
        if is_deeplx(fields):
            return await translate_deeplx(request, self._pipeline, fields)
        wanted = _validated(LibreTranslateRequest, fields)
        _check_limits(wanted, self._limits)
        _check_codes(wanted)
        source, target = current_code(wanted.source), current_code(wanted.target)
        try:
            reply = await self._pipeline.translate(
                request,
                wanted.all_texts(),
                source=None if source == _AUTO else source,
                target=target,
                options={},
                alternatives=wanted.alternatives,
                field="q",
                is_list=wanted.is_list,
                text_options=TextOptions(format=TextFormat(wanted.format)),
            )
        except LanguageNotServedError:
            raise self._not_served(wanted, source, target) from None
        return Response(to_json(_answer(wanted, reply)), media_type="application/json")

    @LIBRETRANSLATE.route(
        "/detect",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="Detect the language of a text, in LibreTranslate's form",
        response_model=list[LibreTranslateDetection],
        responses=_ERRORS,
        openapi_extra={"requestBody": _request_body(LibreTranslateDetectRequest)},
        tags=["LibreTranslate"],
    )
    async def detect(self, request: Request) -> Response:
        """The languages of this server that the text `q` may be in, likeliest first."""
        fields = await read_fields(request, max_fields=32, lists=())
        await self._admit(request, fields)
        wanted = _validated(LibreTranslateDetectRequest, fields)
        _check_sizes([len(wanted.q)], self._limits)
        languages = self._pipeline.router.languages
        [ranks] = await rank_languages([wanted.q], languages)
        if not ranks:
            ranks = [Detection("en" if "en" in languages else min(languages, default="en"), 0.0)]
        return Response(to_json([_detected(one) for one in ranks]), media_type="application/json")

    @LIBRETRANSLATE.route(
        "/languages",
        summary="The languages and what each can be translated into",
        response_model=list[LibreTranslateLanguage],
        responses={503: _ERRORS[503]},
        tags=["LibreTranslate"],
    )
    async def languages(self) -> Response:
        """Every language that is a source or a target, by its code."""
        targets = self._pipeline.router.languages
        if targets is not self._listed[0]:
            # Languages of a broad model, with all the targets of each, take milliseconds to write.
            self._listed = targets, to_json([_language(code, targets[code]) for code in targets])
        return Response(self._listed[1], media_type="application/json")

    @LIBRETRANSLATE.route(
        "/frontend/settings",
        summary="What this server can do and allows, in LibreTranslate's form",
        response_model=LibreTranslateSettings,
        tags=["LibreTranslate"],
    )
    async def settings(self) -> LibreTranslateSettings:
        """What LibreTranslate's page and some clients ask before anything else."""
        return LibreTranslateSettings.of(self._settings, self._pipeline.router.languages)

    @LIBRETRANSLATE.route(
        "/suggest",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="Suggest a better translation, in LibreTranslate's form",
        response_model=LibreTranslateSuccess,
        responses={status: _ERRORS[status] for status in (400, 408, 413, 429, 503)} | _DISABLED,
        openapi_extra={"requestBody": _request_body(LibreTranslateSuggestRequest)},
        tags=["LibreTranslate"],
    )
    async def suggest(self, request: Request) -> LibreTranslateSuccess:
        """Stores `s` as the translation of `q` for who runs the service, where that is allowed."""
        if not self._settings.suggestions:
            raise ForbiddenError("Suggestions are disabled on this server.")
        fields = await read_fields(request, max_fields=32, lists=())
        await self._admit(request, fields)
        wanted = _validated(LibreTranslateSuggestRequest, fields)
        _check_sizes([len(wanted.q), len(wanted.s)], self._limits)
        for name, text in (("q", wanted.q), ("s", wanted.s)):
            if (problem := problem_of_characters(text)) is not None:
                raise InvalidRequestError(f"Invalid request: {name} must {problem}")
        most = self._settings.max_suggestions
        if not await self._store.suggestions.add(
            wanted.source, wanted.target, wanted.q, wanted.s, most=most
        ):
            raise ForbiddenError(f"This server has {most} suggestions, as many as it keeps.")
        return LibreTranslateSuccess()

    @LIBRETRANSLATE.route("/spec", include_in_schema=False)
    async def spec(self) -> JSONResponse:
        """The description of all APIs."""
        return JSONResponse(self._app.openapi())

    async def _admit(self, request: Request, fields: Any) -> None:
        """Admits a request whose key may be in its fields."""
        key = None
        if isinstance(fields, dict):
            key = fields.get("api_key") or fields.get("apiKey")
            if is_deeplx(fields):
                # Its clients can set but an address.
                key = key or request.query_params.get("token")
        given = key if isinstance(key, str) else None
        await self._access.admit(request.scope, Scope.TRANSLATE, given)

    def _not_served(
        self, wanted: LibreTranslateRequest, source: str, target: str
    ) -> InvalidRequestError:
        """The error for a pair that is not served, in LibreTranslate's wording."""
        router = self._pipeline.router
        served_source = router.served(source)
        served_target = router.served(target)
        if served_source is None and source != _AUTO:
            return InvalidRequestError(f"{wanted.source} is not supported")
        if served_target is None or served_source is None:
            return InvalidRequestError(f"{wanted.target} is not supported")
        return InvalidRequestError(
            f"{language_name(served_target)} ({served_target}) is not available as a target "
            f"language from {language_name(served_source)} ({served_source})"
        )


def _validated(model: type[_Request], fields: Any) -> _Request:
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise InvalidRequestError(_problem(exc.errors(include_url=False)[0])) from None


def _problem(error: ErrorDetails) -> str:
    """A validation error of a request, in LibreTranslate's wording."""
    if not error["loc"]:
        return "Invalid JSON format"
    field, was = error["loc"][0], error["input"]
    if error["type"] == "missing":
        return f"Invalid request: missing {field} parameter"
    match field:
        case "q" if error["loc"] == ("q",) and error["type"] == "string_type":
            return "Invalid request: q must be a string"
        case "s" if error["type"] == "string_type":
            return "Invalid request: s must be a string"
        case "q":
            return "Invalid request: q must be a string or a list of strings"
        case "format":
            name = was[:_MAX_CODE_LEN] if isinstance(was, str) else shown(was)
            return f"{name} format is not supported"
        case "alternatives" if error["type"] == "greater_than_equal":
            return "Invalid request: alternatives parameter must be >= 0"
        case "alternatives":
            return "Invalid request: alternatives parameter is not a number"
        case _:
            return f"Invalid request: {field} must be a language code, but is {shown(was)}"


def current_code(code: str) -> str:
    """A code as it is written today."""
    lowered = code.lower()
    return _AUTO if lowered == _AUTO else _OLD_CODES.get(lowered, code)


def _check_codes(wanted: LibreTranslateRequest) -> None:
    """Refuses what no model can serve, whether all of them are ready or not."""
    for code in (wanted.source, wanted.target):
        if len(code) > _MAX_CODE_LEN:
            raise InvalidRequestError(f"{code[:_MAX_CODE_LEN]}… is not supported")


def _check_limits(wanted: LibreTranslateRequest, limits: Limits) -> None:
    texts = wanted.all_texts()
    if len(texts) > limits.max_texts:
        raise InvalidRequestError(
            f"Invalid request: request ({len(texts)}) exceeds batch limit ({limits.max_texts})"
        )
    sizes = [len(text) for text in texts]
    _check_sizes(sizes, limits)
    most = min(limits.max_num_hypotheses, limits.max_beam_size) - 1
    if wanted.alternatives > most:
        raise InvalidRequestError(f"Invalid request: alternatives parameter must be <= {most}")
    most_chars = limits.max_hypothesis_chars // (wanted.alternatives + 1)
    if sum(sizes) > most_chars:
        raise InvalidRequestError(
            f"Invalid request: request ({sum(sizes)}) exceeds text limit ({most_chars}) with "
            f"{wanted.alternatives} alternatives"
        )


def _check_sizes(sizes: Sequence[int], limits: Limits) -> None:
    for size, limit in ((max(sizes), limits.max_text_chars), (sum(sizes), limits.max_total_chars)):
        if size > limit:
            raise InvalidRequestError(
                f"Invalid request: request ({size}) exceeds text limit ({limit})"
            )


def _answer(wanted: LibreTranslateRequest, reply: Translated) -> dict[str, Any]:
    lists: dict[str, list[Any]] = {"translatedText": [one.text for one in reply.translations]}
    if wanted.alternatives > 0:
        lists["alternatives"] = [
            _others([each.text for each in one.hypotheses], wanted.alternatives)
            for one in reply.translations
        ]
    if reply.detections is not None:
        lists["detectedLanguage"] = [_detected(one) for one in reply.detections]
    return {name: values if wanted.is_list else values[0] for name, values in lists.items()}


def _others(texts: Sequence[str], most: int) -> list[str]:
    """At most `most` texts that are not the first, distinct, best first."""
    return [text for text in dict.fromkeys(texts) if text != texts[0]][:most]


def _detected(detection: Detection) -> dict[str, Any]:
    confidence = round(100 * detection.confidence, 1)
    return {"confidence": confidence, "language": detection.language}


def _language(code: str, targets: tuple[str, ...]) -> LibreTranslateLanguage:
    return LibreTranslateLanguage(code=code, name=language_name(code), targets=list(targets))
