"""Where the changes of the catalog are kept: the key-value store of Ray's GCS.

It lasts as long as Ray's head does, or longer where that keeps its state in Redis. Values are
pickles, as all that Ray's processes tell each other.
"""

from __future__ import annotations

import pickle

from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from model.errors import InvalidRequestError
from service.catalog import CatalogChanges

__all__ = ["CatalogStore"]

_NAMESPACE = b"polyhead"
_MAX_BYTES = 16 * 2**20


class CatalogStore:
    """The changes of one service. Its methods block; the GCS may be away for a while.

    Args:
        application: name of the gateways' application.
    """

    def __init__(self, application: str) -> None:
        self._key = f"catalog:{application}".encode()
        self._version_key = f"catalog-version:{application}".encode()

    def version(self) -> int:
        """Version of what is stored; 0 for nothing."""
        stored = _internal_kv_get(self._version_key, namespace=_NAMESPACE)
        return int(stored) if stored else 0

    def read(self) -> CatalogChanges:
        """What is stored."""
        stored = _internal_kv_get(self._key, namespace=_NAMESPACE)
        if not stored:
            return CatalogChanges()
        changes: CatalogChanges = pickle.loads(stored)
        return changes

    def write(self, changes: CatalogChanges) -> None:
        """Stores `changes`; InvalidRequestError if they are too large."""
        content = pickle.dumps(changes)
        if len(content) > _MAX_BYTES:
            raise InvalidRequestError(
                f"the catalog's changes must have at most {_MAX_BYTES} bytes, but have "
                f"{len(content)}"
            )
        _internal_kv_put(self._key, content, overwrite=True, namespace=_NAMESPACE)
        # Last: who sees it finds what belongs to it.
        version = str(changes.version).encode()
        _internal_kv_put(self._version_key, version, overwrite=True, namespace=_NAMESPACE)
