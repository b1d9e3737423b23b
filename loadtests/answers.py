"""What is wrong with an answer, in words that hold nothing of the texts: locust counts by them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["libretranslate_fault", "translate_fault"]

_FINISH_REASONS = ("stop", "length")


def translate_fault(answer: object, *, texts: Sequence[str]) -> str | None:
    """Looks for a fault in the JSON answer of `POST /v1/translate` to `texts`, none blank."""
    if not isinstance(answer, dict):
        return "the answer must be a JSON object"
    translations = answer.get("translations")
    if not isinstance(translations, list) or not all(isinstance(one, dict) for one in translations):
        return "`translations` must be a list with one entry for each text"
    fault = _fault_of("translations", [one.get("text") for one in translations], texts)
    if fault is not None:
        return fault
    if any(one.get("finish_reason") not in _FINISH_REASONS for one in translations):
        return f"`finish_reason` must be one of {', '.join(_FINISH_REASONS)}"
    return "`model` must name the model" if _is_blank(answer.get("model")) else None


def libretranslate_fault(answer: object, *, query: str | Sequence[str]) -> str | None:
    """Looks for a fault in the JSON answer of `POST /translate` to `query`, no text of it blank."""
    if not isinstance(answer, dict):
        return "the answer must be a JSON object"
    translated = answer.get("translatedText")
    if isinstance(query, str):
        query, translated = [query], [translated]
    return _fault_of("translatedText", translated, query)


def _fault_of(name: str, translated: object, texts: Sequence[str]) -> str | None:
    if not isinstance(translated, list) or len(translated) != len(texts):
        return f"`{name}` must be a list with one entry for each text"
    if any(map(_is_blank, translated)):
        return f"a text of `{name}` must not be empty"
    if any(new.count("\n") != old.count("\n") for new, old in zip(translated, texts, strict=True)):
        return "a translation must have the line breaks of its text"
    return None


def _is_blank(text: object) -> bool:
    return not isinstance(text, str) or not text.strip()
