"""Stored glossaries. Each belongs to an owner, and nobody else sees it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from model.errors import InvalidRequestError
from model.text_options import GlossaryEntry
from service.store.database import Database
from service.store.records import Dictionary, DictionaryInfo, Glossary
from service.store.tables import GLOSSARIES, GLOSSARY_DICTIONARIES

__all__ = ["Glossaries"]


class Glossaries:
    """The tables of glossaries and their dictionaries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, owner: str, name: str, dictionaries: Sequence[Dictionary], *, most: int
    ) -> Glossary:
        """Stores a glossary.

        Args:
            owner: whose it is.
            name: for people; need not be unique.
            dictionaries: one for each language pair.
            most: glossaries that an owner may have.

        Raises:
            InvalidRequestError: the owner has so many already.
        """
        new = {
            "id": str(uuid.uuid4()), "owner": owner, "name": name, "created_at": int(time.time()),
        }  # fmt: skip
        async with self._database.writing() as connection:
            mine = select(func.count()).select_from(GLOSSARIES).where(GLOSSARIES.c.owner == owner)
            if (has := await connection.scalar(mine) or 0) >= most:
                raise InvalidRequestError(
                    f"there must be at most {most} glossaries, but there are {has}"
                )
            await connection.execute(GLOSSARIES.insert(), new)
            id = str(new["id"])
            rows = [_columns(id, each, position) for position, each in enumerate(dictionaries)]
            await connection.execute(GLOSSARY_DICTIONARIES.insert(), rows)
            [added] = await _found(connection, GLOSSARIES.c.id == new["id"])
        return added

    async def all(self, owner: str) -> list[Glossary]:
        """Those of an owner, the oldest first."""
        async with self._database.reading() as connection:
            return await _found(connection, GLOSSARIES.c.owner == owner)

    async def find(self, owner: str, id: str) -> Glossary | None:
        """One of an owner's; None if there is no such one."""
        async with self._database.reading() as connection:
            found = await _found(connection, _is(owner, id))
            return found[0] if found else None

    async def version(self, owner: str, id: str) -> int | None:
        """A number that each change of a glossary changes; None if there is no such one."""
        async with self._database.reading() as connection:
            version = select(GLOSSARIES.c.version).where(_is(owner, id))
            return cast("int | None", await connection.scalar(version))

    async def dictionaries(self, owner: str, id: str) -> tuple[Dictionary, ...]:
        """The dictionaries of one, with their terms; none if there is no such glossary."""
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(GLOSSARY_DICTIONARIES)
                .join(GLOSSARIES)
                .where(_is(owner, id))
                .order_by(*_ORDER)
            )
            return tuple(_dictionary(row) for row in rows)

    async def change(
        self,
        owner: str,
        id: str,
        *,
        name: str | None = None,
        dictionaries: Iterable[Dictionary] = (),
        merge: bool = False,
        most_entries: int,
    ) -> Glossary | None:
        """Gives a glossary another name, or other dictionaries for some language pairs.

        Args:
            owner, id: of the glossary.
            name: the new one; None leaves it as it is.
            dictionaries: take the place of those of the same pair, or are added.
            merge: whether terms of those stay that the new ones do not have.
            most_entries: terms that a dictionary may have.

        Returns:
            The glossary; None if there is no such one.

        Raises:
            InvalidRequestError: a dictionary has more terms than it may.
        """
        async with self._database.writing() as connection:
            if not await _found(connection, _is(owner, id)):
                return None
            changes = {} if name is None else {"name": name}
            await _changed(connection, id, **changes)
            for each in dictionaries:
                await self._put(connection, id, each, merge=merge, most_entries=most_entries)
            [changed] = await _found(connection, GLOSSARIES.c.id == id)
        return changed

    async def _put(
        self,
        connection: AsyncConnection,
        id: str,
        dictionary: Dictionary,
        *,
        merge: bool,
        most_entries: int,
    ) -> None:
        columns = GLOSSARY_DICTIONARIES.c
        same = _is_pair(id, dictionary.source, dictionary.target)
        position = await connection.scalar(select(columns.position).where(same))
        if position is None:
            last = select(func.max(columns.position)).where(columns.glossary_id == id)
            position = (await connection.scalar(last) or 0) + 1
        if merge:
            rows = await connection.execute(select(GLOSSARY_DICTIONARIES).where(same))
            before = {e.source: e for row in rows for e in _dictionary(row).entries}
            merged = before | {entry.source: entry for entry in dictionary.entries}
            dictionary = Dictionary(
                source=dictionary.source,
                target=dictionary.target,
                entries=tuple(merged.values()),
            )
        if len(dictionary.entries) > most_entries:
            raise InvalidRequestError(
                f"a dictionary must have at most {most_entries} entries, but would have "
                f"{len(dictionary.entries)}"
            )
        await connection.execute(delete(GLOSSARY_DICTIONARIES).where(same))
        row = _columns(id, dictionary, position)
        await connection.execute(GLOSSARY_DICTIONARIES.insert(), row)

    async def remove_dictionary(self, owner: str, id: str, source: str, target: str) -> bool:
        """Deletes the dictionary of a pair; whether there was one."""
        async with self._database.writing() as connection:
            if not await _found(connection, _is(owner, id)):
                return False
            await _changed(connection, id)
            deleted = await connection.execute(
                delete(GLOSSARY_DICTIONARIES).where(_is_pair(id, source, target))
            )
            return bool(deleted.rowcount)

    async def remove(self, owner: str, id: str) -> bool:
        """Deletes a glossary; whether there was one."""
        async with self._database.writing() as connection:
            deleted = await connection.execute(delete(GLOSSARIES).where(_is(owner, id)))
            return bool(deleted.rowcount)


_ORDER = (
    GLOSSARY_DICTIONARIES.c.position, GLOSSARY_DICTIONARIES.c.source,
    GLOSSARY_DICTIONARIES.c.target,
)  # fmt: skip


async def _changed(connection: AsyncConnection, id: str, **values: Any) -> None:
    """Another version, and perhaps other values."""
    columns = {"version": GLOSSARIES.c.version + 1, **values}
    await connection.execute(update(GLOSSARIES).where(GLOSSARIES.c.id == id).values(columns))


def _is(owner: str, id: str) -> Any:
    return (GLOSSARIES.c.id == id) & (GLOSSARIES.c.owner == owner)


def _is_pair(id: str, source: str, target: str) -> Any:
    columns = GLOSSARY_DICTIONARIES.c
    return (columns.glossary_id == id) & (columns.source == source) & (columns.target == target)


async def _found(connection: AsyncConnection, condition: Any) -> list[Glossary]:
    """The glossaries that meet a condition, without their terms, the oldest first."""
    columns = GLOSSARY_DICTIONARIES.c
    rows = await connection.execute(
        select(GLOSSARIES, columns.source, columns.target, columns.num_entries)
        .outerjoin(GLOSSARY_DICTIONARIES)
        .where(condition)
        .order_by(GLOSSARIES.c.created_at, GLOSSARIES.c.id, *_ORDER)
    )
    by_id: dict[str, list[Any]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
    return [
        Glossary(
            id=of[0].id,
            name=of[0].name,
            created_at=of[0].created_at,
            dictionaries=tuple(
                DictionaryInfo(row.source, row.target, row.num_entries)
                for row in of
                if row.source is not None
            ),
        )
        for of in by_id.values()
    ]


def _columns(id: str, dictionary: Dictionary, position: int) -> dict[str, Any]:
    return {
        "glossary_id": id,
        "source": dictionary.source,
        "target": dictionary.target,
        "position": position,
        "num_entries": len(dictionary.entries),
        "entries": [[*entry] for entry in dictionary.entries],
    }


def _dictionary(row: Any) -> Dictionary:
    entries = (
        GlossaryEntry(term, tuple(targets), case_sensitive)
        for term, targets, case_sensitive in row.entries
    )
    return Dictionary(source=row.source, target=row.target, entries=tuple(entries))
