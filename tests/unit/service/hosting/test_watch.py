"""How a gateway hears of changes of the catalog."""

from __future__ import annotations

import asyncio

import pytest

from service.catalog.changes import CatalogChanges, ChangeKind, ModelState, ModelStatus
from service.hosting import watch
from service.hosting.watch import CatalogWatch
from tests.fakes import catalog_entry, until

_LOADING = ModelStatus(state=ModelState.LOADING, change=ChangeKind.ADD)


class _Store:
    """What is stored, or an error in its place."""

    def __init__(self) -> None:
        self.changes = CatalogChanges()
        self.error: Exception | None = None
        self.num_reads = 0

    def version(self) -> int:
        if self.error is not None:
            raise self.error
        return self.changes.version

    def read(self) -> CatalogChanges:
        self.num_reads += 1
        return self.changes


class _Gateway:
    def __init__(self, store: _Store) -> None:
        self.taken: list[int] = []
        self.reported: list[int] = []
        self.watch = CatalogWatch(
            store,  # type: ignore[arg-type]
            CatalogChanges(),
            take=self._take,
            report=self.reported.append,
        )

    async def _take(self, changes: CatalogChanges) -> None:
        self.taken.append(changes.version)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)


async def test_changes_are_taken_over_once_and_reported_while_one_is_in_work() -> None:
    store = _Store()
    gateway = _Gateway(store)
    loop = asyncio.get_running_loop()

    async def look() -> None:
        await asyncio.to_thread(gateway.watch.look, loop)

    await look()
    assert (gateway.taken, gateway.reported, store.num_reads) == ([], [], 0)
    store.changes = store.changes.with_status("a", _LOADING)
    await look()
    await look()
    assert (gateway.taken, gateway.reported, store.num_reads) == ([1], [1, 1], 1)
    store.changes = store.changes.with_entry(catalog_entry("a", 2)).with_status("a", None)
    await look()
    await look()
    assert (gateway.taken, gateway.reported) == ([1, 3], [1, 1])


async def test_a_store_that_is_away_changes_nothing() -> None:
    store = _Store()
    store.error = ConnectionError("x")
    gateway = _Gateway(store)
    gateway.watch.start(asyncio.get_running_loop())
    try:
        await asyncio.sleep(0.05)
        assert gateway.taken == []
        store.changes = store.changes.with_entry(catalog_entry("a", 2))
        store.error = None
        await until(lambda: gateway.taken == [1])
    finally:
        gateway.watch.close()
