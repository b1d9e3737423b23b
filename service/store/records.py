"""What is stored, as plain data; imported without a database's library."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from model.text_options import GlossaryEntry
from service.settings import Quota

__all__ = [
    "ApiKey",
    "Count",
    "Dictionary",
    "DictionaryInfo",
    "Glossary",
    "Scope",
    "Suggestion",
]


class Scope(StrEnum):
    """What the bearer of an API key may do."""

    TRANSLATE = "translate"
    """Translate texts, detect languages, keep glossaries, suggest translations."""
    DOCUMENTS = "documents"
    """Translate documents."""
    ADMIN = "admin"
    """All of it; and change the models, as with the operator's token."""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """An API key, without its secret."""

    id: str
    """Public, unique; owns what is stored by requests with the key."""
    name: str
    """For people; unique among those that are not revoked."""
    secret_hash: bytes = field(repr=False)
    """SHA-256 of the secret."""
    scopes: frozenset[Scope]
    quota: Quota
    """Limits in place of those of the settings."""
    created_at: int
    """Seconds since 1970, as all times here."""
    expires_at: int | None = None
    revoked_at: int | None = None

    def is_valid(self, now: float) -> bool:
        """Whether it lets anybody in at a time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Count(NamedTuple):
    """What was used."""

    requests: int = 0
    characters: int = 0


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """The terms of a glossary for one language pair."""

    source: str
    target: str
    entries: tuple[GlossaryEntry, ...]
    """No term twice."""


class DictionaryInfo(NamedTuple):
    """A dictionary without its terms."""

    source: str
    target: str
    num_entries: int


@dataclass(frozen=True, kw_only=True)
class Glossary:
    """A stored glossary: dictionaries, one for each language pair."""

    id: str
    name: str
    created_at: int
    dictionaries: tuple[DictionaryInfo, ...]
    """By their pairs."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A better translation, as a user sees it."""

    source: str
    target: str
    text: str
    suggestion: str
    created_at: int
