"""The part of OpenAI's API that translates: POST /v1/chat/completions.

The last message of the user is the text. The languages come from, in this order: the fields
`source` and `target`, which clients add as an `extra_body`; the name of the model, which is one of
the service's or a pair such as "de-en" or "auto-en"; a message of the system that says "to German"
or "from English to German". All other fields are ignored.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from model.translation import TextDelta
from service.errors import (
    InvalidFieldError,
    MissingFieldError,
    UnknownRequestedModelError,
    shown,
)
from service.gateway.api.contract import Contract, Reply
from service.gateway.api.deltas import Deltas
from service.gateway.api.event_stream import event, event_stream
from service.gateway.api.json_body import JsonRoute
from service.gateway.api.language_names import language_name
from service.gateway.api.native import STREAMED
from service.gateway.api.native_schemas import LanguageCode, ModelName
from service.gateway.api.openai_errors import OPENAI_ERRORS, openai_error
from service.gateway.api.pipeline import REQUEST_HEADERS, Translated, TranslationPipeline
from service.gateway.request_context import RequestContext
from service.routing.router import Router
from service.store.records import Scope

__all__ = ["OPENAI", "OpenAIApi"]

_MAX_MESSAGES = 256
OPENAI = Contract(error_form=openai_error, errors=OPENAI_ERRORS)


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, use_attribute_docstrings=True)


class ChatPart(_Request):
    """A part of a message."""

    type: str
    text: str = ""


_Parts = Annotated[list[ChatPart], Field(max_length=_MAX_MESSAGES, fail_fast=True)]


class ChatMessage(_Request):
    """A message of a conversation."""

    role: str = Field(max_length=100)
    content: str | _Parts | None = None

    @property
    def text(self) -> str:
        """All that it says."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class ChatRequest(_Request):
    """A text to translate, as a conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "en-de", "messages": [{"role": "user", "content": "Good morning!"}]}
            ]
        }
    )

    model: ModelName
    """A model of `GET /v1/models`, a pair such as "de-en" or "auto-en", or anything else where the
    languages are told otherwise."""
    messages: list[ChatMessage] = Field(min_length=1, max_length=_MAX_MESSAGES, fail_fast=True)
    """The last one of the user is translated."""
    source: LanguageCode | None = None
    """Language of the text; detected where nothing says it."""
    target: LanguageCode | None = None
    """Language of the translation."""
    stream: bool = False
    """Whether the answer is server-sent events."""
    stream_options: dict[str, Any] | None = None
    """With `include_usage`, the last event but one has the number of tokens."""


class ChatCompletion(Reply):
    """A translation, as the answer in a conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "chatcmpl-order-4711",
                    "object": "chat.completion",
                    "created": 1764460800,
                    "model": "en-de",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "Guten Morgen!"},
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9},
                }
            ]
        }
    )

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]


class _Wanted(NamedTuple):
    """What a request asks for."""

    source: str | None
    target: str
    model: str | None = None


class OpenAIApi:
    """The handler of OpenAI's API."""

    def __init__(self, pipeline: TranslationPipeline) -> None:
        self._pipeline = pipeline

    @OPENAI.route(
        "/v1/chat/completions",
        scope=Scope.TRANSLATE,
        methods=["POST"],
        summary="Translate, in OpenAI's form",
        response_model=ChatCompletion,
        responses={200: STREAMED},
        route_class_override=JsonRoute,
        openapi_extra={"parameters": REQUEST_HEADERS},
        tags=["OpenAI"],
    )
    async def complete(self, request: Request, body: ChatRequest) -> Response:
        """Translates the last message of the user. What it does not know, it ignores."""
        texts = [message.text for message in body.messages if message.role == "user"]
        if not texts:
            raise InvalidFieldError(
                "`messages` must have one of the role user, but have none", field="messages"
            )
        wanted = _wanted(body, self._pipeline.router)
        deltas = Deltas(1) if body.stream else None
        translating = self._pipeline.translate(
            request, (texts[-1],), source=wanted.source, target=wanted.target, model=wanted.model,
            options={}, field="messages", is_list=False, deltas=deltas,
        )  # fmt: skip
        answer = _Answer(body, RequestContext.of(request.scope).request_id)
        if deltas is not None:
            return await event_stream(request, deltas, translating, answer)
        return Response(answer.whole(await translating), media_type="application/json")


class _Answer:
    """An answer, as a whole or in events: see `EventForm`."""

    def __init__(self, body: ChatRequest, request_id: str) -> None:
        self._body = body
        self._head = {
            "id": f"chatcmpl-{request_id}",
            "created": int(time.time()),
            "model": body.model,
        }

    def whole(self, translated: Translated) -> bytes:
        """A ChatCompletion in JSON."""
        [translation] = translated.translations
        message = {"role": "assistant", "content": translation.text}
        choice = {
            "index": 0, "message": message, "finish_reason": translation.finish_reason,
            "logprobs": None,
        }  # fmt: skip
        return self._json("chat.completion", [choice], usage=_usage(translated))

    def delta(self, delta: TextDelta) -> bytes:
        """See `EventForm`."""
        return self._chunk({"role": "assistant", "content": delta.text})

    def result(self, translated: Translated) -> bytes:
        """See `EventForm`."""
        events = [self._chunk({}, translated.translations[0].finish_reason)]
        if (self._body.stream_options or {}).get("include_usage"):
            usage = _usage(translated)
            events.append(event(self._json("chat.completion.chunk", [], usage=usage)))
        return b"".join([*events, event(b"[DONE]")])

    def error(self, body: bytes) -> bytes:
        """See `EventForm`."""
        return event(body)

    def _chunk(self, delta: Mapping[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return event(self._json("chat.completion.chunk", [choice]))

    def _json(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return to_json({**self._head, "object": kind, "choices": choices, **more})


def _usage(translated: Translated) -> dict[str, int]:
    [one] = translated.translations
    total = one.source_tokens + one.target_tokens
    return {
        "prompt_tokens": one.source_tokens, "completion_tokens": one.target_tokens,
        "total_tokens": total,
    }  # fmt: skip


def _wanted(body: ChatRequest, router: Router) -> _Wanted:
    """The languages and the model.

    Raises:
        MissingFieldError, UnknownRequestedModelError: nothing says the target's.
    """
    model = next(
        (each for each in router.models if body.model in (each.hosted.id, *each.aliases)), None
    )
    source, target = _pair(body.model, router)
    if model is not None:
        targets, sources = model.info.languages.targets, model.info.languages.sources
        target = targets[0] if len(targets) == 1 else None
        source = sources[0] if len(sources) == 1 else None
    told = "\n".join(each.text for each in body.messages if each.role in ("system", "developer"))
    told_source, told_target = _told(told[:_MOST_TOLD], router)
    source, target = body.source or source or told_source, body.target or target or told_target
    if target is None and model is None:
        raise UnknownRequestedModelError(
            "`model` must be one that GET /v1/models lists, or a pair such as de-en, where neither "
            "`target` nor a message of the system says the language to translate into, but is "
            f"{shown(body.model)}",
            field="model",
        )
    if target is None:
        raise MissingFieldError(
            "`target` must be given where neither `model` nor a message of the system says the "
            f"language to translate into, but is not; `model` is {shown(body.model)}",
            field="target",
        )
    return _Wanted(source, target, None if model is None else body.model)


def _pair(name: str, router: Router) -> tuple[str | None, str | None]:
    """The languages of a name such as "de-en" and "auto-pt-BR"."""
    parts = name.split("-")
    for place in range(1, min(len(parts), 6)):
        source, target = "-".join(parts[:place]), "-".join(parts[place:])
        if router.target(target) and (source == "auto" or router.source(source)):
            return None if source == "auto" else source, target
    return None, None


_MOST_TOLD = 2000
"""Characters of an instruction that are looked at."""


def _told(instruction: str, router: Router) -> tuple[str | None, str | None]:
    """The languages that an instruction names: "from English to German", "into pt-BR"."""
    if not instruction or not router.languages:
        return None, None
    names = {code.casefold(): code for code in router.languages}
    names |= {language_name(code).casefold(): code for code in router.languages}
    any_name = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    found = [
        re.search(rf"\b{word} ({any_name})\b", instruction, re.IGNORECASE)
        for word in ("from", "(?:in)?to")
    ]
    source, target = (match and names[match[1].casefold()] for match in found)
    return source, target
