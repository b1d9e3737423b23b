"""Glossaries: dictionaries by language pair, each seen by its owner alone."""

from __future__ import annotations

import pytest

from model.errors import InvalidRequestError
from model.text_options import GlossaryEntry
from service.store.records import Dictionary, DictionaryInfo
from service.store.store import Store

CAT = GlossaryEntry("cat", ("Katze", "Kater"))
DOG = GlossaryEntry("DOG", ("Hund",), case_sensitive=True)
EN_DE = Dictionary(source="en", target="de", entries=(CAT, DOG))
DE_EN = Dictionary(source="de", target="en", entries=(GlossaryEntry("Ü", ("ü",)),))


async def test_a_glossary_comes_back_as_it_was_stored(store: Store) -> None:
    added = await store.glossaries.add("alice", "Tiere", [EN_DE, DE_EN], most=5)
    assert added.dictionaries == (DictionaryInfo("en", "de", 2), DictionaryInfo("de", "en", 1))
    assert await store.glossaries.find("alice", added.id) == added
    assert await store.glossaries.all("alice") == [added]
    assert await store.glossaries.dictionaries("alice", added.id) == (EN_DE, DE_EN)


async def test_nobody_else_sees_or_changes_it(store: Store) -> None:
    added = await store.glossaries.add("alice", "a", [EN_DE], most=5)
    for owner in ("bob", ""):
        assert await store.glossaries.find(owner, added.id) is None
        assert await store.glossaries.all(owner) == []
        assert await store.glossaries.dictionaries(owner, added.id) == ()
        changed = await store.glossaries.change(owner, added.id, name="b", most_entries=5)
        assert changed is None
        assert not await store.glossaries.remove_dictionary(owner, added.id, "en", "de")
        assert not await store.glossaries.remove(owner, added.id)
    assert await store.glossaries.all("alice") == [added]


async def test_an_owner_has_so_many_at_most(store: Store) -> None:
    for owner in ("alice", "bob"):
        for _ in range(2):
            await store.glossaries.add(owner, "a", [EN_DE], most=2)
    with pytest.raises(InvalidRequestError, match="at most 2 glossaries, but there are 2"):
        await store.glossaries.add("alice", "a", [EN_DE], most=2)
    assert len(await store.glossaries.all("alice")) == 2


async def test_dictionaries_are_merged_replaced_and_added(store: Store) -> None:
    added = await store.glossaries.add("alice", "a", [EN_DE], most=5)
    cow = GlossaryEntry("cow", ("Kuh",))
    other = Dictionary(source="en", target="de", entries=(CAT._replace(targets=("Mieze",)), cow))

    async def change(merge: bool) -> tuple[Dictionary, ...]:
        await store.glossaries.change(
            "alice", added.id, name="b", dictionaries=[other, DE_EN], merge=merge, most_entries=3
        )
        return await store.glossaries.dictionaries("alice", added.id)

    merged = (CAT._replace(targets=("Mieze",)), DOG, cow)
    assert await change(merge=True) == (Dictionary(source="en", target="de", entries=merged), DE_EN)
    assert await change(merge=False) == (other, DE_EN)
    assert [each.name for each in await store.glossaries.all("alice")] == ["b"]
    with pytest.raises(InvalidRequestError, match="at most 2 entries, but would have 3"):
        await store.glossaries.change(
            "alice", added.id, dictionaries=[EN_DE], merge=True, most_entries=2
        )
    assert await store.glossaries.dictionaries("alice", added.id) == (other, DE_EN)


async def test_what_is_removed_is_gone(store: Store) -> None:
    added = await store.glossaries.add("alice", "a", [EN_DE, DE_EN], most=5)
    assert await store.glossaries.remove_dictionary("alice", added.id, "en", "de")
    assert not await store.glossaries.remove_dictionary("alice", added.id, "en", "de")
    assert await store.glossaries.dictionaries("alice", added.id) == (DE_EN,)
    assert await store.glossaries.remove("alice", added.id)
    assert not await store.glossaries.remove("alice", added.id)
    assert await store.glossaries.all("alice") == []
