"""The path from a request's texts to a model's reply, shared by all contracts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from model.config import GenerationConfig, Priority
from model.errors import InvalidRequestError
from model.text.language_detection import Detection
from model.text.language_tags import bcp47
from model.text.word_links import composed, kept_words
from model.text_options import NO_TEXT_OPTIONS, TextOptions
from model.translation import (
    FinishReason,
    SentenceAttention,
    SentenceSearch,
    TextDelta,
    Translation,
    TranslationHypothesis,
)
from service.errors import InvalidFieldError
from service.gateway.access import AccessControl
from service.gateway.admission import PRIORITY_HEADER, TIMEOUT_HEADER, Admission, deadline_of
from service.gateway.api.deltas import Deltas, PartSink
from service.gateway.api.detection import detect_languages
from service.gateway.request_context import RequestContext, header
from service.protocol import ModelInfo, TranslateCall, TranslateReply
from service.routing.retry import Retrier
from service.routing.router import Route, Router

__all__ = ["REQUEST_HEADERS", "Inside", "Translated", "TranslationPipeline"]

_T = TypeVar("_T")

CACHE_HEADER = "Cache-Control"
_TIMEOUT = TIMEOUT_HEADER.encode()
_BACKGROUND = "documents"

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
        "name": CACHE_HEADER,
        "in": "header",
        "description": "With `no-cache`, nothing is taken that was kept of the same sentences.",
        "schema": {"type": "string"},
        "example": "no-cache",
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Names the request in answer and log: up to 128 of A-Za-z0-9._:+/=-; in the "
        "place of any other, a new one does.",
        "schema": {"type": "string"},
        "example": "order-4711",
    },
]
"""The headers that every translating route reads, for the OpenAPI document."""


class Inside(Enum):
    """What can be told of how a model translates a sentence."""

    ATTENTION = auto()
    SEARCH = auto()


@dataclass(frozen=True, kw_only=True)
class Translated:
    """What came of a request's texts."""

    model: str
    """Name of the model; of two by way of a pivot with " + " between them, of several for texts in
    different languages with ", "."""
    translations: tuple[Translation, ...]
    """In the order of the texts."""
    sources: tuple[str, ...]
    """The language of each text, as the model writes its code."""
    target: str
    """The language of the translations, as the model writes its code."""
    detections: tuple[Detection, ...] | None = None
    """What the language of each text was found to be; None where the request said it."""
    pivot: str | None = None
    """The language between two models, if all texts took one."""
    attention: SentenceAttention | None = None
    """Where the model attends for the only text; None where nobody asks."""
    search: SentenceSearch | None = None
    """The search for the only text; None where nobody asks."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Texts of a request that are in one language, and the way they go."""

    indices: tuple[int, ...]
    source: str
    target: str
    route: Route | None
    """None for texts that are in the target's language already."""
    generations: tuple[GenerationConfig | None, ...] = ()

    @property
    def num_hypotheses(self) -> int:
        """How many translations of each text there will be."""
        if self.route is None:
            return 1
        return (self.generations[-1] or self.route.hops[-1].info.generation).num_hypotheses


class TranslationPipeline:
    """Checks a request against the limits, finds its route, and sends each model of it one call."""

    def __init__(
        self, router: Router, retrier: Retrier, admission: Admission, access: AccessControl
    ) -> None:
        self.router = router
        self._retrier = retrier
        self._admission = admission
        self._access = access

    async def translate(
        self,
        request: Request,
        texts: tuple[str, ...],
        *,
        source: str | None,
        target: str,
        model: str | None = None,
        options: Mapping[str, Any],
        alternatives: int = 0,
        field: str,
        is_list: bool,
        return_alignments: bool = False,
        text_options: TextOptions = NO_TEXT_OPTIONS,
        num_stored_terms: int = 0,
        inside: Inside | None = None,
        use_cache: bool = True,
        deltas: Deltas | None = None,
    ) -> Translated:
        """The translations, in the order of the texts.

        Args:
            request: its headers may set the deadline.
            texts: at least one.
            source, target: codes in any letter case; None finds the language of each text.
            model: id or alias of the model to take; None for the first one that has the pair.
            options: fields of GenerationConfig that differ from the model's defaults.
            alternatives: more translations of each text, by a beam as wide as they need.
            field, is_list: the contract's name for the texts, and whether they came as a list.
            return_alignments: whether words are aligned.
            text_options: what is kept, which terms are used, how the translation begins.
            num_stored_terms: how many of the terms are of stored glossaries.
            inside: what else is told of the only text, one sentence.
            use_cache: whether models may take what they have kept of equal sentences.
            deltas: gets what is decided of the translations while they are made.
        """
        context = RequestContext.of(request.scope)
        self._check(texts, options, text_options, num_stored_terms, field=field, is_list=is_list)
        deadline = deadline_of(context, header(request.scope, _TIMEOUT), self._admission.limits)
        detections = None
        if source is None:
            detections = await detect_languages(texts, self.router.sources_for(target, model))
        parts = self._parts(len(texts), source, detections, target, model, options, alternatives)
        if inside is not None:
            _check_inside(parts[0])
        most = max(part.num_hypotheses for part in parts)
        self._admission.check_answer(texts, most, field=field, return_alignments=return_alignments)
        context.num_texts = len(texts)
        context.source, context.target = parts[0].source, parts[0].target
        work = partial(
            self._replies, context, texts, parts, deadline,
            return_alignments=return_alignments, text_options=text_options, inside=inside,
            deltas=deltas, use_cache=use_cache and _allows_cache(request),
        )  # fmt: skip
        replies = await self._counted(request, texts, deltas, work)
        context.timings = _timings(replies)
        return _put_together(parts, replies, detections)

    async def translate_batch(
        self,
        texts: Sequence[str],
        *,
        name: str,
        source: str,
        target: str,
        model: str | None,
        text_options: TextOptions,
    ) -> list[str]:
        """Translations of texts for which no request waits, when nobody else does.

        Args:
            texts: at least one; within no limit of requests.
            name: in the replicas' logs, as the id of a request.
            source, target, model, text_options: as of `translate`.
        """
        context = RequestContext(request_id=name, route=_BACKGROUND, priority=Priority.BATCH)
        deadline = context.started + self._admission.limits.request_timeout_seconds
        [part] = self._parts(len(texts), source, None, target, model, {}, 0)
        [reply] = await self._replies(
            context, tuple(texts), [part], deadline,
            return_alignments=False, text_options=text_options, inside=None,
            deltas=None, use_cache=True,
        )  # fmt: skip
        return [translation.text for translation in reply.translations]

    def _check(
        self,
        texts: tuple[str, ...],
        options: Mapping[str, Any],
        text_options: TextOptions,
        num_stored: int,
        *,
        field: str,
        is_list: bool,
    ) -> None:
        """Raises what is wrong with a request whatever its languages are."""
        self._admission.check_texts(texts, field=field, is_list=is_list)
        self._admission.check_text_options(text_options, num_stored=num_stored)
        text_options.check_texts(texts)
        self._admission.check_generation(options)

    def _parts(
        self,
        num_texts: int,
        source: str | None,
        detections: Sequence[Detection] | None,
        target: str,
        model: str | None,
        options: Mapping[str, Any],
        alternatives: int,
    ) -> list[_Part]:
        """The texts by their language, each with its route; those of the most texts first."""
        indices: dict[str, list[int]] = {}
        if detections is None:
            indices[source or ""] = list(range(num_texts))
        else:
            for index, detection in enumerate(detections):
                indices.setdefault(detection.language, []).append(index)
        parts = []
        for code, of_code in sorted(indices.items(), key=lambda item: -len(item[1])):
            if detections and bcp47(code) == bcp47(served := self.router.target(target) or target):
                parts.append(_Part(indices=tuple(of_code), source=code, target=served, route=None))
                continue
            route = self.router.find(code, target, model)
            *to_pivot, last = route.hops
            own = _with_alternatives(options, alternatives, last.info)
            generations = [
                *(_generation(hop.info, _for_pivot(own), num_hypotheses=1) for hop in to_pivot),
                _generation(last.info, own),
            ]
            parts.append(
                _Part(
                    indices=tuple(of_code), source=route.source, target=route.target,
                    route=route, generations=tuple(generations),
                )
            )  # fmt: skip
        return parts

    async def _counted(
        self,
        request: Request,
        texts: Sequence[str],
        deltas: Deltas | None,
        work: Callable[[], Coroutine[Any, Any, _T]],
    ) -> _T:
        """What `work` returns; the characters of the texts count for the client."""
        characters = sum(map(len, texts))
        spending = await self._access.spend_on(request.scope, characters)
        try:
            done = await work()
        except BaseException:
            self._access.failed(spending, sent=_sent_characters(texts, deltas))
            raise
        self._access.succeeded(spending)
        return done

    async def _replies(
        self,
        context: RequestContext,
        texts: tuple[str, ...],
        parts: Sequence[_Part],
        deadline: float,
        **asked: Any,
    ) -> list[TranslateReply]:
        """The reply to each part; `asked` as in `_translate_part`.

        As many parts are in work at a time as there are places for; the models of all are held.
        """
        calls = [
            partial(self._translate_part, context, texts, part, deadline, **asked) for part in parts
        ]
        routes = [part.route for part in parts if part.route is not None]
        with self.router.held(*routes):
            if len(calls) == 1:
                return [await calls[0]()]
            with self._admission.further_calls(context.priority, len(routes) - 1) as further:
                return await _all_or_none(calls, at_once=1 + further)

    async def _translate_part(
        self,
        context: RequestContext,
        texts: tuple[str, ...],
        part: _Part,
        deadline: float,
        *,
        return_alignments: bool,
        text_options: TextOptions,
        inside: Inside | None,
        use_cache: bool,
        deltas: Deltas | None,
    ) -> TranslateReply:
        """The reply for those of the texts that are of the part."""
        if len(part.indices) < len(texts):
            text_options = text_options.for_texts(part.indices)
            texts = tuple(texts[index] for index in part.indices)
        on_deltas = None if deltas is None else deltas.of_part(part.indices)
        if part.route is None:
            unchanged = (_unchanged(text, return_alignments=return_alignments) for text in texts)
            reply = TranslateReply(model="", translations=tuple(unchanged))
            if on_deltas:
                on_deltas(tuple(TextDelta(*each) for each in enumerate(texts)))
        else:
            replies = await self._translate(
                context, texts, part.route, part.generations, deadline,
                return_alignments=return_alignments, text_options=text_options,
                inside=inside, use_cache=use_cache, on_deltas=on_deltas,
            )  # fmt: skip
            reply = replies[0] if len(replies) == 1 else _joined(replies, part.route)
        if deltas:
            deltas.end(part.indices)
        return reply

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
        inside: Inside | None,
        use_cache: bool,
        on_deltas: PartSink | None,
    ) -> list[TranslateReply]:
        """The replies of the route's models, each of which translates what the last has made."""
        replies: list[TranslateReply] = []
        hop_options = text_options if len(route.hops) == 1 else text_options.to_pivot()
        limits = self._admission.limits
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
                max_attention_numbers=(
                    limits.max_attention_numbers if inside is Inside.ATTENTION else None
                ),
                max_search_candidates=(
                    limits.max_search_candidates if inside is Inside.SEARCH else None
                ),
                use_cache=use_cache,
            )
            backend = hop.model.backend
            if on_deltas is not None and hop is route.hops[-1]:
                reply = await self._retrier.stream(backend, call, on_deltas, deadline=deadline)
            else:
                reply = await self._retrier.translate(backend, call, deadline=deadline)
            replies.append(reply)
            if len(replies[-1].translations) != len(texts):
                raise RuntimeError(
                    f"the model must give {len(texts)} translations, but gave "
                    f"{len(replies[-1].translations)}"
                )
        return replies


def _sent_characters(texts: Sequence[str], deltas: Deltas | None) -> int:
    """Characters of the texts of whose translations a part has come."""
    return 0 if deltas is None else sum(len(texts[index]) for index in deltas.begun)


def _allows_cache(request: Request) -> bool:
    return "no-cache" not in (header(request.scope, b"cache-control") or "").lower()


def _with_alternatives(
    options: Mapping[str, Any], alternatives: int, info: ModelInfo
) -> Mapping[str, Any]:
    if alternatives == 0:
        return options
    count = alternatives + 1
    beam_size = max(info.generation.beam_size, count)
    return {**options, "num_hypotheses": count, "beam_size": beam_size}


def _check_inside(part: _Part) -> None:
    """InvalidFieldError if no model, or more than one, translates the part."""
    if part.route is None or len(part.route.hops) > 1:
        models = 0 if part.route is None else len(part.route.hops)
        raise InvalidFieldError(
            f"`target` must be a language of a model that translates {part.source}, but it takes "
            f"{models} models to translate into {part.target}",
            field="target",
        )


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


def _unchanged(text: str, *, return_alignments: bool) -> Translation:
    """A text that is in the target's language already."""
    alignments = tuple(kept_words(text)) if return_alignments else None
    return Translation(
        text=text,
        finish_reason=FinishReason.STOP,
        score=None,
        hypotheses=(TranslationHypothesis(text=text, score=0.0, alignments=alignments),),
    )


def _put_together(
    parts: Sequence[_Part],
    replies: Sequence[TranslateReply],
    detections: tuple[Detection, ...] | None,
) -> Translated:
    """The answer to a request, whose texts are in its order again."""
    if len(parts) == 1:
        sources = (parts[0].source,) * len(parts[0].indices)
        translations = replies[0].translations
    else:
        by_index = {
            index: (part.source, translation)
            for part, reply in zip(parts, replies, strict=True)
            for index, translation in zip(part.indices, reply.translations, strict=True)
        }
        sources, translations = zip(*(by_index[index] for index in sorted(by_index)), strict=True)
    pivots = {reply.pivot for reply in replies if reply.model}
    return Translated(
        model=", ".join(dict.fromkeys(reply.model for reply in replies if reply.model)),
        translations=translations,
        sources=sources,
        target=parts[0].target,
        detections=detections,
        pivot=pivots.pop() if len(pivots) == 1 else None,
        attention=replies[0].attention,
        search=replies[0].search,
    )


def _timings(replies: Sequence[TranslateReply]) -> dict[str, float]:
    """Seconds inside the models by phase, of the text that took longest in it."""
    return {
        name: max(
            getattr(translation, f"{name}_seconds")
            for reply in replies
            for translation in reply.translations
        )
        for name in ("queue", "encode", "decode")
    }


async def _all_or_none(
    calls: Sequence[Callable[[], Coroutine[Any, Any, _T]]], *, at_once: int
) -> list[_T]:
    """What all calls return, of which so many run at a time; when one fails, the others are
    cancelled and its error is raised."""
    turns = asyncio.Semaphore(at_once)

    async def in_turn(call: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        async with turns:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(call)) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
