"""The tables that the store began with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates them."""
    _create_keys_and_usage()
    _create_glossaries_and_suggestions()
    _create_documents()


def downgrade() -> None:
    """Drops them, and all that is in them."""
    for table in (
        "documents", "suggestions", "glossary_dictionaries", "glossaries", "usage_batches", "usage",
        "api_keys",
    ):  # fmt: skip
        op.drop_table(table)


def _create_keys_and_usage() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("requests_per_minute", sa.BigInteger),
        sa.Column("characters_per_minute", sa.BigInteger),
        sa.Column("characters_per_month", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    valid = sa.text("revoked_at IS NULL")
    op.create_index(
        "uq_api_keys_name", "api_keys", ["name"],
        unique=True, sqlite_where=valid, postgresql_where=valid,
    )  # fmt: skip
    op.create_table(
        "usage",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("characters", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", "month", name="pk_usage"),
    )
    op.create_table(
        "usage_batches",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_batches"),
    )
    op.create_index("ix_usage_batches_written_at", "usage_batches", ["written_at"])


def _create_glossaries_and_suggestions() -> None:
    op.create_table(
        "glossaries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_glossaries"),
    )
    op.create_index("ix_glossaries_owner", "glossaries", ["owner"])
    op.create_table(
        "glossary_dictionaries",
        sa.Column("glossary_id", sa.String(36), nullable=False),
        sa.Column("source", sa.String(35), nullable=False),
        sa.Column("target", sa.String(35), nullable=False),
        sa.Column("num_entries", sa.Integer, nullable=False),
        sa.Column("entries", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint(
            "glossary_id", "source", "target", name="pk_glossary_dictionaries"
        ),
        sa.ForeignKeyConstraint(
            ["glossary_id"], ["glossaries.id"],
            name="fk_glossary_dictionaries_glossary_id", ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_table(
        "suggestions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(35), nullable=False),
        sa.Column("target", sa.String(35), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("suggestion", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_suggestions"),
    )


def _create_documents() -> None:
    op.create_table(
        "documents",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("format", sa.String(32), nullable=False),
        sa.Column("source", sa.String(35)),
        sa.Column("target", sa.String(35), nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("num_bytes", sa.BigInteger, nullable=False),
        sa.Column("num_characters", sa.BigInteger, nullable=False),
        sa.Column("done_units", sa.BigInteger, nullable=False),
        sa.Column("total_units", sa.BigInteger),
        sa.Column("secret_hash", sa.LargeBinary(32)),
        sa.Column("source_blob", sa.String(64)),
        sa.Column("result_blob", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("worker", sa.String(64)),
        sa.Column("leased_until", sa.Double),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
    )
    for name in ("owner", "expires_at"):
        op.create_index(f"ix_documents_{name}", "documents", [name])
    op.create_index("ix_documents_state_leased_until", "documents", ["state", "leased_until"])
