"""What is stored of the catalog, and what becomes of it when the project is upgraded."""

from __future__ import annotations

import pickle

import pytest

from service.catalog.changes import CatalogBase, CatalogChanges
from service.hosting import store as store_module
from service.hosting.store import CatalogStore, UnreadableCatalogError
from service.settings import Settings
from tests.fakes import catalog_entry


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    """The store's keys and values."""
    values: dict[bytes, bytes] = {}

    def put(key: bytes, value: bytes, *, overwrite: bool, namespace: bytes) -> None:
        assert (overwrite, namespace) == (True, b"polyhead")
        values[key] = value

    monkeypatch.setattr(store_module, "_internal_kv_put", put)
    monkeypatch.setattr(store_module, "_internal_kv_get", lambda key, namespace: values.get(key))
    return values


def _changes() -> CatalogChanges:
    settings = Settings.model_validate({"admin_token": "a-secret", "replicas": 3})
    base = CatalogBase(settings=settings, entries=(catalog_entry("base"),), serve="1")
    return CatalogChanges().with_base(base, adopting=False).with_entry(catalog_entry("new", 2))


def test_what_is_written_is_read(stored: dict[bytes, bytes]) -> None:
    store = CatalogStore("polyhead")
    assert (store.read(), store.version()) == (CatalogChanges(), 0)
    store.write(_changes())
    assert (store.read(), store.version()) == (_changes(), 2)
    assert CatalogStore("other").read() == CatalogChanges()
    # The operator's token is nobody's but the gateways'.
    assert not any(b"a-secret" in value for value in stored.values())


@pytest.mark.parametrize("how", ["no tag", "another tag", "another class", "damaged"])
def test_what_another_version_has_written_is_not_taken(
    stored: dict[bytes, bytes], how: str
) -> None:
    store = CatalogStore("polyhead")
    store.write(_changes())
    [key] = [key for key in stored if not key.startswith(b"catalog-version")]
    tag, _, content = stored[key].partition(b"\n")
    stored[key] = {
        "no tag": content,
        "another tag": tag[:-1] + b"\n" + content,
        "another class": tag + b"\n" + content.replace(b"CatalogBase", b"CatalogBxse"),
        "damaged": tag + b"\n" + pickle.dumps("x"),
    }[how]
    with pytest.raises(UnreadableCatalogError, match="of another version of Polyhead"):
        store.read()
    changes, problem = store.read_or_begin()
    assert changes == CatalogChanges(version=2)
    assert "the models of the settings are served" in (problem or "")
