"""The path from a request's texts to a model's reply, shared by all contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from model.config import GenerationConfig, Priority
from model.errors import InvalidRequestError
from model.text.word_links import composed
from model.text_options import NO_TEXT_OPTIONS, TextOptions
from model.translation import FinishReason, Translation, TranslationHypothesis
from service.errors import InvalidFieldError
from service.gateway.admission import PRIORITY_HEADER, TIMEOUT_HEADER, Admission, deadline_of
from service.gateway.request_context import RequestContext
from service.protocol import ModelInfo, TranslateCall, TranslateReply
from service.routing.retry import Retrier
from service.routing.router import Route, Router

__all__ = ["REQUEST_HEADERS", "TranslationPipeline"]

REQUEST_HEADERS: list[dict[str, Any]] = [
    {
        "name": TIMEOUT_HEADER,
        "in": "header",
        "description": "Seconds within which the answer must come; the server's limit if absent.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
        "example": 5,
    },
    {
        "name": PRIORITY_HEADER,
        "in": "header",
        "description": "Batch work has its turn when nobody waits, and one turn in eight else.",
        "schema": {"type": "string", "enum": list(Priority), "default": Priority.INTERACTIVE},
        "example": Priority.BATCH,
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Names the request in answer and log: up to 128 of A-Za-z0-9._:+/=-",
        "schema": {"type": "string", "maxLength": 128},
        "example": "order-4711",
    },
]
"""The headers that every translating route reads, for the OpenAPI document."""


class TranslationPipeline:
    """Checks a request against the limits, finds its route, and sends each model of it one call."""

    def __init__(self, router: Router, retrier: Retrier, admission: Admission) -> None:
        self.router = router
        self._retrier = retrier
        self._admission = admission

    async def translate(
        self,
        request: Request,
        texts: tuple[str, ...],
        *,
        source: str,
        target: str,
        model: str | None = None,
        options: Mapping[str, Any],
        field: str,
        is_list: bool,
        return_alignments: bool = False,
        text_options: TextOptions = NO_TEXT_OPTIONS,
        with_attention: bool = False,
    ) -> TranslateReply:
        """The translations, in the order of the texts.

        Args:
            request: its headers may set the deadline.
            texts: at least one.
            source, target: language codes in any letter case.
            model: id or alias of the model to take; None for the first one that has the pair.
            options: fields of GenerationConfig that differ from the model's defaults.
            field: the contract's name for the texts, for errors.
            is_list: whether they came as a list, for errors.
            return_alignments: whether words are aligned.
            text_options: what is kept, which terms are used, how the translation begins.
            with_attention: whether the only text, one sentence, comes with maps of the attention.
        """
        context = RequestContext.of(request.scope)
        self._admission.check_texts(texts, field=field, is_list=is_list)
        self._admission.check_text_options(text_options)
        text_options.check_texts(texts)
        self._admission.check_generation(options)
        deadline = deadline_of(context, request.headers.get(TIMEOUT_HEADER), self._admission.limits)
        route = self.router.find(source, target, model)
        if with_attention and len(route.hops) > 1:
            raise InvalidFieldError(
                f"`target` must be a language of a model that translates {route.source}, but it "
                f"takes two to translate into {route.target}",
                field="target",
            )
        *to_pivot, last = route.hops
        generations = [
            *(_generation(hop.info, _for_pivot(options), num_hypotheses=1) for hop in to_pivot),
            _generation(last.info, options),
        ]
        num_hypotheses = (generations[-1] or last.info.generation).num_hypotheses
        self._admission.check_answer(
            texts, num_hypotheses, field=field, return_alignments=return_alignments
        )
        context.num_texts = len(texts)
        context.source, context.target = route.source, route.target
        with self.router.held(route):
            replies = await self._translate(
                context, texts, route, generations, deadline,
                return_alignments=return_alignments, text_options=text_options,
                with_attention=with_attention,
            )  # fmt: skip
        return replies[0] if len(replies) == 1 else _joined(replies, route)

    async def _translate(
        self,
        context: RequestContext,
        texts: tuple[str, ...],
        route: Route,
        generations: Sequence[GenerationConfig | None],
        deadline: float,
        *,
        return_alignments: bool,
        text_options: TextOptions,
        with_attention: bool,
    ) -> list[TranslateReply]:
        """The replies of the route's models, each of which translates what the last has made."""
        replies: list[TranslateReply] = []
        hop_options = text_options if len(route.hops) == 1 else text_options.to_pivot()
        most_numbers = self._admission.limits.max_attention_numbers if with_attention else None
        for hop, generation in zip(route.hops, generations, strict=True):
            context.model = hop.model.hosted.id
            if replies:
                hop_options = text_options.from_pivot(texts)
            call = TranslateCall(
                request_id=context.request_id,
                model=hop.model.hosted,
                texts=tuple(one.text for one in replies[-1].translations) if replies else texts,
                source=hop.source,
                target=hop.target,
                generation=generation,
                priority=context.priority,
                return_alignments=return_alignments,
                text_options=hop_options,
                max_attention_numbers=most_numbers,
            )
            reply = await self._retrier.translate(hop.model.backend, call, deadline=deadline)
            replies.append(reply)
            if len(replies[-1].translations) != len(texts):
                raise RuntimeError(
                    f"the model must give {len(texts)} translations, but gave "
                    f"{len(replies[-1].translations)}"
                )
        return replies


def _generation(
    info: ModelInfo, options: Mapping[str, Any], **more: Any
) -> GenerationConfig | None:
    """The model's defaults with the request's changes; None when there are none."""
    if not options and all(getattr(info.generation, name) == more[name] for name in more):
        return None
    try:
        return replace(info.generation, **options, **more)
    except InvalidRequestError as exc:
        raise InvalidFieldError(str(exc), field="generation") from None


def _for_pivot(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of a request's changes is for the model on the way to the last one.

    The last one reads one whole translation of each text.
    """
    return {
        name: value
        for name, value in options.items()
        if name not in ("num_hypotheses", "max_new_tokens")
    }


def _joined(replies: Sequence[TranslateReply], route: Route) -> TranslateReply:
    """The last reply, with the tokens and seconds of all of them."""
    return TranslateReply(
        model=" + ".join(reply.model for reply in replies),
        translations=tuple(
            _summed(steps) for steps in zip(*(reply.translations for reply in replies), strict=True)
        ),
        pivot=route.pivot,
    )


def _summed(steps: Sequence[Translation]) -> Translation:
    """The last of the translations through which a text has gone."""
    sums: dict[str, Any] = {
        name: sum(getattr(step, name) for step in steps)
        for name in (
            "source_tokens", "target_tokens", "queue_seconds", "encode_seconds", "decode_seconds",
        )
    }  # fmt: skip
    cut = any(step.finish_reason is FinishReason.LENGTH for step in steps)
    reason = FinishReason.LENGTH if cut else FinishReason.STOP
    hypotheses = tuple(_aligned(steps[:-1], one) for one in steps[-1].hypotheses)
    return replace(steps[-1], finish_reason=reason, hypotheses=hypotheses, **sums)


def _aligned(to_pivot: Sequence[Translation], last: TranslationHypothesis) -> TranslationHypothesis:
    """One of the last translations, with its words aligned to those of the first text."""
    alignments = last.alignments
    for step in reversed(to_pivot):
        if alignments is None or step.alignments is None:
            return replace(last, alignments=None)
        alignments = composed(step.alignments, alignments)
    return replace(last, alignments=alignments)
