"""The native API: POST /v1/translate, /v1/attention, /v1/beam."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.text.language_detection import Detection
from model.text.word_links import WordLink
from model.text_options import TextOptions
from model.translation import SentenceSearch, TextDelta, Translation
from service.errors import Failure, InvalidFieldError
from service.gateway.api.attention_json import attention_json
from service.gateway.api.contract import Contract
from service.gateway.api.deltas import Deltas
from service.gateway.api.event_stream import event, event_stream
from service.gateway.api.json_body import JsonRoute
from service.gateway.api.native_schemas import (
    AttentionReply,
    AttentionRequest,
    BeamReply,
    BeamRequest,
    ErrorBody,
    ErrorReply,
    TranslateReplyBody,
    TranslateRequest,
)
from service.gateway.api.pipeline import (
    REQUEST_HEADERS,
    Inside,
    Translated,
    TranslationPipeline,
)
from service.gateway.api.stored_glossaries import StoredGlossaries, joined
from service.gateway.request_context import RequestContext
from service.store.records import Scope

__all__ = [
    "NATIVE",
    "NATIVE_ERRORS",
    "STREAMED",
    "TRANSLATE_ERRORS",
    "NativeApi",
    "native_body",
    "native_error",
]

TRANSLATE_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorReply, "description": "The body is not JSON in UTF-8"},
    401: {"model": ErrorReply, "description": "There must be an API key, or a valid one"},
    403: {"model": ErrorReply, "description": "The API key is for something else"},
    404: {"model": ErrorReply, "description": "There is no such stored glossary"},
    408: {"model": ErrorReply, "description": "The body did not arrive in time"},
    413: {"model": ErrorReply, "description": "The body is too large"},
    415: {"model": ErrorReply, "description": "The body is not declared to be JSON"},
    422: {
        "model": ErrorReply,
        "description": "A field breaks a rule, a language is not served, or the texts are too long "
        "for the deadline",
    },
    429: {"model": ErrorReply, "description": "Too many requests or characters: see Retry-After"},
    503: {"model": ErrorReply, "description": "Too much to do, or no replica: see Retry-After"},
    504: {"model": ErrorReply, "description": "The time for the request ran out"},
}

STREAMED: dict[str, Any] = {
    "content": {
        "text/event-stream": {"example": 'event: delta\ndata: {"index":0,"text":"Gut"}\n\n'}
    },
    "description": "The answer, or with `stream` server-sent events",
}


def native_body(failure: Failure, context: RequestContext) -> dict[str, Any]:
    """The body of a failure in the native API's form."""
    error = ErrorBody(type=failure.kind, message=failure.message, field=failure.field)
    return ErrorReply(error=error, request_id=context.request_id).model_dump(exclude_none=True)


def native_error(failure: Failure, context: RequestContext) -> Response:
    """A failure in the native API's form."""
    body = native_body(failure, context)
    return JSONResponse(body, status_code=failure.status, headers=failure.headers)


NATIVE_ERRORS: dict[int | str, dict[str, Any]] = {
    status: TRANSLATE_ERRORS[status] for status in (401, 403, 429, 503)
}
"""How every route that needs a key may fail."""
NATIVE = Contract(error_form=native_error, errors=NATIVE_ERRORS)


class NativeApi:
    """The handlers of the native API."""

    def __init__(self, pipeline: TranslationPipeline, glossaries: StoredGlossaries) -> None:
        self._pipeline = pipeline
        self._glossaries = glossaries

    @NATIVE.route(
        "/v1/translate",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="Translate one text or several",
        response_model=TranslateReplyBody,
        responses={200: STREAMED} | TRANSLATE_ERRORS,
        route_class_override=JsonRoute,
        openapi_extra={"parameters": REQUEST_HEADERS},
        tags=["native"],
    )
    async def translate(self, request: Request, body: TranslateRequest) -> Response:
        """Translates one text (`text`) or several (`texts`); the answer keeps their order.

        Texts may have many sentences and paragraphs. Fields that are not listed are refused.

        With `stream`, the answer is server-sent events: `delta` with an `index` and a part of that
        text's translation, as soon as it is decided and in reading order; at last `result` with
        what the answer is without `stream`, or `error` with the body of an error.
        """
        texts = body.all_texts()
        options = body.generation.model_dump(exclude_none=True) if body.generation else {}
        deltas = Deltas(len(texts)) if body.stream else None
        text_options, num_stored = await self._text_options(request, body)
        translating = self._pipeline.translate(
            request,
            texts,
            source=body.source,
            target=body.target,
            model=body.model,
            options=options,
            field="texts" if body.text is None else "text",
            is_list=body.text is None,
            return_alignments=body.return_alignments,
            text_options=text_options,
            num_stored_terms=num_stored,
            use_cache=body.cache,
            deltas=deltas,
        )
        if deltas is not None:
            return await event_stream(request, deltas, translating, _NativeEvents(body))
        return Response(_answer(await translating, body), media_type="application/json")

    @NATIVE.route(
        "/v1/attention",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="Where a model attends for one sentence",
        response_model=AttentionReply,
        responses=TRANSLATE_ERRORS,
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
            inside=Inside.ATTENTION,
        )
        assert reply.attention is not None  # it was asked for
        answer = await asyncio.to_thread(attention_json, reply.attention, reply.model)
        return Response(answer, media_type="application/json")

    @NATIVE.route(
        "/v1/beam",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="The search for the translation of one sentence",
        response_model=BeamReply,
        responses=TRANSLATE_ERRORS,
        route_class_override=JsonRoute,
        openapi_extra={"parameters": REQUEST_HEADERS},
        tags=["native"],
    )
    async def beam(self, request: Request, body: BeamRequest) -> Response:
        """Tells which hypotheses the search for a sentence looked at, which ones it pruned, and how
        likely they are.

        The search is made anew for that, slower than a translation is, so the sentence must be
        short: at most `limits.max_search_candidates` candidates.
        """
        options = body.generation.model_dump(exclude_none=True) if body.generation else {}
        reply = await self._pipeline.translate(
            request,
            (body.text,),
            source=body.source,
            target=body.target,
            model=body.model,
            options=options,
            field="text",
            is_list=False,
            inside=Inside.SEARCH,
        )
        assert reply.search is not None  # it was asked for
        return Response(_beam(reply.search, reply.model), media_type="application/json")

    async def _text_options(
        self, request: Request, body: TranslateRequest
    ) -> tuple[TextOptions, int]:
        """What the request asks of its texts, with the terms of the stored glossary; and their
        number."""
        options = body.text_options()
        if body.glossary_id is None:
            return options, 0
        if body.source is None:
            raise InvalidFieldError(
                "`source` must be given with `glossary_id`, but is not", field="source"
            )
        stored = await self._glossaries.terms(
            request, body.glossary_id, body.source, body.target, body.all_texts(), options
        )
        return replace(options, glossary=joined(stored, options.glossary)), len(stored)


class _NativeEvents:
    """The events of an answer to a request: see `EventForm`."""

    def __init__(self, body: TranslateRequest) -> None:
        self._body = body

    def delta(self, delta: TextDelta) -> bytes:
        """See `EventForm`."""
        return event(to_json({"index": delta.number, "text": delta.text}), b"delta")

    def result(self, translated: Translated) -> bytes:
        """See `EventForm`."""
        return event(_answer(translated, self._body), b"result")

    def error(self, body: bytes) -> bytes:
        """See `EventForm`."""
        return event(body, b"error")


def _answer(reply: Translated, body: TranslateRequest) -> bytes:
    """A TranslateReplyBody in JSON; optional fields only if asked for."""
    generation = body.generation
    translations = reply.translations
    detections = reply.detections or (None,) * len(translations)
    answer: dict[str, Any] = {
        "translations": [
            _translation(
                one,
                detection,
                return_scores=body.return_scores,
                return_hypotheses=generation is not None and (generation.num_hypotheses or 1) > 1,
                return_alignments=body.return_alignments,
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
    return to_json(answer, inf_nan_mode="null")


def _beam(search: SentenceSearch, model: str) -> bytes:
    """A BeamReply in JSON."""
    answer = {
        "translation": search.translation.text,
        "model": model,
        "beam_size": search.beam_size,
        "candidates": [
            {
                **each._asdict(),
                "log_prob": round(each.log_prob, 4),
                "score": None if each.score is None else round(each.score, 4),
            }
            for each in search.candidates
        ],
        "best": search.best,
    }
    return to_json(answer, inf_nan_mode="null")


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
