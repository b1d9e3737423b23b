"""Documents tell how long they will take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("documents", sa.Column("seconds_left", sa.BigInteger))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("documents", "seconds_left")
