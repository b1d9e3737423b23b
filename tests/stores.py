"""Stores for tests: in a file of SQLite or in PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from service.settings import Settings
from service.store.store import Store

__all__ = ["new_database", "settings_of", "store_of"]


def settings_of(url: str, folder: Path, **more: Any) -> Settings:
    """The settings of a service whose database has a URL, and whose blobs are in a folder."""
    return Settings(**({"store_url": url, "blobs_url": str(folder / "blobs")} | more))


def new_database(server: str | None, folder: Path) -> str:
    """The URL of an empty database, until the next one is asked for.

    Args:
        server: beginning of the URLs of a PostgreSQL; None for a file of SQLite.
        folder: for that.
    """
    if server is None:
        return f"sqlite:///{folder / 'data' / 'store.db'}"
    # A database of its own for each test would be 7 MB in 300 files.
    url = f"{server}postgres"
    asyncio.run(_execute(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    return url


async def _execute(url: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def store_of(url: str, folder: Path) -> Store:
    """A store there."""
    return Store(settings_of(url, folder))
