"""The tables of the store. A change here takes a step in migrations/versions, and `SCHEMA`.

Times are seconds since 1970; leases, which are compared within a second, have fractions.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

__all__ = [
    "API_KEYS",
    "DOCUMENTS",
    "GLOSSARIES",
    "GLOSSARY_DICTIONARIES",
    "METADATA",
    "SCHEMA",
    "SUGGESTIONS",
    "USAGE",
    "USAGE_BATCHES",
]

SCHEMA = "0004"
"""The last step of the migrations."""

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("requests_per_minute", BigInteger),
    Column("characters_per_minute", BigInteger),
    Column("characters_per_month", BigInteger),
    Index(
        "uq_api_keys_name",
        "name",
        unique=True,
        sqlite_where=text("revoked_at IS NULL"),
        postgresql_where=text("revoked_at IS NULL"),
    ),
)

USAGE = Table(
    "usage",
    METADATA,
    # The id of a key, or the hash of an address.
    Column("subject", String(64), primary_key=True),
    # Such as 2026-11, in UTC.
    Column("month", String(7), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("characters", BigInteger, nullable=False),
)

USAGE_BATCHES = Table(
    "usage_batches",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("written_at", BigInteger, nullable=False, index=True),
)

GLOSSARIES = Table(
    "glossaries",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("owner", String(64), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Another one after each change.
    Column("version", BigInteger, nullable=False, server_default="0"),
)

GLOSSARY_DICTIONARIES = Table(
    "glossary_dictionaries",
    METADATA,
    Column("glossary_id", ForeignKey("glossaries.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String(35), primary_key=True),
    Column("target", String(35), primary_key=True),
    # Among those of the glossary, as they were given.
    Column("position", Integer, nullable=False, server_default="0"),
    Column("num_entries", Integer, nullable=False),
    # Of each term: the term, its translations, whether its case counts.
    Column("entries", JSON, nullable=False),
)

SUGGESTIONS = Table(
    "suggestions",
    METADATA,
    # Of a kind that SQLite counts up by itself.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("source", String(35), nullable=False),
    Column("target", String(35), nullable=False),
    Column("text", Text, nullable=False),
    Column("suggestion", Text, nullable=False),
)

DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("id", String(36), primary_key=True),
    # The id of a key, or the hash of an address.
    Column("owner", String(64), nullable=False, index=True),
    # Whose characters it counts as; null for nobody's.
    Column("subject", String(64)),
    # In which month, such as 2026-11; null where they do not count, or do not count any more.
    Column("counted_month", String(7)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    # queued, translating, done, error
    Column("state", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("format", String(32), nullable=False),
    Column("source", String(35)),
    Column("target", String(35), nullable=False),
    # What else the request asks for.
    Column("options", JSON, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("num_characters", BigInteger, nullable=False),
    Column("done_units", BigInteger, nullable=False),
    Column("total_units", BigInteger),
    Column("seconds_left", BigInteger),
    # SHA-256 of the secret with which a contract gives the result out.
    Column("secret_hash", LargeBinary(32)),
    Column("source_blob", String(64)),
    # The translated file; until there is one, what has been translated of it.
    Column("result_blob", String(64)),
    Column("error", Text),
    # Who works on it, and until when nobody else may.
    Column("worker", String(64)),
    Column("leased_until", Double),
    Column("attempts", Integer, nullable=False),
    Index("ix_documents_state_leased_until", "state", "leased_until"),
)
