"""What was used, by whom, in which month; added up in batches that never count twice."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.store.database import Database
from service.store.records import Count
from service.store.tables import USAGE, USAGE_BATCHES

__all__ = ["Usage", "add_usage", "month_of"]

_BATCHES_KEPT_SECONDS = 7 * 86_400
"""Time after which no batch is tried again."""
_PRUNED_SECONDS = 60
"""After so many seconds, batches remove old ones that are added in the first."""
_MOST_NAMED = 500
"""Subjects in one statement."""


class Usage:
    """The table of what was used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: str, counts: Mapping[tuple[str, str], Count]) -> None:
        """Adds to what was used, in one transaction.

        Args:
            batch: a name that no other batch has. One that was added already changes nothing, so a
                batch of which it is not known whether it was added may be added again.
            counts: by subject (a key's id, or the hash of an address) and month.
        """
        now = int(time.time())
        async with self._database.writing() as connection:
            added = await connection.execute(
                self._database.insert(USAGE_BATCHES)
                .values(id=batch, written_at=now)
                .on_conflict_do_nothing()
            )
            if not added.rowcount:
                return
            await add_usage(self._database, connection, counts)
            if now % _PRUNED_SECONDS == 0:
                old = USAGE_BATCHES.c.written_at < now - _BATCHES_KEPT_SECONDS
                await connection.execute(delete(USAGE_BATCHES).where(old))

    async def of_month(self, month: str, subjects: Collection[str]) -> dict[str, Count]:
        """What was used in a month, by subject; those that used nothing are left out."""
        counts: dict[str, Count] = {}
        async with self._database.reading() as connection:
            names = sorted(subjects)
            for begin in range(0, len(names), _MOST_NAMED):
                some = names[begin : begin + _MOST_NAMED]
                rows = await connection.execute(
                    select(USAGE).where(USAGE.c.month == month, USAGE.c.subject.in_(some))
                )
                counts |= {row.subject: Count(row.requests, row.characters) for row in rows}
        return counts

    async def forget(self, prefix: str, *, before: str) -> None:
        """Deletes what was used in months before one, of subjects that begin so."""
        async with self._database.writing() as connection:
            mine = USAGE.c.subject.startswith(prefix, autoescape=True)
            await connection.execute(delete(USAGE).where(mine, USAGE.c.month < before))


async def add_usage(
    database: Database, connection: AsyncConnection, counts: Mapping[tuple[str, str], Count]
) -> None:
    """Adds to what was used, by subject and month, in a transaction that does more than that."""
    # In one order, or two writers could wait for each other.
    rows: list[dict[str, Any]] = [
        {"subject": subject, "month": month, **count._asdict()}
        for (subject, month), count in sorted(counts.items())
    ]
    if rows:
        insert = database.insert(USAGE)
        sums = {name: USAGE.c[name] + insert.excluded[name] for name in Count._fields}
        key = ["subject", "month"]
        await connection.execute(insert.on_conflict_do_update(index_elements=key, set_=sums), rows)


def month_of(seconds: float) -> str:
    """The month of a time, in UTC: 2026-11."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m}"
