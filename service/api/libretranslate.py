"""LibreTranslate's API: POST /translate and GET /languages, for the clients that speak it.

What it does not have here yet, HTML and language detection, is refused with a clear answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.errors import InvalidRequestError
from service.api.contract import Contract
from service.api.form_body import read_form
from service.api.json_body import is_json, read_json
from service.api.language_names import language_name
from service.api.translation import REQUEST_HEADERS, TextsToTranslate, Translating
from service.errors import Failure, LanguageNotServedError, shown
from service.protocol import ModelInfo, TranslatedText
from service.request_context import RequestContext
from service.schemas import (
    LibreTranslateError,
    LibreTranslateLanguage,
    LibreTranslateReply,
    LibreTranslateRequest,
)
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
    """A failure in LibreTranslate's form: one status for all that is wrong in a request."""
    del context  # the id is in the header; a field more could break a strict client
    status = 400 if failure.status in (415, 422) else failure.status
    return JSONResponse({"error": failure.message}, status_code=status, headers=failure.headers)


LIBRETRANSLATE = Contract(error_form=_error_form)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A request of this API, its fields checked but its languages not looked up yet."""

    texts: tuple[str, ...]
    is_list: bool
    source: str
    target: str
    alternatives: int


class LibreTranslateApi:
    """The handlers of LibreTranslate's API."""

    def __init__(self, translating: Translating, limits: Limits) -> None:
        self._translating = translating
        self._limits = limits

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        LIBRETRANSLATE.add_to(app, self)

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
        fields = await _read_fields(request, max_fields=self._limits.max_texts + 32)
        wanted = _check(fields, self._limits)
        try:
            options = await self._options(wanted)
            reply = await self._translating.translate(
                request,
                TextsToTranslate(
                    texts=wanted.texts,
                    source=wanted.source,
                    target=wanted.target,
                    options=options,
                    field="q",
                    is_list=wanted.is_list,
                ),
            )
        except LanguageNotServedError:
            raise await self._not_served(wanted) from None
        return Response(to_json(_answer(wanted, reply.translations)), media_type="application/json")

    @LIBRETRANSLATE.route(
        "/languages",
        methods=["GET"],
        summary="The languages and what each can be translated into",
        response_model=list[LibreTranslateLanguage],
        responses={503: _ERRORS[503]},
        tags=["LibreTranslate"],
    )
    async def languages(self) -> list[LibreTranslateLanguage]:
        """Every language that is a source or a target, by its code."""
        infos = await self._translating.router.models()
        targets = _targets(infos)
        return [
            LibreTranslateLanguage(
                code=code, name=language_name(code), targets=sorted(targets[code])
            )
            for code in sorted(targets)
        ]

    async def _options(self, wanted: _Wanted) -> dict[str, Any]:
        if wanted.alternatives == 0:
            return {}
        destination = await self._translating.router.find(wanted.source, wanted.target)
        count = wanted.alternatives + 1
        beam_size = max(destination.info.generation.beam_size, count)
        return {"num_hypotheses": count, "beam_size": beam_size}

    async def _not_served(self, wanted: _Wanted) -> InvalidRequestError:
        """The same refusal in this API's words."""
        targets = _targets(await self._translating.router.models())
        known = {code.casefold(): code for code in targets}
        for code in (wanted.source, wanted.target):
            if code.casefold() not in known:
                return InvalidRequestError(f"{code} is not supported")
        source, target = known[wanted.source.casefold()], known[wanted.target.casefold()]
        return InvalidRequestError(
            f"{language_name(target)} ({target}) is not available as a target language "
            f"from {language_name(source)} ({source})"
        )


async def _read_fields(request: Request, *, max_fields: int) -> Mapping[str, Any]:
    if not is_json(request.headers):
        return await read_form(request, max_fields=max_fields, lists=("q",))
    value = read_json(request.headers, await request.body())
    if not isinstance(value, dict):
        raise InvalidRequestError("Invalid JSON format")
    return value


def _check(fields: Mapping[str, Any], limits: Limits) -> _Wanted:
    q = fields.get("q")
    if q is None or q in ("", []):
        raise InvalidRequestError("Invalid request: missing q parameter")
    texts = q if isinstance(q, list) else [q]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError("Invalid request: q must be a string or a list of strings")
    _check_size(texts, limits)
    source, target = _check_code(fields, "source"), _check_code(fields, "target")
    if source.casefold() == "auto":
        raise InvalidRequestError(
            "Invalid request: source must be a language code that GET /languages lists, "
            "but is auto: this server does not detect languages"
        )
    _check_format(fields.get("format"))
    return _Wanted(
        texts=tuple(texts),
        is_list=isinstance(q, list),
        source=source,
        target=target,
        alternatives=_check_alternatives(fields.get("alternatives"), limits),
    )


def _check_size(texts: Sequence[str], limits: Limits) -> None:
    if len(texts) > limits.max_texts:
        raise InvalidRequestError(
            f"Invalid request: request ({len(texts)}) exceeds batch limit ({limits.max_texts})"
        )
    longest, total = max(map(len, texts)), sum(map(len, texts))
    for size, limit in (
        (longest, limits.max_text_chars),
        (total, limits.max_total_chars),
    ):
        if size > limit:
            raise InvalidRequestError(
                f"Invalid request: request ({size}) exceeds text limit ({limit})"
            )


def _check_code(fields: Mapping[str, Any], name: str) -> str:
    code = fields.get(name)
    if code is None or code == "":
        raise InvalidRequestError(f"Invalid request: missing {name} parameter")
    if not isinstance(code, str):
        raise InvalidRequestError(
            f"Invalid request: {name} must be a language code, but is {shown(code)}"
        )
    if len(code) > _MAX_CODE_LEN:
        raise InvalidRequestError(f"{code[:_MAX_CODE_LEN]}… is not supported")
    return code


def _check_format(value: Any) -> None:
    if value not in (None, "", "text"):
        name = value[:_MAX_CODE_LEN] if isinstance(value, str) else shown(value)
        raise InvalidRequestError(f"{name} format is not supported")


def _check_alternatives(value: Any, limits: Limits) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError("Invalid request: alternatives parameter is not a number")
    most = min(limits.max_num_hypotheses, limits.max_beam_size) - 1
    if value < 0:
        raise InvalidRequestError("Invalid request: alternatives parameter must be >= 0")
    if value > most:
        raise InvalidRequestError(f"Invalid request: alternatives parameter must be <= {most}")
    return value


def _answer(wanted: _Wanted, translations: Sequence[TranslatedText]) -> dict[str, Any]:
    texts: list[Any] = [one.text for one in translations]
    answer = {"translatedText": texts if wanted.is_list else texts[0]}
    if wanted.alternatives > 0:
        others: list[Any] = [_others(one, wanted.alternatives) for one in translations]
        answer["alternatives"] = others if wanted.is_list else others[0]
    return answer


def _others(translation: TranslatedText, most: int) -> list[str]:
    """Different from the best one and from each other, best first."""
    texts = dict.fromkeys(text for text, _ in translation.hypotheses if text != translation.text)
    return list(texts)[:most]


def _targets(infos: Sequence[ModelInfo]) -> dict[str, set[str]]:
    """Every language, also one that is only a target -> what it can be translated into."""
    targets: dict[str, set[str]] = {}
    for info in infos:
        for source, target in info.pairs:
            targets.setdefault(source, set()).add(target)
            targets.setdefault(target, set())
    return targets
