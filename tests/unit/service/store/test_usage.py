"""What was used adds up, once for each batch."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from service.store import usage as usage_module
from service.store.records import Count
from service.store.store import Store
from service.store.tables import USAGE_BATCHES
from service.store.usage import month_of


async def test_batches_add_up(store: Store) -> None:
    await store.usage.add("1", {("a", "2026-11"): Count(1, 10), ("b", "2026-11"): Count(2, 20)})
    await store.usage.add("2", {("a", "2026-11"): Count(1, 5), ("a", "2026-12"): Count(1, 1)})
    assert await store.usage.of_month("2026-11", ["a", "b", "c"]) == {
        "a": Count(2, 15), "b": Count(2, 20),
    }  # fmt: skip
    assert await store.usage.of_month("2026-12", ["a"]) == {"a": Count(1, 1)}
    assert await store.usage.of_month("2026-12", []) == {}


async def test_a_batch_that_is_added_again_changes_nothing(store: Store) -> None:
    for _ in range(3):
        await store.usage.add("1", {("a", "2026-11"): Count(1, 10)})
    assert await store.usage.of_month("2026-11", ["a"]) == {"a": Count(1, 10)}


async def test_batches_that_nobody_tries_again_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = 1_795_996_800  # a minute begins

    async def add(batch: str, now: int) -> int:
        monkeypatch.setattr(usage_module.time, "time", lambda: float(now))
        await store.usage.add(batch, {("a", "2026-11"): Count(1, 1)})
        async with store.database.reading() as connection:
            return len((await connection.execute(select(USAGE_BATCHES))).all())

    assert await add("1", begin) == 1
    assert await add("2", begin + 60) == 2
    assert await add("3", begin + 8 * 86_400) == 1
    assert await store.usage.of_month("2026-11", ["a"]) == {"a": Count(3, 3)}


async def test_what_is_given_back_is_taken_off(store: Store) -> None:
    await store.usage.add("1", {("a", "2026-11"): Count(1, 10)})
    await store.usage.add("2", {("a", "2026-11"): Count(-1, -10)})
    assert await store.usage.of_month("2026-11", ["a"]) == {"a": Count(0, 0)}


async def test_many_subjects_at_once(store: Store) -> None:
    names = [f"@{number}" for number in range(1200)]
    await store.usage.add("1", {(name, "2026-11"): Count(1, 1) for name in names})
    await store.usage.add("2", {})
    assert len(await store.usage.of_month("2026-11", names)) == len(names)


async def test_addresses_are_forgotten_after_their_month(store: Store) -> None:
    await store.usage.add(
        "1",
        {(name, month): Count(1, 1) for name in ("@a", "a") for month in ("2026-11", "2026-12")},
    )
    await store.usage.forget("@", before="2026-12")
    assert list(await store.usage.of_month("2026-11", ["@a", "a"])) == ["a"]
    assert set(await store.usage.of_month("2026-12", ["@a", "a"])) == {"@a", "a"}


def test_months_are_those_of_utc() -> None:
    assert month_of(1_795_995_582) == "2026-11"
    assert (month_of(1_796_083_199), month_of(1_796_083_200)) == ("2026-11", "2026-12")
