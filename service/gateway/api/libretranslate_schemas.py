"""The wire types of LibreTranslate's API, as pydantic models; `/openapi.json` shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from service.documents.formats import EXTENSIONS
from service.gateway.api.contract import Reply
from service.gateway.api.empty_values import EmptyValues
from service.gateway.api.language_names import language_name
from service.settings import Settings

__all__ = [
    "LibreTranslateDetectRequest",
    "LibreTranslateDetection",
    "LibreTranslateError",
    "LibreTranslateLanguage",
    "LibreTranslateReply",
    "LibreTranslateRequest",
    "LibreTranslateSettings",
    "LibreTranslateSuccess",
    "LibreTranslateSuggestRequest",
]

_CODE = r"^[A-Za-z0-9_-]{1,35}$"
_SHORT_NUMBER = re.compile(r"[0-9]{1,9}")
_Number = Annotated[
    int,
    Field(ge=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^[0-9]{1,9}$"},
            ]
        }
    ),
]
_TEXT = "The animal didn't cross the street because it was tired."
_TRANSLATION = "Das Tier überquerte die Straße nicht, weil es müde war."


class _Request(EmptyValues):
    """Fields in LibreTranslate's form; those it does not know are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, use_attribute_docstrings=True)

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


class LibreTranslateRequest(_Request):
    """A request to translate, in LibreTranslate's form."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"q": _TEXT, "source": "en", "target": "de"}]},
    )

    q: str | Annotated[list[str], Field(fail_fast=True)]
    """The text or the texts to translate."""
    source: str
    """Language code of the text, or "auto": it is detected for each text."""
    target: str
    """Language code of the translation."""
    format: Literal["text", "html"] = "text"
    """In HTML, the text is translated; all else is as it was."""
    alternatives: _Number = 0
    """How many further translations of each text to return."""
    api_key: Any = ""
    """The API key, a string, where there must be one and no header has it."""

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


class LibreTranslateDetectRequest(_Request):
    """A request to detect a language, in LibreTranslate's form."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"q": _TRANSLATION}]})

    q: str
    """The text."""
    api_key: Any = ""
    """The API key, a string, where there must be one and no header has it."""


class LibreTranslateSuggestRequest(_Request):
    """A better translation, in LibreTranslate's form."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"q": _TEXT, "s": _TRANSLATION, "source": "en", "target": "de"}]
        },
    )

    q: str
    """The text."""
    s: str
    """Its translation, as it should be."""
    source: str = Field(pattern=_CODE)
    """Language code of the text."""
    target: str = Field(pattern=_CODE)
    """Language code of the translation."""
    api_key: Any = ""
    """The API key, a string, where there must be one and no header has it."""


class LibreTranslateSuccess(Reply):
    """What was sent is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"success": True}]})

    success: bool = True


class LibreTranslateDetection(Reply):
    """A language that a text may be in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"confidence": 99.7, "language": "de"}]}
    )

    confidence: float
    """From 0 to 100."""
    language: str
    """Its code."""


class LibreTranslateReply(Reply):
    """A translation, or a list of them where `q` was a list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"translatedText": _TRANSLATION}]})

    translatedText: str | list[str]  # noqa: N815 - the wire's name
    alternatives: list[str] | list[list[str]] = Field(default_factory=list)
    """Further translations; there when the request asks for any."""
    detectedLanguage: LibreTranslateDetection | list[LibreTranslateDetection] | None = None  # noqa: N815
    """There when `source` is "auto"; a list, for each text, where `q` is one."""


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


class _NamedLanguage(Reply):
    """A language, as a page offers it."""

    code: str
    name: str


class _Direction(Reply):
    """The languages that a page begins with."""

    source: _NamedLanguage
    target: _NamedLanguage


_SETTINGS: dict[str, Any] = {
    "apiKeys": False, "charLimit": 20000, "filesTranslation": False, "frontendTimeout": 500,
    "keyRequired": False, "suggestions": False, "supportedFilesFormat": [],
    "language": {
        "source": {"code": "auto", "name": "Auto Detect"},
        "target": {"code": "de", "name": "German"},
    },
}  # fmt: skip


class LibreTranslateSettings(Reply):
    """What a page of LibreTranslate's must know of its server."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SETTINGS]})

    apiKeys: bool  # noqa: N815
    """Whether there are keys."""
    charLimit: int  # noqa: N815
    """Most characters of a text."""
    filesTranslation: bool  # noqa: N815
    frontendTimeout: int = 500  # noqa: N815
    """Milliseconds that a page waits for more to be typed."""
    keyRequired: bool  # noqa: N815
    language: _Direction
    suggestions: bool
    """Whether they are stored."""
    supportedFilesFormat: list[str]  # noqa: N815

    @classmethod
    def of(cls, settings: Settings, languages: Mapping[str, Sequence[str]]) -> Self:
        """For a server with these settings and languages, each with what it is translated into."""
        limits, keys = settings.limits, settings.access.keys
        targets = sorted({code for into in languages.values() for code in into} - {"en"})
        target = targets[0] if targets else "en"
        return cls(
            apiKeys=keys != "off",
            charLimit=min(limits.max_text_chars, limits.max_total_chars),
            keyRequired=keys == "required",
            suggestions=settings.suggestions,
            filesTranslation=settings.documents.enabled,
            supportedFilesFormat=list(EXTENSIONS) if settings.documents.enabled else [],
            language=_Direction(
                source=_NamedLanguage(code="auto", name="Auto Detect"),
                target=_NamedLanguage(code=target, name=language_name(target)),
            ),
        )
