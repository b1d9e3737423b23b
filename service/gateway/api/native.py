"""The native API: POST /v1/translate and GET /v1/models."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import Failure
from service.gateway.api.contract import Contract
from service.gateway.api.json_body import JsonRoute
from service.gateway.api.schemas import (
    ErrorBody,
    ErrorReply,
    GenerationDefaults,
    Hypothesis,
    LanguagePair,
    Model,
    ModelList,
    Timings,
    TranslateReplyBody,
    TranslateRequest,
    TranslationBody,
    Usage,
)
from service.gateway.api.translation import REQUEST_HEADERS, TextsToTranslate, Translating
from service.gateway.request_context import RequestContext
from service.protocol import ModelInfo, TranslatedText, TranslateReply

__all__ = ["NATIVE", "NativeApi"]

_TRANSLATE_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorReply, "description": "The body is not JSON in UTF-8"},
    408: {"model": ErrorReply, "description": "The body did not arrive in time"},
    413: {"model": ErrorReply, "description": "The body is too large"},
    415: {"model": ErrorReply, "description": "The body is not declared to be JSON"},
    422: {"model": ErrorReply, "description": "A field breaks a rule, or a language is not served"},
    503: {"model": ErrorReply, "description": "Too much to do, or no replica: see Retry-After"},
    504: {"model": ErrorReply, "description": "The time for the request ran out"},
}


def _error_form(failure: Failure, context: RequestContext) -> Response:
    """A failure in the native API's form."""
    error = ErrorBody(type=failure.kind, message=failure.message, field=failure.field)
    body = ErrorReply(error=error, request_id=context.request_id)
    return JSONResponse(
        body.model_dump(exclude_none=True), status_code=failure.status, headers=failure.headers
    )


NATIVE = Contract(error_form=_error_form)


class NativeApi:
    """The handlers of the native API."""

    def __init__(self, translating: Translating) -> None:
        self._translating = translating

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        NATIVE.add_to(app, self)

    @NATIVE.route(
        "/v1/translate",
        methods=["POST"],
        summary="Translate one text or several",
        response_model=TranslateReplyBody,
        responses=_TRANSLATE_ERRORS,
        route_class_override=JsonRoute,
        openapi_extra={"parameters": REQUEST_HEADERS},
        tags=["native"],
    )
    async def translate(self, request: Request, body: TranslateRequest) -> Response:
        """Translates one text (`text`) or several (`texts`); the answer keeps their order.

        Texts may have many sentences and paragraphs. Fields that are not listed are refused.
        """
        wanted = TextsToTranslate(
            texts=body.all_texts(),
            source=body.source,
            target=body.target,
            options=body.generation.chosen() if body.generation else {},
            field="texts" if body.text is None else "text",
            is_list=body.text is None,
        )
        reply = await self._translating.translate(request, wanted)
        answer = _answer(reply, wanted, return_scores=body.return_scores)
        return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")

    @NATIVE.route(
        "/v1/models",
        methods=["GET"],
        summary="The models and their languages",
        response_model=ModelList,
        responses={503: {"model": ErrorReply, "description": "No model is ready yet"}},
        tags=["native"],
    )
    async def models(self) -> ModelList:
        """The models that are ready, with their languages, device and defaults."""
        infos = await self._translating.router.models()
        return ModelList(models=[_model(info) for info in infos])


def _answer(
    reply: TranslateReply, wanted: TextsToTranslate, *, return_scores: bool
) -> TranslateReplyBody:
    if len(reply.translations) != len(wanted.texts):
        raise RuntimeError(
            f"the model must give {len(wanted.texts)} translations, "
            f"but gave {len(reply.translations)}"
        )
    return_hypotheses = wanted.options.get("num_hypotheses", 1) > 1
    return TranslateReplyBody(
        translations=[
            _translation(text, return_scores=return_scores, return_hypotheses=return_hypotheses)
            for text in reply.translations
        ],
        model=reply.model,
        usage=Usage(
            source_tokens=sum(text.source_tokens for text in reply.translations),
            target_tokens=sum(text.target_tokens for text in reply.translations),
        ),
        timings=Timings(
            queue_seconds=reply.queue_seconds,
            encode_seconds=reply.encode_seconds,
            decode_seconds=reply.decode_seconds,
        ),
    )


def _translation(
    text: TranslatedText, *, return_scores: bool, return_hypotheses: bool
) -> TranslationBody:
    """Only the fields that were asked for are set, and only those are sent."""
    fields: dict[str, Any] = {"text": text.text, "finish_reason": text.finish_reason}
    if return_scores:
        fields["score"] = text.score
    if return_hypotheses:
        fields["hypotheses"] = [
            Hypothesis(text=one, score=score) if return_scores else Hypothesis(text=one)
            for one, score in text.hypotheses
        ]
    return TranslationBody(**fields)


def _model(info: ModelInfo) -> Model:
    generation = info.generation
    return Model(
        name=info.name,
        pairs=[LanguagePair(source=source, target=target) for source, target in info.pairs],
        device=info.device,
        dtype=info.dtype,
        num_parameters=info.num_parameters,
        max_source_tokens=info.max_source_tokens,
        generation=GenerationDefaults(
            beam_size=generation.beam_size,
            length_penalty=generation.length_penalty,
            max_new_tokens=generation.max_new_tokens,
            max_new_tokens_over_source=generation.max_new_tokens_over_source,
            num_hypotheses=generation.num_hypotheses,
            no_repeat_ngram_size=generation.no_repeat_ngram_size,
            repetition_penalty=generation.repetition_penalty,
        ),
    )
