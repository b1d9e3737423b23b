"""Documents say in which month their characters count, so that they can be taken back from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MONTHS = {
    "sqlite": "strftime('%Y-%m', created_at, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(created_at) AT TIME ZONE 'UTC', 'YYYY-MM')",
}


def upgrade() -> None:
    """Adds the column; so far, that was the month in which a document came."""
    op.add_column("documents", sa.Column("counted_month", sa.String(7)))
    month = _MONTHS[op.get_bind().dialect.name]
    op.execute(
        f"UPDATE documents SET counted_month = {month} "
        "WHERE subject IS NOT NULL AND state IN ('queued', 'translating')"
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_column("documents", "counted_month")
