"""The native API: POST /v1/translate, POST /v1/attention."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.text.language_detection import Detection
from model.text.word_links import WordLink
from model.translation import Translation
from service.errors import Failure
from service.gateway.api.attention_json import attention_json
from service.gateway.api.contract import Contract
from service.gateway.api.json_body import JsonRoute
from service.gateway.api.native_schemas import (
    AttentionReply,
    AttentionRequest,
    ErrorBody,
    ErrorReply,
    TranslateReplyBody,
    TranslateRequest,
)
from service.gateway.api.pipeline import REQUEST_HEADERS, Translated, TranslationPipeline
from service.gateway.request_context import RequestContext

__all__ = ["NATIVE", "NativeApi", "native_error"]

_TRANSLATE_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorReply, "description": "The body is not JSON in UTF-8"},
    408: {"model": ErrorReply, "description": "The body did not arrive in time"},
    413: {"model": ErrorReply, "description": "The body is too large"},
    415: {"model": ErrorReply, "description": "The body is not declared to be JSON"},
    422: {
        "model": ErrorReply,
        "description": "A field breaks a rule, a language is not served, or the texts are too long "
        "for the deadline",
    },
    503: {"model": ErrorReply, "description": "Too much to do, or no replica: see Retry-After"},
    504: {"model": ErrorReply, "description": "The time for the request ran out"},
}


def native_error(failure: Failure, context: RequestContext) -> Response:
    """A failure in the native API's form."""
    error = ErrorBody(type=failure.kind, message=failure.message, field=failure.field)
    body = ErrorReply(error=error, request_id=context.request_id)
    return JSONResponse(
        body.model_dump(exclude_none=True), status_code=failure.status, headers=failure.headers
    )


NATIVE = Contract(error_form=native_error)


class NativeApi:
    """The handlers of the native API."""

    def __init__(self, pipeline: TranslationPipeline) -> None:
        self._pipeline = pipeline

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
        options = body.generation.model_dump(exclude_none=True) if body.generation else {}
        reply = await self._pipeline.translate(
            request,
            body.all_texts(),
            source=body.source,
            target=body.target,
            model=body.model,
            options=options,
            field="texts" if body.text is None else "text",
            is_list=body.text is None,
            return_alignments=body.return_alignments,
            text_options=body.text_options(),
        )
        answer = _answer(
            reply,
            return_scores=body.return_scores,
            return_alignments=body.return_alignments,
            return_hypotheses=options.get("num_hypotheses", 1) > 1,
        )
        return Response(to_json(answer, inf_nan_mode="null"), media_type="application/json")

    @NATIVE.route(
        "/v1/attention",
        methods=["POST"],
        summary="Where a model attends for one sentence",
        response_model=AttentionReply,
        responses=_TRANSLATE_ERRORS,
        route_class_override=JsonRoute,
        openapi_extra={"parameters": REQUEST_HEADERS},
        tags=["native"],
    )
    async def attention(self, request: Request, body: AttentionRequest) -> Response:
        """Translates one sentence and tells how much each token attends to each other one.

        Of all layers and heads, so the sentence must be short: the number of values grows with the
        square of its tokens. Clues to what the model does, no proof.
        """
        reply = await self._pipeline.translate(
            request,
            (body.text,),
            source=body.source,
            target=body.target,
            model=body.model,
            options={},
            field="text",
            is_list=False,
            with_attention=True,
        )
        assert reply.attention is not None  # it was asked for
        answer = await asyncio.to_thread(attention_json, reply.attention, reply.model)
        return Response(answer, media_type="application/json")


def _answer(
    reply: Translated, *, return_scores: bool, return_hypotheses: bool, return_alignments: bool
) -> dict[str, Any]:
    """The fields of a TranslateReplyBody; optional ones only if asked for."""
    translations = reply.translations
    detections = reply.detections or (None,) * len(translations)
    answer: dict[str, Any] = {
        "translations": [
            _translation(
                one,
                detection,
                return_scores=return_scores,
                return_hypotheses=return_hypotheses,
                return_alignments=return_alignments,
            )
            for one, detection in zip(translations, detections, strict=True)
        ],
        "model": reply.model,
        "target": reply.target,
        "usage": {
            "source_tokens": sum(one.source_tokens for one in translations),
            "target_tokens": sum(one.target_tokens for one in translations),
        },
        "timings": {
            name: max(getattr(one, name) for one in translations)
            for name in ("queue_seconds", "encode_seconds", "decode_seconds")
        },
    }
    if len(set(reply.sources)) == 1:
        answer["source"] = reply.sources[0]
    if reply.pivot is not None:
        answer["pivot"] = reply.pivot
    return answer


def _translation(
    one: Translation,
    detection: Detection | None,
    *,
    return_scores: bool,
    return_hypotheses: bool,
    return_alignments: bool,
) -> dict[str, Any]:
    """The fields of a TranslationBody."""
    fields: dict[str, Any] = {"text": one.text, "finish_reason": one.finish_reason}
    if detection is not None:
        fields["detected_source"] = detection._asdict()
    if return_scores:
        fields["score"] = one.score
    if return_alignments:
        fields["alignments"] = _alignments(one.alignments)
    if return_hypotheses:
        fields["hypotheses"] = [
            {
                "text": other.text,
                **({"score": other.score} if return_scores else {}),
                **({"alignments": _alignments(other.alignments)} if return_alignments else {}),
            }
            for other in one.hypotheses
        ]
    return fields


def _alignments(links: Sequence[WordLink] | None) -> list[dict[str, Any]]:
    """The fields of each Alignment."""
    return [link._asdict() for link in links or ()]
