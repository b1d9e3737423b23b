"""Dictionaries keep their order, glossaries tell changes, documents whose characters they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns."""
    op.add_column(
        "glossaries", sa.Column("version", sa.BigInteger, nullable=False, server_default="0")
    )
    op.add_column(
        "glossary_dictionaries",
        sa.Column("position", sa.Integer, nullable=False, server_default="0"),
    )
    op.add_column("documents", sa.Column("subject", sa.String(64)))


def downgrade() -> None:
    """Drops them."""
    op.drop_column("documents", "subject")
    op.drop_column("glossary_dictionaries", "position")
    op.drop_column("glossaries", "version")
