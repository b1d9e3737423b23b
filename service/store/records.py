"""What is stored, as plain data; imported without a database's library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from model.text_options import GlossaryEntry
from service.settings import Quota

__all__ = [
    "ApiKey",
    "Count",
    "Dictionary",
    "DictionaryInfo",
    "DocumentState",
    "Glossary",
    "Scope",
    "StoredDocument",
    "Suggestion",
]


class Scope(StrEnum):
    """What the bearer of an API key may do."""

    TRANSLATE = "translate"
    """Translate texts, detect languages, keep glossaries, suggest translations."""
    DOCUMENTS = "documents"
    """Translate documents."""
    WATCH = "watch"
    """See how much the service has to do, and its batches."""
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
    """In the order in which they were given."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A better translation, as a user sees it."""

    source: str
    target: str
    text: str
    suggestion: str
    created_at: int


class DocumentState(StrEnum):
    """What has become of a document."""

    QUEUED = "queued"
    TRANSLATING = "translating"
    DONE = "done"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class StoredDocument:
    """A document that is to be translated, or was; without its content."""

    id: str
    owner: str
    """Id of a key; "@" and the hash of an address for who has none."""
    subject: str | None = None
    """Whose use its characters count as; None for nobody's."""
    counted_month: str | None = None
    """In which month, such as 2026-11. None where they do not count, or not any more."""
    created_at: int
    expires_at: int
    """When it is deleted, unless its state changes."""
    state: DocumentState = DocumentState.QUEUED
    name: str = field(repr=False)
    """Name of its file."""
    format: str
    source: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What else was asked for."""
    num_bytes: int
    num_characters: int
    done_units: int = 0
    total_units: int
    seconds_left: int | None = None
    secret_hash: bytes | None = field(default=None, repr=False)
    """SHA-256 of the secret that one must have to see it, besides its id; None for no such one."""
    source_blob: str | None = None
    """Its content; None when it is not needed any more."""
    result_blob: str | None = None
    """Its translation when it is done; before, what there is of it."""
    error: str | None = None
    """What people are told of its failure."""
    worker: str | None = None
    """Who translates it."""
    leased_until: float | None = None
    """Until when nobody else may."""
    attempts: int = 0
    """How often it was begun since it got any further."""
