"""What is wrong with an answer, in words that hold nothing of the texts: locust counts by them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["libretranslate_fault", "translate_fault"]

_FINISH_REASONS = ("stop", "length")
_LOST_LINE_BREAKS = "a translation must have the line breaks of its text"


def translate_fault(answer: object, *, texts: Sequence[str]) -> str | None:
    """Looks for a fault in the JSON answer of `POST /v1/translate` to `texts`, none blank."""
    if not isinstance(answer, dict):
        return "the answer must be a JSON object"
    translations = answer.get("translations")
    if not isinstance(translations, list) or len(translations) != len(texts):
        return "`translations` must be a list with one entry for each text"
    for translation, text in zip(translations, texts, strict=True):
        if not isinstance(translation, dict) or _is_blank(translation.get("text")):
            return "`text` of a translation must not be empty"
        if _line_breaks(translation["text"]) != _line_breaks(text):
            return _LOST_LINE_BREAKS
        if translation.get("finish_reason") not in _FINISH_REASONS:
            return f"`finish_reason` must be one of {', '.join(_FINISH_REASONS)}"
    if _is_blank(answer.get("model")):
        return "`model` must name the model"
    return None


def libretranslate_fault(answer: object, *, query: str | Sequence[str]) -> str | None:
    """Looks for a fault in the JSON answer of `POST /translate` to `query`, no text of it blank."""
    if not isinstance(answer, dict):
        return "the answer must be a JSON object"
    translated = answer.get("translatedText")
    if isinstance(query, str):
        if _is_blank(translated):
            return "`translatedText` must be a text"
        query, translated = [query], [translated]
    if not isinstance(translated, list) or len(translated) != len(query):
        return "`translatedText` must be a list with one entry for each text"
    if any(_is_blank(text) for text in translated):
        return "a text of `translatedText` must not be empty"
    if list(map(_line_breaks, translated)) != list(map(_line_breaks, query)):
        return _LOST_LINE_BREAKS
    return None


def _is_blank(text: object) -> bool:
    return not isinstance(text, str) or not text.strip()


def _line_breaks(text: str) -> int:
    return text.count("\n")
