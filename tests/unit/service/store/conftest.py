"""Each test that asks for a store gets an empty one of SQLite, and one of PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.store.store import Store
from tests.postgresql import postgresql_server
from tests.stores import new_database, store_of


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The beginning of the URLs of a running PostgreSQL."""
    with postgresql_server() as server:
        if server is None:
            pytest.skip("there is no initdb: install postgresql, or the extra dev")
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    is_sqlite = request.param == "sqlite"
    return new_database(None if is_sqlite else request.getfixturevalue("postgresql"), tmp_path)


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with that database."""
    store = store_of(url, tmp_path)
    yield store
    await store.close()
