"""The catalog's controller without Ray; what it does is tested as an actor (test_actor)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from service.catalog.changes import CatalogBase, CatalogChanges, ChangeKind, ModelState
from service.hosting.controller import CatalogController
from service.settings import ModelRecord, Settings
from tests.fakes import catalog_entry, until


class _Store:
    """In memory; breaks as often as it is told to."""

    def __init__(self) -> None:
        settings = Settings.model_validate({"engine": {"device": "cpu"}})
        base = CatalogBase(settings=settings, entries=(catalog_entry("base"),), serve="")
        self.changes = CatalogChanges(base=base)
        self.breaks = 0

    def version(self) -> int:
        return self.changes.version

    def read(self) -> CatalogChanges:
        return self.changes

    def read_or_begin(self) -> tuple[CatalogChanges, str | None]:
        return self.changes, None

    def write(self, changes: CatalogChanges) -> None:
        if self.breaks and not changes.in_work:
            self.breaks -= 1
            raise RuntimeError("a fault of ours")
        self.changes = changes


class _Hosts:
    """Runs nothing, and takes note of nothing."""

    async def names(self) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} must not be asked for")


async def test_after_a_fault_it_begins_anew_in_the_same_process(tmp_path: Path) -> None:
    store = _Store()
    controller = CatalogController("polyhead", _Hosts(), store)  # type: ignore[arg-type]
    try:
        record = ModelRecord(model=str(tmp_path), id="new")
        store.breaks = 1
        await controller.submit(ChangeKind.ADD, "new", record)

        def state() -> ModelState | None:
            status = store.changes.statuses.get("new")
            return None if status is None else status.state

        await until(lambda: state() is ModelState.FAILED)
        assert store.breaks == 0
        assert "interrupted" in (store.changes.statuses["new"].problem or "")
        await controller.submit(ChangeKind.ADD, "new", record)
        await until(lambda: "config.json" in (store.changes.statuses["new"].problem or ""))
    finally:
        controller.close()
        await asyncio.sleep(0)
