"""The plain form of DeepLX and of the Immersive Translate extension, at LibreTranslate's path.

Theirs is a JSON object with `source_lang`, `target_lang`, and `text` or `text_list`; it is told by
`target_lang`, which LibreTranslate's form has not. Errors are LibreTranslate's.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from model.errors import InvalidRequestError
from service.gateway.api.pipeline import Translated, TranslationPipeline

__all__ = ["is_deeplx", "translate_deeplx"]


class _DeepLXRequest(BaseModel):
    model_config = ConfigDict(strict=True)

    text: str | None = None
    text_list: list[str] | None = Field(default=None, min_length=1, fail_fast=True)
    source_lang: str = Field(default="auto", max_length=35)
    target_lang: str = Field(min_length=1, max_length=35)


def is_deeplx(fields: Any) -> bool:
    """Whether a request's fields are of this form."""
    return isinstance(fields, dict) and "target_lang" in fields and "q" not in fields


async def translate_deeplx(
    request: Request, pipeline: TranslationPipeline, fields: dict[str, Any]
) -> Response:
    """Translates the text, or the texts of the list."""
    try:
        wanted = _DeepLXRequest.model_validate(fields)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        name = ".".join(map(str, error["loc"]))
        raise InvalidRequestError(f"Invalid request: {name}: {error['msg']}") from None
    if (wanted.text is None) == (wanted.text_list is None):
        raise InvalidRequestError("Invalid request: missing text or text_list parameter")
    source = wanted.source_lang
    translated = await pipeline.translate(
        request,
        tuple(wanted.text_list or (wanted.text or "",)),
        source=None if source.lower() in ("", "auto") else source,
        target=wanted.target_lang,
        options={},
        field="text" if wanted.text_list is None else "text_list",
        is_list=wanted.text_list is not None,
    )
    return Response(to_json(_answer(wanted, translated)), media_type="application/json")


def _answer(wanted: _DeepLXRequest, translated: Translated) -> dict[str, Any]:
    pairs = zip(translated.sources, translated.translations, strict=True)
    if wanted.text_list is not None:
        listed = [{"detected_source_lang": source, "text": one.text} for source, one in pairs]
        return {"translations": listed}
    [(source, translation)] = pairs
    return {
        "code": 200,
        "data": translation.text,
        "alternatives": [],
        "source_lang": source.upper(),
        "target_lang": translated.target.upper(),
        "method": "Free",
    }
