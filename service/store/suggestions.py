"""Translations that users suggest in place of what they were given."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from sqlalchemy import delete, func, select

from service.store.database import Database
from service.store.records import Suggestion
from service.store.tables import SUGGESTIONS

__all__ = ["Suggestions"]


class Suggestions:
    """The table of suggestions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, source: str, target: str, text: str, suggestion: str, *, most: int) -> bool:
        """Stores one; False if there are `most` of them already."""
        new = {
            "created_at": int(time.time()), "source": source, "target": target, "text": text,
            "suggestion": suggestion,
        }  # fmt: skip
        async with self._database.writing() as connection:
            count = await connection.scalar(select(func.count()).select_from(SUGGESTIONS))
            if (count or 0) >= most:
                return False
            await connection.execute(SUGGESTIONS.insert(), new)
        return True

    async def all(self) -> AsyncIterator[Suggestion]:
        """All of them, the oldest first."""
        async with self._database.reading() as connection:
            for row in await connection.execute(select(SUGGESTIONS).order_by(SUGGESTIONS.c.id)):
                yield Suggestion(
                    source=row.source,
                    target=row.target,
                    text=row.text,
                    suggestion=row.suggestion,
                    created_at=row.created_at,
                )

    async def remove_all(self) -> int:
        """Deletes all of them; how many there were."""
        async with self._database.writing() as connection:
            return (await connection.execute(delete(SUGGESTIONS))).rowcount
