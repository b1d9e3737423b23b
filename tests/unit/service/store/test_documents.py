"""The table of documents: claims and leases, what is written under them, limits, what expires."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from service.errors import OverloadedError, RateLimitedError
from service.settings import Documents
from service.store.records import Count, DocumentState, StoredDocument
from service.store.store import Store
from service.store.usage import month_of

LIMITS = Documents()
_LONG = 600.0


def document(**more: Any) -> StoredDocument:
    now = int(time.time())
    fields: dict[str, Any] = {
        "id": str(uuid.uuid4()), "owner": "@one", "created_at": now, "expires_at": now + 3600,
        "name": "Übersicht.docx", "format": "docx", "source": "en", "target": "de",
        "options": {"glossary": [["cat", ["Katze"], False]], "retranslate": True},
        "num_bytes": 1000, "num_characters": 200, "total_units": 7, "source_blob": "source",
    }  # fmt: skip
    return StoredDocument(**fields | more)


async def stored(store: Store, **more: Any) -> StoredDocument:
    new = document(**more)
    await store.documents.add(new, LIMITS)
    return new


async def found(store: Store, id: str) -> StoredDocument:
    there = await store.documents.find(id)
    assert there is not None
    return there


async def test_one_is_as_it_was_stored(store: Store) -> None:
    new = await stored(store, secret_hash=b"\x00\xff")
    assert await found(store, new.id) == new
    assert await store.documents.find(str(uuid.uuid4())) is None
    assert await store.documents.remove(new.id) == new
    assert await store.documents.remove(new.id) is None
    assert await store.documents.find(new.id) is None


async def test_each_is_claimed_once_and_the_oldest_first(store: Store) -> None:
    now = int(time.time())
    ids = [(await stored(store, created_at=now - age)).id for age in (10, 30, 20)]
    first = await store.documents.claim("first", seconds=_LONG)
    assert first is not None
    assert (first.id, first.state, first.attempts) == (ids[1], DocumentState.TRANSLATING, 1)
    claims = (store.documents.claim(f"worker {number}", seconds=_LONG) for number in range(6))
    claimed = [each.id for each in await asyncio.gather(*claims) if each is not None]
    # Who meets another one at a row of PostgreSQL may go away empty, and looks again.
    while (more := await store.documents.claim("last", seconds=_LONG)) is not None:
        claimed.append(more.id)
    assert sorted([first.id, *claimed]) == sorted(ids)


async def test_who_has_lost_the_lease_changes_nothing(store: Store) -> None:
    id = (await stored(store)).id
    assert await store.documents.claim("dead", seconds=-1) is not None
    mine = await store.documents.claim("mine", seconds=_LONG)
    assert mine is not None
    assert (mine.id, mine.worker, mine.attempts) == (id, "mine", 2)
    documents = store.documents
    before = await found(store, id)
    for is_mine in (
        await documents.renew(id, "dead", seconds=_LONG, done_units=3, seconds_left=1),
        await documents.save(id, "dead", "blob", done_units=3),
        await documents.release(id, "dead", started=True),
        await documents.finish(id, "dead", "blob", keep_seconds=60),
        await documents.fail(id, "dead", "problem", keep_seconds=60),
    ):
        assert not is_mine
    assert await found(store, id) == before
    assert await documents.renew(id, "mine", seconds=_LONG, done_units=3, seconds_left=9)
    renewed = await found(store, id)
    assert (renewed.done_units, renewed.seconds_left) == (3, 9)
    assert renewed.leased_until is not None
    assert mine.leased_until is not None
    assert renewed.leased_until >= mine.leased_until


async def test_a_clock_that_is_set_back_makes_no_lease_longer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    new = await stored(store, expires_at=int(now) + 7200)
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now + 3600)
        assert await store.documents.claim("killed", seconds=30.0) is not None
    # As long as a lease may be, with clocks that differ, it is another one's.
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now + 3575)
        assert await store.documents.claim("too early", seconds=30.0) is None
    again = await store.documents.claim("next", seconds=30.0)
    assert again is not None
    assert again.id == new.id


async def test_attempts_count_until_it_gets_further(store: Store) -> None:
    id = (await stored(store)).id
    attempts = []
    for started in (True, True, False):
        claimed = await store.documents.claim("worker", seconds=_LONG)
        assert claimed is not None
        attempts.append(claimed.attempts)
        assert await store.documents.release(id, "worker", started=started)
    assert attempts == [1, 2, 3]
    released = await found(store, id)
    assert (released.state, released.worker, released.attempts) == (DocumentState.QUEUED, None, 2)
    await store.documents.claim("worker", seconds=_LONG)
    assert await store.documents.save(id, "worker", "half", done_units=4)
    saved = await found(store, id)
    assert (saved.attempts, saved.result_blob, saved.done_units) == (0, "half", 4)
    assert await store.documents.release(id, "worker", after=_LONG, started=True)
    assert await store.documents.claim("other", seconds=_LONG) is None


async def test_one_ends_done_or_failed(store: Store) -> None:
    ids = [(await stored(store)).id for _ in range(2)]
    for number in range(2):
        claimed = await store.documents.claim(f"worker of {number}", seconds=_LONG)
        assert claimed is not None
        ids.remove(claimed.id)
        ids.insert(number, claimed.id)
    done, failed = ids
    assert await store.documents.finish(done, "worker of 0", "result", keep_seconds=60)
    assert await store.documents.fail(failed, "worker of 1", "problem", keep_seconds=60)
    one, other = await found(store, done), await found(store, failed)
    assert (one.state, one.done_units, one.result_blob) == (DocumentState.DONE, 7, "result")
    assert (other.state, other.error, other.result_blob) == (DocumentState.ERROR, "problem", None)
    for each in (one, other):
        assert (each.source_blob, each.worker, each.leased_until) == (None, None, None)
        assert abs(each.expires_at - time.time() - 60) < 30
    assert await store.documents.claim("other", seconds=_LONG) is None


async def test_who_fails_gets_back_what_was_counted_and_once(store: Store) -> None:
    month = month_of(time.time())
    counts = {("key", month): Count(3, 1000), ("other", month): Count(3, 1000)}
    await store.usage.add("batch", counts)
    for subject in ("key", None):
        id = (await stored(store, subject=subject)).id
        counted = await store.usage.of_month(month, ["key"])
        assert counted["key"] == (Count(4, 1200) if subject else Count(3, 1000))
        assert await store.documents.claim("dead", seconds=-1) is not None
        assert await store.documents.claim("mine", seconds=_LONG) is not None
        assert not await store.documents.fail(id, "dead", "problem", keep_seconds=60)
        failures = (store.documents.fail(id, "mine", "problem", keep_seconds=60) for _ in range(4))
        assert sorted(await asyncio.gather(*failures)) == [False, False, False, True]
        assert (await found(store, id)).counted_month is None
    assert await store.usage.of_month(month, ["key", "other"]) == {
        "key": Count(3, 1000), "other": Count(3, 1000),
    }  # fmt: skip


async def test_it_comes_back_to_the_month_for_which_it_was_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document is read before midnight, stored after it, and fails a month later."""
    december = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    november = {("key", "2026-11"): Count(9, 9000)}
    await store.usage.add("batch", november)
    monkeypatch.setattr(time, "time", lambda: december + 1)
    id = (await stored(store, subject="key", created_at=int(december) - 1,
                       expires_at=int(december) + 90 * 86_400)).id  # fmt: skip
    assert await store.usage.of_month("2026-12", ["key"]) == {"key": Count(1, 200)}
    assert (await found(store, id)).counted_month == "2026-12"
    monkeypatch.setattr(time, "time", lambda: december + 40 * 86_400)
    assert await store.documents.claim("mine", seconds=_LONG) is not None
    assert await store.documents.fail(id, "mine", "problem", keep_seconds=60)
    assert await store.usage.of_month("2026-12", ["key"]) == {"key": Count(0, 0)}
    assert await store.usage.of_month("2026-11", ["key"]) == {"key": Count(9, 9000)}
    assert await store.usage.of_month("2027-01", ["key"]) == {}


async def test_what_is_not_stored_is_not_counted(store: Store) -> None:
    limits = LIMITS.model_copy(update={"max_kept": 1})
    await stored(store)
    with pytest.raises(OverloadedError):
        await store.documents.add(document(subject="key"), limits)
    assert await store.usage.of_month(month_of(time.time()), ["key"]) == {}


async def test_an_owners_documents_are_listed_page_by_page(store: Store) -> None:
    now = int(time.time())
    mine = [await stored(store, owner="key", created_at=now - age // 2) for age in range(7)]
    await stored(store, owner="key", secret_hash=b"x")
    await stored(store, owner="key", expires_at=now - 1)
    await stored(store, owner="other")
    newest = sorted(mine, key=lambda each: (each.created_at, each.id), reverse=True)
    listed: list[StoredDocument] = []
    after = None
    while page := await store.documents.listed("key", most=2, after=after):
        assert len(page) <= 2
        listed += page
        after = (page[-1].created_at, page[-1].id)
        await store.documents.remove(page[-1].id)  # the next page does not miss it
    assert listed == newest


async def test_what_has_expired_goes_unless_it_is_in_work(store: Store) -> None:
    past = int(time.time()) - 1
    kept = await stored(store)
    await store.documents.claim("worker", seconds=_LONG)
    old = await stored(store, expires_at=past)
    working = await stored(
        store, expires_at=past, state=DocumentState.TRANSLATING, worker="other",
        leased_until=time.time() + _LONG,
    )  # fmt: skip
    assert await store.documents.find(old.id) is None
    assert await store.documents.claim("other", seconds=_LONG) is None
    assert [each.id for each in await store.documents.remove_expired(most=10)] == [old.id]
    assert await store.documents.remove_expired(most=10) == []
    assert await store.documents.remove(working.id) == working
    assert (await found(store, kept.id)).worker == "worker"


async def test_no_more_expired_go_than_asked_for(store: Store) -> None:
    for age in range(1, 4):
        await stored(store, expires_at=int(time.time()) - age)
    gone = [len(await store.documents.remove_expired(most=2)) for _ in range(3)]
    assert gone == [2, 1, 0]


async def test_contents_of_no_document_are_found(store: Store) -> None:
    await stored(store, source_blob="a", result_blob="b")
    await stored(store, source_blob=None, result_blob="c")
    assert await store.documents.unused({"a", "b", "c", "d", "e"}) == {"d", "e"}
    assert await store.documents.unused(set()) == set()


@pytest.mark.parametrize(
    ("limit", "owner", "kind"),
    [
        ("max_waiting_per_client", "@one", RateLimitedError),
        ("max_kept_per_client", "@one", RateLimitedError),
        ("max_waiting", "@two", OverloadedError),
        ("max_kept", "@two", OverloadedError),
    ],
)
async def test_there_are_only_so_many(
    store: Store, limit: str, owner: str, kind: type[Exception]
) -> None:
    limits = LIMITS.model_copy(update={limit: 2})
    await stored(store)
    is_kept = "kept" in limit
    state = DocumentState.DONE if is_kept else DocumentState.QUEUED
    second = await stored(store, state=state)
    await stored(store, expires_at=int(time.time()) - 1)  # does not count
    with pytest.raises(kind):
        await store.documents.check(owner, limits)
    with pytest.raises(kind):
        await store.documents.add(document(owner=owner), limits)
    await store.documents.remove(second.id)
    await store.documents.add(document(owner=owner), limits)
