"""The wire types of LibreTranslate's API, as pydantic models; `/openapi.json` shows them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator, model_validator

from service.gateway.api.contract import Reply

__all__ = [
    "LibreTranslateError",
    "LibreTranslateLanguage",
    "LibreTranslateReply",
    "LibreTranslateRequest",
]

_SHORT_NUMBER = re.compile(r"[0-9]{1,9}")
_TEXT = "The animal didn't cross the street because it was tired."
_TRANSLATION = "Das Tier überquerte die Straße nicht, weil es müde war."


class LibreTranslateRequest(BaseModel):
    """A request in LibreTranslate's form; fields it does not know are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"q": _TEXT, "source": "en", "target": "de"}]},
    )

    q: str | Annotated[list[str], Field(fail_fast=True)]
    """The text or the texts to translate."""
    source: str
    """Language code of the text."""
    target: str
    """Language code of the translation."""
    format: Literal["text", "html"] = "text"
    """Of HTML, the text is translated; all else is as it was."""
    alternatives: int = Field(default=0, ge=0)
    """How many further translations of each text to return."""
    api_key: SkipValidation[str] = ""
    """Not read: no key is needed."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, fields: Any) -> Any:
        """To LibreTranslate, null and "" are no values, and a list without texts is no `q`."""
        if not isinstance(fields, dict):
            return fields
        known = {name: fields[name] for name in cls.model_fields if name in fields}
        if known.get("q") == []:
            del known["q"]
        return {name: value for name, value in known.items() if value not in (None, "")}

    @field_validator("alternatives", mode="before")
    @classmethod
    def _read_digits(cls, value: Any) -> Any:
        """A form has strings only."""
        if isinstance(value, str) and _SHORT_NUMBER.fullmatch(value):
            return int(value)
        return value

    @property
    def is_list(self) -> bool:
        """Whether `q` came as a list."""
        return isinstance(self.q, list)

    def all_texts(self) -> tuple[str, ...]:
        """The texts, whichever form they came in."""
        return tuple(self.q) if isinstance(self.q, list) else (self.q,)


class LibreTranslateReply(Reply):
    """A translation, or a list of them where `q` was a list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"translatedText": _TRANSLATION}]})

    translatedText: str | list[str]  # noqa: N815 - the wire's name
    alternatives: list[str] | list[list[str]] = Field(default_factory=list)
    """Further translations; there when the request asks for any."""


class LibreTranslateError(Reply):
    """Any answer in LibreTranslate's form that is not a success."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "fr is not supported"}]})

    error: str


class LibreTranslateLanguage(Reply):
    """A language of the service."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"code": "en", "name": "English", "targets": ["de"]}]}
    )

    code: str
    name: str
    """In English."""
    targets: list[str]
    """Languages it can be translated into."""
