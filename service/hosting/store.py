"""Where the state of the catalog is kept: the key-value store of Ray's GCS.

It lasts as long as Ray's head does, or longer where that keeps its state in Redis: then another
version of this project may find it. Values are pickles, as all that Ray's processes tell each
other, behind a tag for the fields of what is pickled.
"""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import fields

import ray
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

from model.config import GenerationConfig
from model.errors import InvalidRequestError, PolyheadError
from model.text.languages import Languages
from service.catalog.changes import CatalogBase, CatalogChanges, ModelStatus
from service.catalog.entry import CatalogEntry
from service.protocol import HostedModel, ModelInfo
from service.settings import ModelRecord, Settings

__all__ = ["CatalogStore", "UnreadableCatalogError", "base_of"]

_NAMESPACE = b"polyhead"
_MAX_BYTES = 16 * 2**20
_PICKLED = (
    CatalogChanges, CatalogBase, CatalogEntry, ModelStatus, HostedModel, ModelInfo,
    GenerationConfig, Languages,
)  # fmt: skip


class UnreadableCatalogError(PolyheadError):
    """What is stored was written by another version of this project."""


class CatalogStore:
    """The catalog of one service. Its methods block; the GCS may be away for a while.

    Args:
        application: name of the gateways' application.
    """

    def __init__(self, application: str) -> None:
        self._key = f"catalog:{application}".encode()
        self._version_key = f"catalog-version:{application}".encode()
        self._tag = _tag()

    def version(self) -> int:
        """Version of what is stored; 0 for nothing."""
        stored = _internal_kv_get(self._version_key, namespace=_NAMESPACE)
        return int(stored) if stored else 0

    def read(self) -> CatalogChanges:
        """What is stored.

        Raises:
            UnreadableCatalogError: it was written by another version of this project.
        """
        stored = _internal_kv_get(self._key, namespace=_NAMESPACE)
        if not stored:
            return CatalogChanges()
        tag, _, content = stored.partition(b"\n")
        try:
            if tag == self._tag and isinstance(changes := pickle.loads(content), CatalogChanges):
                return changes
        except Exception as error:  # pickle raises of all kinds
            raise UnreadableCatalogError(_UNREADABLE) from error
        raise UnreadableCatalogError(_UNREADABLE)

    def read_or_begin(self) -> tuple[CatalogChanges, str | None]:
        """What is stored, or an empty state of the same version; with the reason for that."""
        try:
            return self.read(), None
        except UnreadableCatalogError as error:
            # Versions count on: revisions are called after them.
            return CatalogChanges(version=self.version()), str(error)

    def begin(self, settings: Settings, entries: tuple[CatalogEntry, ...]) -> None:
        """Stores what a service begins with whose models are deployed together with it."""
        self.write(CatalogChanges().with_base(base_of(settings, entries), adopting=False))

    def write(self, changes: CatalogChanges) -> None:
        """Stores `changes`; InvalidRequestError if they are too large."""
        content = self._tag + b"\n" + pickle.dumps(changes)
        if len(content) > _MAX_BYTES:
            raise InvalidRequestError(
                f"the catalog's changes must have at most {_MAX_BYTES} bytes, but have "
                f"{len(content)}"
            )
        _internal_kv_put(self._key, content, overwrite=True, namespace=_NAMESPACE)
        # Last: who sees it finds what belongs to it.
        version = str(changes.version).encode()
        _internal_kv_put(self._version_key, version, overwrite=True, namespace=_NAMESPACE)


def base_of(settings: Settings, entries: tuple[CatalogEntry, ...]) -> CatalogBase:
    """What a service is deployed with on the Ray Serve that runs now."""
    controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    return CatalogBase(settings=settings, entries=entries, serve=controller._actor_id.hex())


_UNREADABLE = (
    "what was stored of changed models is of another version of Polyhead and cannot be read; the "
    "models of the settings are served, and others must be added again"
)


def _tag() -> bytes:
    """What the pickles consist of: another one is another version's."""
    names = [[each.__name__, *(one.name for one in fields(each))] for each in _PICKLED]
    names += [[each.__name__, *each.model_fields] for each in (Settings, ModelRecord)]
    return b"polyhead-catalog-" + hashlib.sha256(repr(names).encode()).hexdigest()[:16].encode()
