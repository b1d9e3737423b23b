"""The wire types of DeepL's API (v2), as pydantic models; `/openapi.json` shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from model.text_options import XmlStructure
from service.gateway.api.contract import Reply
from service.gateway.api.empty_values import EmptyValues

__all__ = [
    "DeepLError",
    "DeepLLanguage",
    "DeepLReply",
    "DeepLTranslateRequest",
    "DeepLTranslation",
    "DeepLUsage",
]

_TEXT = "The animal didn't cross the street because it was tired."
_TRANSLATION = "Das Tier überquerte die Straße nicht, weil es müde war."
_Texts = Annotated[list[str], Field(min_length=1, fail_fast=True)]
_SplitSentences = Annotated[
    Literal["0", "1", "nonewlines"],
    WithJsonSchema({"enum": ["0", "1", "nonewlines", 0, 1, False, True]}),
]
_Switch = Annotated[Literal["0", "1"], WithJsonSchema({"enum": ["0", "1", 0, 1, False, True]})]
_SWITCHES = ("split_sentences", "outline_detection")
_MAX_CODE_LEN = 35
_MAX_GLOSSARIES = 5
_MAX_TAGS = 100
_Names = Annotated[list[Annotated[str, Field(max_length=100)]], Field(fail_fast=True)]
_ManyNames = Annotated[_Names, Field(max_length=_MAX_TAGS)] | Annotated[str, Field(max_length=9999)]


class DeepLTranslateRequest(EmptyValues):
    """A request to translate; fields that it does not know are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"text": [_TEXT], "target_lang": "DE"}]},
    )

    text: _Texts | str
    """The texts to translate; in a form the field may be repeated."""
    target_lang: str = Field(max_length=_MAX_CODE_LEN)
    """Language code of the translations, such as "DE", "EN-US" or "PT-BR"."""
    source_lang: str | None = Field(default=None, max_length=_MAX_CODE_LEN)
    """Language code of the texts; without it, the language of each is detected."""
    formality: Literal["default", "more", "less", "prefer_more", "prefer_less"] = "default"
    """Read, and without effect: the models have one way of address."""
    split_sentences: _SplitSentences = "1"
    """Read, and without effect: texts are split into sentences, and line ends are kept."""
    model_type: (
        Literal["latency_optimized", "quality_optimized", "prefer_quality_optimized"] | None
    ) = None
    """Read, and told in the answer: there is one kind of model."""
    tag_handling: Literal["html", "xml"] | None = None
    """What the texts are written in."""
    ignore_tags: _ManyNames = ""
    """Names of elements that are not translated, with `tag_handling`; a list, or with commas
    between."""
    splitting_tags: _ManyNames = ""
    """Names of elements of XML that part its text, as paragraphs do, even within a sentence."""
    non_splitting_tags: _ManyNames = ""
    """Names of those that do not, so that a sentence may go on in the next one."""
    outline_detection: _Switch = "1"
    """Whether the elements of XML that part its text are found by themselves: those in elements
    without text of their own. Else `splitting_tags` alone do."""
    glossary_id: str | None = None
    """Id of a stored glossary; `source_lang` must be given then."""
    glossary_ids: _ManyNames = ""
    """In its place, up to 5 of them, as a list or with commas between: of a term that several have,
    the first one's translation is taken."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, fields: Any) -> Any:
        """Null and "" are no values, but for a text."""
        if not isinstance(fields, dict):
            return fields
        known = {name: fields[name] for name in cls.model_fields if name in fields}
        for name in _SWITCHES:
            if isinstance(known.get(name), (bool, int)):
                known[name] = str(int(known[name]))
        return {
            name: value
            for name, value in known.items()
            if value is not None and (value != "" or name == "text")
        }

    @model_validator(mode="after")
    def _check_glossaries(self) -> Self:
        if len(self.all_glossaries()) > _MAX_GLOSSARIES or (self.glossary_id and self.glossary_ids):
            raise ValueError("glossary_ids")
        return self

    def all_glossaries(self) -> tuple[str, ...]:
        """The ids of its glossaries, the first one first."""
        return (self.glossary_id,) if self.glossary_id else _names(self.glossary_ids)

    def all_ignored_tags(self) -> tuple[str, ...]:
        """Names of elements that are not translated."""
        return _names(self.ignore_tags)

    def structure(self) -> XmlStructure:
        """What parts the texts of XML."""
        return XmlStructure(
            frozenset(_names(self.splitting_tags)),
            frozenset(_names(self.non_splitting_tags)),
            self.outline_detection == "1",
        )

    def all_texts(self) -> tuple[str, ...]:
        """The texts, whichever form they came in."""
        return (self.text,) if isinstance(self.text, str) else tuple(self.text)


def _names(given: list[str] | str) -> tuple[str, ...]:
    """Names from a list of names with commas between, or from one."""
    listed = ",".join([given] if isinstance(given, str) else given)
    return tuple(name.strip() for name in listed.split(",") if name.strip())


class DeepLTranslation(Reply):
    """The translation of one text."""

    detected_source_language: str
    """As the request says it, or as it was detected."""
    text: str
    billed_characters: int
    """The characters of the source text."""
    model_type_used: str | None = None
    """There when the request has a `model_type`."""


class DeepLReply(Reply):
    """The translations, in the order of the texts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "translations": [
                        {
                            "detected_source_language": "EN",
                            "text": _TRANSLATION,
                            "billed_characters": len(_TEXT),
                        }
                    ]
                }
            ]
        }
    )

    translations: list[DeepLTranslation]


class DeepLLanguage(Reply):
    """A language of the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"language": "DE", "name": "German", "supports_formality": False}]
        }
    )

    language: str
    """Its code, in capitals."""
    name: str
    """In English."""
    supports_formality: bool | None = None
    """There for targets."""


class DeepLUsage(Reply):
    """How many characters were translated, and may be."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"character_count": 0, "character_limit": 10**12}]}
    )

    character_count: int
    """Used in this month with the API key; 0 where there are none."""
    character_limit: int
    """Those of the API key in a month; 10^12 where there is no limit."""


class DeepLError(Reply):
    """Any answer in DeepL's form that is not a success."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "Value for 'target_lang' not supported."}]}
    )

    message: str
