"""Documents that are translated in the background: who works on which, and how far it is.

A worker has a document for a time, its lease, and makes that longer as long as it lives. All that
it writes is written only if the document is still its own: one whose lease has passed, and that
another one has taken over, changes nothing any more.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import case, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.errors import OverloadedError, RateLimitedError
from service.settings import Documents
from service.store.database import Database
from service.store.records import Count, DocumentState, StoredDocument
from service.store.tables import DOCUMENTS, USAGE
from service.store.usage import add_usage, month_of

__all__ = ["StoredDocuments"]

_C = DOCUMENTS.c
_OPEN = _C.state.in_([DocumentState.QUEUED, DocumentState.TRANSLATING])
_FREE: dict[str, Any] = {"worker": None, "leased_until": None}
_RETRY_SECONDS = 30.0
_MOST_LEASES = 2
"""From now to the end of a lease that a clock has given which is ahead by less than a lease."""
_MOST_AFTER_SECONDS = 60.0
"""The same of a document that was given back for later."""


class StoredDocuments:
    """The table of documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, owner: str, limits: Documents) -> None:
        """Looks whether an owner may store one more.

        Raises:
            RateLimitedError: the owner has as many as one may have.
            OverloadedError: all together have.
        """
        async with self._database.reading() as connection:
            await _check(connection, owner, limits)

    async def add(self, document: StoredDocument, limits: Documents) -> None:
        """Stores one, and at once with that counts its characters; raises as `check` does."""
        async with self._database.writing() as connection:
            await _check(connection, document.owner, limits)
            if (subject := document.subject) is not None:
                month = month_of(time.time())
                used = {(subject, month): Count(1, document.num_characters)}
                await add_usage(self._database, connection, used)
                document = replace(document, counted_month=month)
            await connection.execute(DOCUMENTS.insert(), asdict(document))

    async def find(self, id: str) -> StoredDocument | None:
        """One that has not expired; None if there is no such one."""
        async with self._database.reading() as connection:
            there = (_C.id == id) & (_C.expires_at > time.time())
            row = (await connection.execute(select(DOCUMENTS).where(there))).first()
        return None if row is None else _document(row)

    async def remove(self, id: str) -> StoredDocument | None:
        """Deletes one, so that nobody translates it any more; what it was, or None."""
        async with self._database.writing() as connection:
            row = (await connection.execute(select(DOCUMENTS).where(_C.id == id))).first()
            await connection.execute(delete(DOCUMENTS).where(_C.id == id))
        return None if row is None else _document(row)

    async def claim(self, worker: str, *, seconds: float) -> StoredDocument | None:
        """Gives a worker the oldest document that waits, or whose worker has died.

        Args:
            worker: a name that no other claim has.
            seconds: how long nobody else gets it.

        Returns:
            The document; None if there is none.
        """
        now = time.time()
        # Where the clock was set back, a lease of before may seem to have hours left.
        too_long = _C.leased_until > now + _MOST_LEASES * seconds + _MOST_AFTER_SECONDS
        is_free = or_(_C.leased_until.is_(None), _C.leased_until < now, too_long)
        oldest = (
            select(DOCUMENTS).where(_OPEN, is_free, _C.expires_at > now)
            .order_by(_C.created_at, _C.id).limit(1)
        )  # fmt: skip
        async with self._database.reading() as connection:
            if (await connection.execute(oldest)).first() is None:
                return None
        async with self._database.writing() as connection:
            # PostgreSQL has several who write: each takes another one.
            row = (await connection.execute(oldest.with_for_update(skip_locked=True))).first()
            if row is None:
                return None
            taken = {
                "state": DocumentState.TRANSLATING, "worker": worker, "leased_until": now + seconds,
                "attempts": row.attempts + 1, "seconds_left": None,
            }  # fmt: skip
            await connection.execute(update(DOCUMENTS).where(_C.id == row.id).values(taken))
        return _document(row, **taken)

    async def renew(
        self, id: str, worker: str, *, seconds: float, done_units: int, seconds_left: int | None
    ) -> bool:
        """Makes a lease longer, and tells how far the work is; whether it is still the worker's."""
        return await self._change(
            id, worker, leased_until=time.time() + seconds, done_units=done_units,
            seconds_left=seconds_left,
        )  # fmt: skip

    async def save(self, id: str, worker: str, blob: str, *, done_units: int) -> bool:
        """Keeps what has been translated; whether the document is still the worker's."""
        return await self._change(id, worker, result_blob=blob, done_units=done_units, attempts=0)

    async def release(self, id: str, worker: str, *, after: float = 0.0, started: bool) -> bool:
        """Gives a document back, for others to go on; whether it was still the worker's.

        Args:
            id, worker: as for `renew`.
            after: seconds in which nobody takes it.
            started: whether this counts as an attempt.
        """
        until = time.time() + after if after else None
        changes: dict[str, Any] = {"worker": None, "leased_until": until, "seconds_left": None}
        if not started:
            changes["attempts"] = case((_C.attempts > 0, _C.attempts - 1), else_=0)
        return await self._change(id, worker, state=DocumentState.QUEUED, **changes)

    async def finish(self, id: str, worker: str, blob: str, *, keep_seconds: float) -> bool:
        """A document has been translated; whether it was still the worker's."""
        return await self._change(
            id, worker, state=DocumentState.DONE, result_blob=blob, source_blob=None,
            done_units=_C.total_units, seconds_left=None, **_kept(keep_seconds),
        )  # fmt: skip

    async def fail(self, id: str, worker: str, error: str, *, keep_seconds: float) -> bool:
        """A document cannot be translated; whether it was still the worker's.

        At once with that, its owner gets back what was counted for it, in the month for which it
        was, and the document says that nothing is counted any more.
        """
        failed = {
            "state": DocumentState.ERROR, "error": error, "source_blob": None, "result_blob": None,
            "seconds_left": None, "counted_month": None, **_kept(keep_seconds),
        }  # fmt: skip
        mine = _C.id == id, _C.worker == worker
        async with self._database.writing() as connection:
            chosen = select(DOCUMENTS).where(*mine).with_for_update()
            row = (await connection.execute(chosen)).first()
            if row is None:
                return False
            await connection.execute(update(DOCUMENTS).where(*mine).values(failed))
            if row.counted_month is not None:
                counted = USAGE.c.subject == row.subject, USAGE.c.month == row.counted_month
                less = {
                    "requests": USAGE.c.requests - 1,
                    "characters": USAGE.c.characters - row.num_characters,
                }
                await connection.execute(update(USAGE).where(*counted).values(less))
        return True

    async def listed(
        self, owner: str, *, most: int, after: tuple[int, str] | None = None
    ) -> list[StoredDocument]:
        """An owner's documents that need no secret to be seen, the newest first.

        Args:
            owner: whose they are.
            most: as many of them at most.
            after: `created_at` and `id` of the last one that is known already.
        """
        chosen = select(DOCUMENTS).where(
            _C.owner == owner, _C.secret_hash.is_(None), _C.expires_at > time.time()
        )
        if after is not None:
            chosen = chosen.where(tuple_(_C.created_at, _C.id) < tuple_(*after))
        newest = chosen.order_by(_C.created_at.desc(), _C.id.desc()).limit(most)
        async with self._database.reading() as connection:
            return [_document(row) for row in await connection.execute(newest)]

    async def remove_expired(self, *, most: int) -> list[StoredDocument]:
        """Deletes the first that have expired, and on which nobody works; what they were."""
        now = time.time()
        old = _C.expires_at <= now, or_(_C.leased_until.is_(None), _C.leased_until < now)
        async with self._database.writing() as connection:
            chosen = select(DOCUMENTS).where(*old).order_by(_C.expires_at).limit(most)
            rows = (await connection.execute(chosen.with_for_update(skip_locked=True))).all()
            ids = [row.id for row in rows]
            await connection.execute(delete(DOCUMENTS).where(_C.id.in_(ids)))
        return [_document(row) for row in rows]

    async def unused(self, blobs: Collection[str]) -> set[str]:
        """Those of some blobs that belong to no document."""
        names = sorted(blobs)
        async with self._database.reading() as connection:
            chosen = select(_C.source_blob, _C.result_blob).where(
                or_(_C.source_blob.in_(names), _C.result_blob.in_(names))
            )
            used = {name for row in await connection.execute(chosen) for name in row}
        return set(names) - used

    async def _change(self, id: str, worker: str, /, **values: Any) -> bool:
        async with self._database.writing() as connection:
            mine = update(DOCUMENTS).where(_C.id == id, _C.worker == worker)
            return (await connection.execute(mine.values(values))).rowcount == 1


def _kept(seconds: float) -> dict[str, Any]:
    return _FREE | {"expires_at": int(time.time() + seconds) + 1}


async def _check(connection: AsyncConnection, owner: str, limits: Documents) -> None:
    counts = select(
        func.count(),
        func.count().filter(_OPEN),
        func.count().filter(_C.owner == owner),
        func.count().filter(_C.owner == owner, _OPEN),
    ).where(_C.expires_at > time.time())
    kept, waiting, own, own_waiting = (await connection.execute(counts)).one()
    for has, most, what in (
        (own_waiting, limits.max_waiting_per_client, "wait"),
        (own, limits.max_kept_per_client, "are stored"),
    ):
        if has >= most:
            raise RateLimitedError(
                f"{has} documents of this client {what}, as many as may; delete some, or try again "
                "later",
                seconds=_RETRY_SECONDS,
            )
    if waiting >= limits.max_waiting or kept >= limits.max_kept:
        raise OverloadedError("as many documents are stored, or wait, as may; try again later")


def _document(row: Any, **changes: Any) -> StoredDocument:
    fields = {**row._mapping, **changes}
    return StoredDocument(**fields | {"state": DocumentState(fields["state"])})
