"""Databases are opened, migrated and shared by several processes; what is wrong is one error."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from service.errors import StoreFullError, StoreUnavailableError
from service.store.database import Database, StoreError
from service.store.records import Count
from service.store.store import Store, data_folder
from service.store.tables import METADATA, SCHEMA
from tests.stores import settings_of, store_of


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), METADATA))


async def test_the_migrations_make_the_tables_that_the_code_has(store: Store) -> None:
    async with store.database.reading() as connection:
        assert await connection.run_sync(_differences) == []
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == SCHEMA


def test_the_version_is_that_of_the_last_step() -> None:
    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


async def test_documents_of_before_say_in_which_month_they_count(
    store: Store, tmp_path: Path, url: str
) -> None:
    await store.database.open()
    async with store.database.writing() as connection:
        await connection.run_sync(_to_version, "0003")
        for id, subject, state in (("a", "'key'", "queued"), ("b", "NULL", "queued"),
                                   ("c", "'key'", "error")):  # fmt: skip
            await connection.execute(text(
                "INSERT INTO documents (id, owner, subject, created_at, expires_at, state, name, "
                "format, target, options, num_bytes, num_characters, done_units, attempts) "
                f"VALUES ('{id}', 'key', {subject}, 1796083199, 1800000000, '{state}', 'n', 'txt', "
                "'de', '{}', 1, 1, 0, 0)"
            ))  # fmt: skip
    await store.close()
    again = store_of(url, tmp_path)
    async with again.database.reading() as connection:
        rows = await connection.execute(text("SELECT id, counted_month FROM documents ORDER BY id"))
        assert [*rows] == [("a", "2026-11"), ("b", None), ("c", None)]
    await again.close()


def _to_version(connection: Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    config.attributes["connection"] = connection
    command.downgrade(config, version)


async def test_many_open_an_empty_database_at_once(url: str, tmp_path: Path) -> None:
    stores = [store_of(url, tmp_path) for _ in range(5)]
    await asyncio.gather(*(each.database.open() for each in stores))
    for each in stores:
        assert await each.keys.all() == []
        await each.close()


async def test_tables_of_a_newer_version_are_left_alone(url: str, tmp_path: Path) -> None:
    store = store_of(url, tmp_path)
    async with store.database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    with pytest.raises(StoreError, match=f"version {SCHEMA} or an older one"):
        await store_of(url, tmp_path).keys.all()


async def test_what_fails_is_not_written(store: Store) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012
        async with store.database.writing() as connection:
            await connection.execute(text("INSERT INTO usage VALUES ('a', '2026-11', 1, 1)"))
            raise RuntimeError
    assert await store.usage.of_month("2026-11", ["a"]) == {}


async def test_writers_take_turns_and_lose_nothing(url: str, tmp_path: Path) -> None:
    stores = [store_of(url, tmp_path) for _ in range(4)]

    async def add(number: int, store: Store) -> None:
        for round_ in range(10):
            counts = {("a", "2026-11"): Count(1, 2), ("b", "2026-11"): Count(1, 1)}
            await store.usage.add(f"{number}-{round_}", counts)

    await asyncio.gather(*(add(number, store) for number, store in enumerate(stores)))
    found = await stores[0].usage.of_month("2026-11", ["a", "b"])
    assert found == {"a": Count(40, 80), "b": Count(40, 40)}
    for each in stores:
        await each.close()


def test_the_file_is_closed_to_others(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'store.db'}"
    store = store_of(url, tmp_path)

    async def use() -> None:
        async with store.database.writing() as connection:
            await connection.execute(text("INSERT INTO usage VALUES ('a', '2026-11', 1, 1)"))
            files = os.listdir(tmp_path / "new")
            assert files
            for name in files:
                mode = (tmp_path / "new" / name).stat().st_mode
                assert stat.S_IMODE(mode) == 0o600, name
        await store.close()

    asyncio.run(use())
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


async def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    store = store_of(f"sqlite:///{tmp_path / 'store.db'}", tmp_path)
    async with store.database.reading() as connection:
        assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
    await store.close()


@pytest.mark.parametrize(
    "url",
    ["mysql://host/name", "store.db", "sqlite://", "sqlite:///:memory:", "postgresql:///name", "x"],
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="`store_url` must be as sqlite:"):
        Database(url)


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://user:secret@127.0.0.1:1/name")
    for _ in range(2):  # the second one does not try again at once
        with pytest.raises(StoreUnavailableError) as caught:
            await database.open()
        assert "secret" not in str(caught.value)


async def test_a_folder_that_cannot_be_written_to_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError):
        await Database(f"sqlite:///{tmp_path / 'file' / 'store.db'}").open()


async def test_a_full_disk_is_told_apart(tmp_path: Path) -> None:
    store = store_of(f"sqlite:///{tmp_path / 'store.db'}", tmp_path)
    with pytest.raises(StoreFullError):  # noqa: PT012
        async with store.database.writing() as connection:
            pages = await connection.scalar(text("PRAGMA page_count"))
            await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            for number in range(10_000):
                statement = text("INSERT INTO usage VALUES (:name, '2026-11', 1, 1)")
                await connection.execute(statement, {"name": f"{number:064}"})
    assert await store.usage.of_month("2026-11", [f"{0:064}"]) == {}
    await store.close()


async def test_errors_tell_no_values(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(StoreUnavailableError) as caught:  # noqa: PT012
        async with store.database.writing() as connection:
            statement = text("INSERT INTO usage VALUES (:name, :name, :name, :name, :name)")
            await connection.execute(statement, {"name": "secret text"})
    assert "secret text" not in str(caught.value) + caplog.text


async def test_what_is_wrong_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file" / "store.db"
    path.parent.touch()
    monkeypatch.setattr("service.store.database._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("service.store.availability._CALM_SECONDS", 0.0)
    store = store_of(f"sqlite:///{path}", tmp_path)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await store.keys.all()
        with pytest.raises(StoreUnavailableError):
            await store.usage.add("a", {("a", "2026-11"): Count(1, 1)})
    [line] = caplog.messages
    assert line.startswith(f"the store {path} cannot be used: ")
    path.parent.unlink()
    for _ in range(3):
        await store.keys.all()
        await store.usage.add("a", {("a", "2026-11"): Count(1, 1)})
    assert caplog.messages[1:] == [f"the store {path} can be used again"]
    await store.close()


def test_the_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "polyhead"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".local" / "share" / "polyhead"

    async def use() -> None:
        store = Store(settings_of("", tmp_path))
        await store.database.open()
        await store.close()

    asyncio.run(use())
    assert (data_folder() / "store.db").exists()
