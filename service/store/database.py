"""The database of the store: SQLite in a file, or PostgreSQL; its transactions and its migrations.

SQLite is opened by all processes of a node at once. Readers and the one writer do not wait for each
other (WAL), writers wait for their turn, and what is committed is on the disk (synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Table, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from model.errors import PolyheadError
from service.errors import StoreFullError, StoreUnavailableError
from service.store.availability import Availability
from service.store.tables import SCHEMA

__all__ = ["Database", "StoreError"]

_WAIT_SECONDS = 10.0
"""Time that a writer waits for another one, and a connection for an answer."""
_CONNECTIONS = 4
_PAUSE_SECONDS = 1.0
"""Time for which a database that could not be opened is not tried again."""
_FILE_LOOK_SECONDS = 0.05
_WRITES = "polyhead_writes"
_LOCK = 0x706F6C79
"""A lock of PostgreSQL for who migrates."""
_FULL = ("disk is full", "no space left", "could not extend file")


class StoreError(PolyheadError):
    """The settings of the store, or what is stored, cannot be used as they are."""


class Database:
    """Where the tables are. Belongs to the event loop that uses it first.

    Args:
        url: postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH (of four slashes, an absolute
            one).

    Raises:
        StoreError: it is no such URL.
    """

    def __init__(self, url: str) -> None:
        self._url = _driver_url(url)
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._failed_at = -_PAUSE_SECONDS
        self._availability = Availability(f"the store {self._url.database}")

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL, and not SQLite."""
        return self._url.get_backend_name() == "postgresql"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that reads. What is wrong with the database is a StoreUnavailableError."""
        async with self._transaction(writes=False) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write; with SQLite, there is one at a time.

        When the block is left without an exception, all of it is durable, else nothing was done.

        Raises:
            StoreFullError: there is no room on the disk.
            StoreUnavailableError: of all else that is wrong with the database. If that comes from
                the end of the block, its work may have been done.
        """
        async with self._transaction(writes=True) as connection:
            yield connection

    def insert(self, table: Table) -> Any:
        """An INSERT that may have `on_conflict_do_nothing` and `on_conflict_do_update`."""
        return postgresql.insert(table) if self.is_postgresql else sqlite.insert(table)

    async def open(self) -> None:
        """Connects, and migrates the tables if they are of an older version.

        Raises:
            StoreError: they are of a newer one.
            StoreUnavailableError: it cannot be done now.
        """
        await self._opened("reads")

    async def close(self) -> None:
        """Ends all connections. It may be opened again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def _transaction(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        use = "writes" if writes else "reads"
        engine = await self._opened(use)
        try:
            async with engine.connect() as plain:
                connection = await plain.execution_options(**{_WRITES: writes})
                async with connection.begin():
                    yield connection
        except (SQLAlchemyError, OSError) as error:
            raise self._unavailable(error, use) from error
        self._availability.worked(use)

    async def _opened(self, use: str) -> AsyncEngine:
        if self._engine is not None:
            return self._engine
        async with self._opening:
            if self._engine is None:
                if time.monotonic() < self._failed_at + _PAUSE_SECONDS:
                    raise StoreUnavailableError("the database could not be opened just now")
                try:
                    self._engine = await self._open(use)
                except Exception:
                    self._failed_at = time.monotonic()
                    raise
        return self._engine

    async def _open(self, use: str) -> AsyncEngine:
        engine = None
        try:
            if not self.is_postgresql:
                await asyncio.to_thread(_prepare_file, Path(str(self._url.database)))
            engine = _engine(self._url)
            async with engine.connect() as plain:
                connection = await plain.execution_options(**{_WRITES: False})
                current = await _version(connection)
            if current != SCHEMA:
                await _migrate(engine)
        except Exception as error:  # before there is a connection, drivers raise what they like
            if engine is not None:
                await engine.dispose()
            if isinstance(error, PolyheadError):
                raise
            raise self._unavailable(error, use) from error
        return engine

    def _unavailable(self, error: Exception, use: str) -> StoreUnavailableError:
        """What is said of an error of the database: without statements, which are long."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        reason = f"{type(cause).__name__}: {next(iter(str(cause).splitlines()), '')[:200]}"
        self._availability.failed(use, reason)
        if any(words in reason.lower() for words in _FULL):
            return StoreFullError(reason)
        return StoreUnavailableError(reason)


def _driver_url(url: str) -> URL:
    """The URL with the driver that is used."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(_WRONG_URL) from None
    backend = parsed.get_backend_name() if parsed.drivername else ""
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres") and parsed.host:
        query = dict(parsed.query)
        if "sslmode" in query:  # as libpq calls it
            query["ssl"] = query.pop("sslmode")
        return parsed.set(drivername="postgresql+asyncpg", query=query)
    raise StoreError(_WRONG_URL)


_WRONG_URL = (
    "`store_url` must be as sqlite:////folder/file or postgresql://user:password@host/name, but is "
    "not"
)


def _engine(url: URL) -> AsyncEngine:
    # Parameters are users' texts: no message may have them.
    options: dict[str, Any] = {
        "hide_parameters": True, "pool_size": _CONNECTIONS, "max_overflow": 0,
        "pool_timeout": _WAIT_SECONDS,
    }  # fmt: skip
    if url.get_backend_name() == "postgresql":
        timeouts = {"timeout": _WAIT_SECONDS, "command_timeout": _WAIT_SECONDS}
        try:
            return create_async_engine(url, connect_args=timeouts, pool_pre_ping=True, **options)
        except ModuleNotFoundError:
            raise StoreError(
                "PostgreSQL needs a package that is not installed: pip install polyhead[postgresql]"
            ) from None
    engine = create_async_engine(url, connect_args={"timeout": _WAIT_SECONDS}, **options)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # or Python begins transactions by itself, and too late
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes would fail where another one wrote in between.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_file(path: Path) -> None:
    """Makes the file, which this user alone may read, and has it written ahead (WAL)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Here SQLite does not wait for another process that does the same.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_FILE_LOOK_SECONDS)


async def _version(connection: AsyncConnection) -> str | None:
    """The last step of the migrations that was taken; None for an empty database."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    return cast(
        "str | None", await connection.scalar(text("SELECT version_num FROM alembic_version"))
    )


async def _migrate(engine: AsyncEngine) -> None:
    async with engine.connect() as plain:
        connection = await plain.execution_options(**{_WRITES: True})
        async with connection.begin():
            if connection.dialect.name == "postgresql":
                lock = text("SELECT pg_advisory_xact_lock(:id)")
                await connection.execute(lock, {"id": _LOCK})
            await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    # It takes a third of a second to import, and is needed once for a version.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StoreError(
            f"the tables of the store must be of version {SCHEMA} or an older one, but are of a "
            "newer version of Polyhead"
        ) from None
