"""What is wrong with an answer, in words that hold nothing of the texts: locust counts by them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["libretranslate_fault", "translate_fault"]

_FINISH_REASONS = ("stop", "length")


def translate_fault(answer: object, *, count: int) -> str | None:
    """Looks for a fault in the JSON answer of `POST /v1/translate` to `count` texts, none blank."""
    if not isinstance(answer, dict):
        return "the answer must be a JSON object"
    translations = answer.get("translations")
    if not isinstance(translations, list) or len(translations) != count:
        return "`translations` must be a list with one entry for each text"
    for translation in translations:
        if not isinstance(translation, dict) or _is_blank(translation.get("text")):
            return "`text` of a translation must not be empty"
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
        return "`translatedText` must be a text" if _is_blank(translated) else None
    if not isinstance(translated, list) or len(translated) != len(query):
        return "`translatedText` must be a list with one entry for each text"
    if any(_is_blank(text) for text in translated):
        return "a text of `translatedText` must not be empty"
    return None


def _is_blank(text: object) -> bool:
    return not isinstance(text, str) or not text.strip()
