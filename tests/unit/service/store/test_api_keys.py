"""Keys are shown once, kept as hashes, found in constant time, and revoked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from model.errors import InvalidRequestError
from service.settings import Quota
from service.store.api_keys import find_key, hash_of
from service.store.records import Scope
from service.store.store import Store


async def test_a_key_comes_back_as_it_was_made(store: Store) -> None:
    quota = Quota(requests_per_minute=5, characters_per_month=10**12)
    expires_at = int(time.time()) + 100
    key, _ = await store.keys.add(
        "Jürgen", scopes=[Scope.ADMIN], expires_at=expires_at, quota=quota
    )
    assert await store.keys.all() == [key]
    assert await store.keys.valid() == {key.id: key}
    assert (key.name, key.scopes, key.quota) == ("Jürgen", frozenset({Scope.ADMIN}), quota)
    plain, _ = await store.keys.add("plain")
    assert plain.scopes == {Scope.TRANSLATE, Scope.DOCUMENTS}
    assert not plain.quota.limits_anything


async def test_no_secret_is_stored(tmp_path: Path, store: Store) -> None:
    key, shown = await store.keys.add("alice")
    secret = shown.rpartition("_")[2]
    assert key.secret_hash == hash_of(secret)
    assert secret not in repr(key)
    await store.close()
    for path in tmp_path.rglob("store.db*"):
        assert secret.encode() not in path.read_bytes()


async def test_keys_are_found_by_all_of_what_is_sent(store: Store) -> None:
    key, shown = await store.keys.add("alice")
    other, others = await store.keys.add("bob")
    keys = await store.keys.valid()
    assert find_key(keys, shown) == key
    assert find_key(keys, others) == other
    secret = shown.rpartition("_")[2]
    for wrong in (
        "", "x", shown[:-1], f"{shown}x", f" {shown}", f"ph_{other.id}_{secret}",
        f"ph_{'0' * 12}_{secret}", shown.swapcase(), "ph_é", "\ud800", key.secret_hash.hex(),
    ):  # fmt: skip
        assert find_key(keys, wrong) is None, wrong


async def test_what_is_revoked_or_has_expired_is_not_valid(store: Store) -> None:
    key, _ = await store.keys.add("alice")
    old, _ = await store.keys.add("bob", expires_at=int(time.time()) - 1)
    revoked = await store.keys.revoke("alice")
    assert revoked is not None
    assert revoked.id == key.id
    assert await store.keys.revoke("alice") is None
    assert await store.keys.valid() == {}
    assert not old.is_valid(time.time())
    [first, second] = sorted(await store.keys.all(), key=lambda each: each.name)
    assert first.revoked_at is not None
    assert second == old


async def test_names_are_free_again_once_revoked(store: Store) -> None:
    first, _ = await store.keys.add("alice")
    with pytest.raises(InvalidRequestError, match="'alice' is the name of one"):
        await store.keys.add("alice")
    await store.keys.revoke(first.id)
    second, _ = await store.keys.add("alice")
    assert set(await store.keys.valid()) == {second.id}


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 101, "\x7f"])
async def test_names_are_for_people(tmp_path: Path, name: str) -> None:
    from tests.stores import store_of

    with pytest.raises(InvalidRequestError, match="1 to 100 printable characters"):
        await store_of(f"sqlite:///{tmp_path / 'store.db'}", tmp_path).keys.add(name)
