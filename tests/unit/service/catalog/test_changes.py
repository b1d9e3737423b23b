"""Changes over the catalog of the settings."""

from __future__ import annotations

from dataclasses import replace

from service.catalog.changes import CatalogChanges, ChangeKind, ModelState, ModelStatus
from service.catalog.entry import CatalogEntry
from service.settings import ModelRecord
from tests.fakes import catalog_entry


def _ids(changes: CatalogChanges, *base: CatalogEntry) -> list[str]:
    return [entry.hosted.key for entry in changes.applied_to(base)]


def _reloaded(name: str, revision: int) -> CatalogEntry:
    return replace(catalog_entry(name, revision), base_record=catalog_entry(name).record)


def test_changes_lie_over_the_base() -> None:
    base = catalog_entry("a"), catalog_entry("b")
    changes = CatalogChanges()
    assert _ids(changes, *base) == ["a@1", "b@1"]
    changes = changes.with_entry(catalog_entry("c", 2)).with_entry(_reloaded("a", 3))
    assert _ids(changes, *base) == ["a@3", "b@1", "c@2"]
    changes = changes.without_entry("b", hides=True).without_entry("c", hides=False)
    assert _ids(changes, *base) == ["a@3"]
    assert changes.version == 4
    assert changes.entries.keys() == {"a", "b"}
    assert _ids(changes.with_entry(_reloaded("b", 5)), *base) == ["a@3", "b@5"]


def test_what_is_configured_anew_is_newer_than_a_change() -> None:
    changes = CatalogChanges().with_entry(_reloaded("a", 3)).with_entry(catalog_entry("c", 2))
    moved = replace(catalog_entry("a"), record=ModelRecord(model="elsewhere", id="a"))
    assert _ids(changes, catalog_entry("a")) == ["a@3", "c@2"]
    assert _ids(changes, moved) == ["a@1", "c@2"]
    assert _ids(changes, catalog_entry("b")) == ["b@1", "c@2"]
    assert _ids(changes, catalog_entry("a"), catalog_entry("c")) == ["a@3", "c@1"]


def test_a_change_is_in_work_until_it_is_done_or_has_failed() -> None:
    loading = ModelStatus(state=ModelState.LOADING, change=ChangeKind.ADD)
    changes = CatalogChanges().with_status("a", loading)
    assert changes.in_work
    assert not changes.with_status("a", replace(loading, state=ModelState.FAILED)).in_work
    assert not changes.with_status("a", None).in_work


def test_only_so_many_failures_are_remembered() -> None:
    changes = CatalogChanges()
    for number in range(200):
        failed = ModelStatus(state=ModelState.FAILED, change=ChangeKind.ADD, problem="x")
        changes = changes.with_status(str(number), failed)
    assert list(changes.statuses) == [str(number) for number in range(136, 200)]
