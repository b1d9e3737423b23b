"""What was used is written once, whatever fails, and requests never wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import StoreUnavailableError
from service.gateway import usage as usage_module
from service.gateway.usage import UsageLedger
from service.store.records import Count
from tests.fakes import until
from tests.stores import new_database, store_of


class _Store:
    """A table in memory, which fails on demand: before it counts, or after."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Count] = {}
        self.batches: set[str] = set()
        self.fail_before = self.fail_after = self.fail_read = 0

    async def add(self, batch: str, counts: Mapping[tuple[str, str], Count]) -> None:
        if self.fail_before:
            self.fail_before -= 1
            raise StoreUnavailableError("x")
        if batch not in self.batches:
            self.batches.add(batch)
            for key, count in counts.items():
                old = self.counts.get(key, Count())
                self.counts[key] = Count(
                    old.requests + count.requests, old.characters + count.characters
                )
        if self.fail_after:
            self.fail_after -= 1
            raise StoreUnavailableError("x")

    async def of_month(self, month: str, subjects: Collection[str]) -> dict[str, Count]:
        if self.fail_read:
            self.fail_read -= 1
            raise StoreUnavailableError("x")
        return {
            subject: count
            for (subject, of), count in self.counts.items()
            if of == month and subject in subjects
        }

    @property
    def total(self) -> int:
        return sum(count.characters for count in self.counts.values())


def _ledger(table: Any, max_addresses: int = 10) -> UsageLedger:
    store: Any = SimpleNamespace(usage=table)
    return UsageLedger(store, flush_seconds=0.05, max_addresses=max_addresses)


@pytest.mark.parametrize("failure", ["fail_before", "fail_after", "fail_read"])
async def test_a_flush_that_fails_counts_once_in_the_end(failure: str) -> None:
    table = _Store()
    ledger = _ledger(table)
    ledger.add("a", 10)
    setattr(table, failure, 2)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await ledger.flush()
        assert ledger.characters("a") >= 10
    ledger.add("a", 5)
    await ledger.flush()
    await ledger.flush()
    assert (table.total, ledger.characters("a")) == (15, 15)


async def test_what_others_write_is_seen() -> None:
    table = _Store()
    first, second = _ledger(table), _ledger(table)
    first.add("a", 10)
    await first.flush()
    assert second.characters("a") == 0  # nobody has asked yet
    await second.flush()
    assert second.characters("a") == 10
    second.add("a", 1)
    await second.flush()
    first.add("a", 1)
    assert first.characters("a") == 11
    await first.flush()
    assert first.characters("a") == 12


async def test_what_is_given_back_is_not_written() -> None:
    table = _Store()
    ledger = _ledger(table)
    ledger.add("a", 10)
    ledger.add("a", -10, requests=-1)
    await ledger.flush()
    assert list(table.counts.values()) == [Count(0, 0)]


async def test_a_new_month_begins_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = _Store()
    ledger = _ledger(table)
    months = ["2026-11"]
    monkeypatch.setattr(usage_module, "_month_of", lambda _: months[0])
    ledger.add("a", 10)
    await ledger.flush()
    assert ledger.characters("a") == 10
    ledger.add("a", 1)
    months[0] = "2026-12"
    assert ledger.characters("a") == 0
    ledger.add("a", 2)
    await ledger.flush()
    assert table.counts == {("a", "2026-11"): Count(2, 11), ("a", "2026-12"): Count(1, 2)}
    assert ledger.characters("a") == 2


async def test_what_is_given_back_is_of_the_month_in_which_it_was_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = _Store()
    ledger = _ledger(table)
    months = ["2026-11"]
    monkeypatch.setattr(usage_module, "_month_of", lambda _: months[0])
    month = ledger.add("a", 10)
    await ledger.flush()
    months[0] = "2026-12"
    ledger.add("a", -10, requests=-1, month=month)
    assert ledger.characters("a") == 0
    await ledger.flush()
    assert table.counts == {("a", "2026-11"): Count(0, 0)}
    assert ledger.characters("a") == 0


async def test_what_is_stored_while_a_flush_reads_is_known_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = _Store()
    ledger = _ledger(table)
    month = ledger.add("a", 1) or ""
    of_month, may_end = table.of_month, asyncio.Event()
    begun: list[str] = []

    async def slow(month: str, subjects: Collection[str]) -> dict[str, Count]:
        found = await of_month(month, subjects)
        begun.append(month)
        await may_end.wait()
        return found

    async def store() -> None:
        async with ledger.reserved("a", 5):
            table.counts["a", month] = Count(2, 6)

    monkeypatch.setattr(table, "of_month", slow)
    ledger.characters("a")  # wants it to be read
    flushing = asyncio.create_task(ledger.flush())
    await until(lambda: bool(begun))
    storing = asyncio.create_task(store())
    await until(lambda: table.counts["a", month].characters == 6)
    may_end.set()
    await flushing
    await storing
    assert ledger.characters("a") == 6


async def test_a_reader_that_fails_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = _Store()
    ledger, other = _ledger(table), _ledger(table)
    other.add("a", 7)
    await other.flush()
    ledger.characters("a")
    table.fail_read = 1
    with pytest.raises(StoreUnavailableError):
        await ledger.flush()
    with monkeypatch.context() as patched:
        patched.setattr(table, "of_month", lambda *_: asyncio.Event().wait())
        reading = asyncio.create_task(ledger.flush())
        await until(ledger._lock.locked)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    await ledger.flush()
    assert ledger.characters("a") == 7


async def test_an_address_beyond_the_most_has_nothing_to_be_given_back() -> None:
    table = _Store()
    ledger = _ledger(table, max_addresses=1)
    assert ledger.add("@1", 10) is not None
    assert ledger.add("@2", 10) is None
    assert ledger.add("@1", 5) is not None  # it has its place already
    await ledger.flush()
    assert table.total == 15


async def test_addresses_are_bounded_and_keys_are_not() -> None:
    table = _Store()
    ledger = _ledger(table, max_addresses=3)
    for number in range(10):
        ledger.add(f"@{number}", 1)
        ledger.add(f"key{number}", 1)
    await ledger.flush()
    assert {subject for subject, _ in table.counts} >= {f"key{number}" for number in range(10)}
    assert sum(subject.startswith("@") for subject, _ in table.counts) <= 3
    for number in range(10, 20):
        ledger.add(f"@{number}", 1)
        await ledger.flush()
    assert len(ledger._known) <= 10 + 3


async def test_the_last_of_it_is_written_at_the_end(tmp_path: Path) -> None:
    url = new_database(None, tmp_path)
    store = store_of(url, tmp_path)
    ledger = UsageLedger(store, flush_seconds=1000, max_addresses=10)
    ledger.start()
    ledger.add("a", 10)
    await ledger.close()
    await ledger.close()
    month = usage_module.time.strftime("%Y-%m", usage_module.time.gmtime())
    assert await store.usage.of_month(month, ["a"]) == {"a": Count(1, 10)}
    await store.close()


async def test_what_cannot_be_written_at_the_end_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = _Store()
    table.fail_before = 100
    ledger = _ledger(table)
    ledger.add("a", 10)
    await ledger.close()
    assert "could not be written" in caplog.text


async def test_the_end_does_not_wait_for_a_store_that_says_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "_LAST_SECONDS", 0.01)
    table = _Store()
    monkeypatch.setattr(table, "add", lambda *_: asyncio.Event().wait())
    ledger = _ledger(table)
    ledger.add("a", 10)
    async with asyncio.timeout(20):
        await ledger.close()
    assert "could not be written" in caplog.text


async def test_what_others_write_counts_from_the_beginning() -> None:
    table = _Store()
    ledger = _ledger(table)
    month = ledger._this_month()
    for fails in (False, True):
        before = table.total
        async with ledger.reserved("a", 7):
            assert ledger.characters("a") == before + 7
            table.counts["a", month] = Count(1, before + 7)
            table.fail_read = int(fails)
        if fails:  # it is read later
            await ledger.flush()
        assert ledger.characters("a") == before + 7
    with pytest.raises(RuntimeError):
        async with ledger.reserved("a", 7):
            raise RuntimeError
    assert ledger.characters("a") == table.total == 14
