"""The wire types of stored glossaries in the native API; `/openapi.json` shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field

from model.text_options import GlossaryEntry
from service.gateway.api.contract import Reply
from service.gateway.api.native_schemas import (
    GlossaryTranslation,
    NativeRequest,
    Term,
    check_entries,
    glossary_entries,
)
from service.store.records import Dictionary, DictionaryInfo, Glossary

__all__ = [
    "DictionaryInfoBody",
    "DictionaryReply",
    "GlossaryDetails",
    "GlossaryList",
    "GlossaryReply",
    "NewDictionary",
    "NewGlossary",
]

_Code = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$", max_length=35)]
_MAX_DICTIONARIES = 100
_MAX_NAME_LEN = 1000
_ID = "4fdfb4f6-0a55-4f6c-9d43-6f0f1a2c8d11"
_INFO = {"id": _ID, "name": "Invoices", "created_at": "2026-11-29T12:00:00Z"}


class NewDictionary(NativeRequest):
    """The terms of a language pair."""

    source: _Code
    """Language code of the terms."""
    target: _Code
    """Language code of their translations."""
    entries: Annotated[dict[Term, GlossaryTranslation], BeforeValidator(check_entries)] = Field(
        min_length=1
    )
    """As `glossary` of a request to translate."""

    def to_dictionary(self) -> Dictionary:
        """As it is stored."""
        return Dictionary(
            source=self.source, target=self.target, entries=glossary_entries(self.entries)
        )


class NewGlossary(NativeRequest):
    """A glossary to be stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Invoices",
                    "dictionaries": [
                        {
                            "source": "en",
                            "target": "de",
                            "entries": {"invoice": ["Faktura", "Fakturen"]},
                        }
                    ],
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=_MAX_NAME_LEN)
    """For people."""
    dictionaries: list[NewDictionary] = Field(min_length=1, max_length=_MAX_DICTIONARIES)
    """One for each language pair."""


class DictionaryInfoBody(Reply):
    """A dictionary of a stored glossary."""

    source: str
    target: str
    num_entries: int


class GlossaryReply(Reply):
    """A stored glossary."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _INFO | {"dictionaries": [{"source": "en", "target": "de", "num_entries": 1}]}
            ]
        }
    )

    id: str
    """For `glossary_id` of a request to translate."""
    name: str
    created_at: str
    """ISO 8601, in UTC."""
    dictionaries: list[DictionaryInfoBody]

    @classmethod
    def of(cls, glossary: Glossary) -> Self:
        """What is told of a stored one."""
        return cls(
            id=glossary.id,
            name=glossary.name,
            created_at=f"{datetime.fromtimestamp(glossary.created_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
            dictionaries=[_info(each) for each in glossary.dictionaries],
        )


class TermReply(Reply):
    """How a term is translated whose case counts."""

    forms: list[str]
    case_sensitive: bool = True


class DictionaryReply(Reply):
    """A dictionary with its terms."""

    source: str
    target: str
    entries: dict[str, str | list[str] | TermReply]
    """As they were given."""

    @classmethod
    def of(cls, dictionary: Dictionary) -> Self:
        """What is told of a stored one."""
        return cls(
            source=dictionary.source,
            target=dictionary.target,
            entries={entry.source: _translation(entry) for entry in dictionary.entries},
        )


class GlossaryDetails(GlossaryReply):
    """A stored glossary with its terms."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _INFO
                | {
                    "dictionaries": [{"source": "en", "target": "de", "num_entries": 1}],
                    "contents": [
                        {
                            "source": "en",
                            "target": "de",
                            "entries": {"invoice": ["Faktura", "Fakturen"]},
                        }
                    ],
                }
            ]
        }
    )

    contents: list[DictionaryReply]
    """The terms of the dictionaries."""


class GlossaryList(Reply):
    """The stored glossaries of a client."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"glossaries": []}]})

    glossaries: list[GlossaryReply]


def _info(info: DictionaryInfo) -> DictionaryInfoBody:
    return DictionaryInfoBody(**info._asdict())


def _translation(entry: GlossaryEntry) -> str | list[str] | TermReply:
    if entry.case_sensitive:
        return TermReply(forms=list(entry.targets))
    return entry.targets[0] if len(entry.targets) == 1 else list(entry.targets)
