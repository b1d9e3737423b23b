"""LibreTranslate's API: POST /translate and GET /languages.

HTML and language detection are not supported, and refused with a clear error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.errors import InvalidRequestError
from model.text_options import TextFormat, TextOptions
from model.translation import Translation
from service.errors import Failure, LanguageNotServedError, shown
from service.gateway.api.contract import Contract
from service.gateway.api.form_body import read_form
from service.gateway.api.json_body import is_json, read_json
from service.gateway.api.language_names import language_name
from service.gateway.api.libretranslate_schemas import (
    LibreTranslateError,
    LibreTranslateLanguage,
    LibreTranslateReply,
    LibreTranslateRequest,
)
from service.gateway.api.pipeline import REQUEST_HEADERS, TranslationPipeline
from service.gateway.request_context import RequestContext
from service.settings import Limits

__all__ = ["LIBRETRANSLATE", "LibreTranslateApi"]

_MAX_CODE_LEN = 35
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": LibreTranslateError, "description": description}
    for status, description in (
        (400, "The request breaks a rule, or a language is not served"),
        (408, "The body did not arrive in time"),
        (413, "The body is too large"),
        (503, "Too much to do, or no replica: see Retry-After"),
        (504, "The time for the request ran out"),
    )
}

_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        kind: {"schema": LibreTranslateRequest.model_json_schema()}
        for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    },
}


def _error_form(failure: Failure, context: RequestContext) -> Response:
    """A failure in LibreTranslate's form, which has one status for all invalid requests."""
    del context  # the id is in the header; a field more could break a strict client
    status = 400 if failure.status in (415, 422) else failure.status
    return JSONResponse({"error": failure.message}, status_code=status, headers=failure.headers)


LIBRETRANSLATE = Contract(error_form=_error_form)


class LibreTranslateApi:
    """The handlers of LibreTranslate's API."""

    def __init__(self, pipeline: TranslationPipeline, limits: Limits) -> None:
        self._pipeline = pipeline
        self._limits = limits
        self._listed: tuple[Mapping[str, tuple[str, ...]], bytes] = {}, b"[]"
        """The languages of `Router.languages`, and the answer that was made of them."""

    @LIBRETRANSLATE.route(
        "/translate",
        methods=["POST"],
        summary="Translate, in LibreTranslate's form",
        response_model=LibreTranslateReply,
        responses=_ERRORS,
        openapi_extra={"parameters": REQUEST_HEADERS, "requestBody": _REQUEST_BODY},
        tags=["LibreTranslate"],
    )
    async def translate(self, request: Request) -> Response:
        """Translates `q`, a text or a list of texts, from JSON, a form or the query string."""
        wanted = await _read(request, max_fields=self._limits.max_texts + 32)
        _check_limits(wanted, self._limits)
        _check_codes(wanted)
        try:
            options = self._options(wanted)
            reply = await self._pipeline.translate(
                request,
                wanted.all_texts(),
                source=wanted.source,
                target=wanted.target,
                options=options,
                field="q",
                is_list=wanted.is_list,
                text_options=TextOptions(format=TextFormat(wanted.format)),
            )
        except LanguageNotServedError:
            raise self._not_served(wanted) from None
        return Response(to_json(_answer(wanted, reply.translations)), media_type="application/json")

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

    def _options(self, wanted: LibreTranslateRequest) -> dict[str, Any]:
        if wanted.alternatives == 0:
            return {}
        route = self._pipeline.router.find(wanted.source, wanted.target)
        count = wanted.alternatives + 1
        beam_size = max(route.hops[-1].info.generation.beam_size, count)
        return {"num_hypotheses": count, "beam_size": beam_size}

    def _not_served(self, wanted: LibreTranslateRequest) -> InvalidRequestError:
        """The error for a pair that is not served, in LibreTranslate's wording."""
        targets = self._pipeline.router.languages
        known = {code.casefold(): code for code in targets}
        for code in (wanted.source, wanted.target):
            if code.casefold() not in known:
                return InvalidRequestError(f"{code} is not supported")
        source, target = known[wanted.source.casefold()], known[wanted.target.casefold()]
        return InvalidRequestError(
            f"{language_name(target)} ({target}) is not available as a target language "
            f"from {language_name(source)} ({source})"
        )


async def _read(request: Request, *, max_fields: int) -> LibreTranslateRequest:
    """The request from JSON, a form or the query string; InvalidRequestError if it is invalid."""
    if is_json(request.headers):
        fields = read_json(request.headers, await request.body())
    else:
        fields = await read_form(request, max_fields=max_fields, lists=("q",))
    try:
        return LibreTranslateRequest.model_validate(fields)
    except ValidationError as exc:
        raise InvalidRequestError(_problem(exc.errors(include_url=False)[0])) from None


def _problem(error: ErrorDetails) -> str:
    """A validation error of LibreTranslateRequest, in LibreTranslate's wording."""
    if not error["loc"]:
        return "Invalid JSON format"
    field, was = error["loc"][0], error["input"]
    if error["type"] == "missing":
        return f"Invalid request: missing {field} parameter"
    match field:
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


def _check_codes(wanted: LibreTranslateRequest) -> None:
    """Refuses what no model can serve, whether all of them are ready or not."""
    if wanted.source.casefold() == "auto":
        raise InvalidRequestError(
            "Invalid request: source must be a language code that GET /languages lists, "
            "but is auto: this server does not detect languages"
        )
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
    for size, limit in ((max(sizes), limits.max_text_chars), (sum(sizes), limits.max_total_chars)):
        if size > limit:
            raise InvalidRequestError(
                f"Invalid request: request ({size}) exceeds text limit ({limit})"
            )
    most = min(limits.max_num_hypotheses, limits.max_beam_size) - 1
    if wanted.alternatives > most:
        raise InvalidRequestError(f"Invalid request: alternatives parameter must be <= {most}")
    most_chars = limits.max_hypothesis_chars // (wanted.alternatives + 1)
    if sum(sizes) > most_chars:
        raise InvalidRequestError(
            f"Invalid request: request ({sum(sizes)}) exceeds text limit ({most_chars}) with "
            f"{wanted.alternatives} alternatives"
        )


def _answer(wanted: LibreTranslateRequest, translations: Sequence[Translation]) -> dict[str, Any]:
    texts: list[Any] = [one.text for one in translations]
    answer = {"translatedText": texts if wanted.is_list else texts[0]}
    if wanted.alternatives > 0:
        others: list[Any] = [_others(one, wanted.alternatives) for one in translations]
        answer["alternatives"] = others if wanted.is_list else others[0]
    return answer


def _others(translation: Translation, most: int) -> list[str]:
    """At most `most` other translations, distinct, best first."""
    texts = dict.fromkeys(
        one.text for one in translation.hypotheses if one.text != translation.text
    )
    return list(texts)[:most]


def _language(code: str, targets: tuple[str, ...]) -> LibreTranslateLanguage:
    return LibreTranslateLanguage(code=code, name=language_name(code), targets=list(targets))
