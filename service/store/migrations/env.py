"""Runs the steps on the connection that `service.store.database` gives, in its transaction."""

from __future__ import annotations

from alembic import context

from service.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite can change few things of a table in place
)
with context.begin_transaction():
    context.run_migrations()
