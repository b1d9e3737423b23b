"""The state of the catalog: what the service was deployed with, and what was changed since.

Models of the settings are its base. What is changed while it serves lies over the base, one entry
for each model that was added, reloaded or removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pydantic import SecretStr

from service.catalog.entry import CatalogEntry
from service.settings import Settings

__all__ = ["CatalogBase", "CatalogChanges", "ChangeKind", "ModelState", "ModelStatus"]

_MOST_STATES = 64
"""States of models that are kept: those of changes that failed would pile up else."""


class ModelState(StrEnum):
    """Where a model is between its addition and its removal."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    REMOVING = "removing"


class ChangeKind(StrEnum):
    """What is done to the catalog."""

    ADD = "add"
    REMOVE = "remove"
    RELOAD = "reload"


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """The last change of a model, and how it went."""

    state: ModelState
    change: ChangeKind
    problem: str | None = None
    """Why it failed."""


@dataclass(frozen=True, kw_only=True)
class CatalogBase:
    """What the service was deployed with."""

    settings: Settings
    """Without the operator's token, for which a store is no place."""
    entries: tuple[CatalogEntry, ...]
    """The models of the settings."""
    serve: str
    """Which Ray Serve: another one has none of the applications that the one before had."""

    def __post_init__(self) -> None:
        settings = self.settings.model_copy(update={"admin_token": SecretStr("")})
        object.__setattr__(self, "settings", settings)


@dataclass(frozen=True, kw_only=True)
class CatalogChanges:
    """What the service was deployed with, and what was changed since."""

    version: int = 0
    """Counts the changes of this object."""
    base: CatalogBase | None = None
    """None before the first gateway has started."""
    adopting: bool = False
    """Whether the models of a new base take the place of those before."""
    entries: Mapping[str, CatalogEntry | None] = field(default_factory=dict)
    """By id: what was added or reloaded; None for what was removed."""
    statuses: Mapping[str, ModelStatus] = field(default_factory=dict)
    """By id, of the models whose last change is in work or has failed."""

    @property
    def in_work(self) -> bool:
        """Whether a change is in work."""
        return self.adopting or any(
            status.state in (ModelState.LOADING, ModelState.REMOVING)
            for status in self.statuses.values()
        )

    def applied_to(self, base: Iterable[CatalogEntry]) -> tuple[CatalogEntry, ...]:
        """The models that there are now, those of the base in its order.

        A base that has got another record for a model since, or none any more, is newer than its
        change.

        Args:
            base: in place of the stored one, if there is none.
        """
        if self.base is not None:
            base = self.base.entries
        current: dict[str, CatalogEntry | None] = {entry.id: entry for entry in base}
        for name, entry in self.entries.items():
            known = current.get(name)
            record = None if known is None else known.record
            if entry is None or entry.base_record == record:
                current[name] = entry
        return tuple(entry for entry in current.values() if entry is not None)

    def with_base(self, base: CatalogBase, *, adopting: bool) -> CatalogChanges:
        """These changes, over another base."""
        return replace(self, version=self.version + 1, base=base, adopting=adopting)

    def with_adopting(self, adopting: bool) -> CatalogChanges:
        """These changes, while a new base is taken over, or not."""
        return replace(self, version=self.version + 1, adopting=adopting)

    def with_entry(self, entry: CatalogEntry) -> CatalogChanges:
        """These changes, with a model that is new or was loaded anew."""
        return replace(self, version=self.version + 1, entries={**self.entries, entry.id: entry})

    def without_entry(self, name: str, *, hides: bool) -> CatalogChanges:
        """These changes, without a model; `hides` says whether it belongs to the base."""
        entries = {key: entry for key, entry in self.entries.items() if key != name}
        if hides:
            entries[name] = None
        return replace(self, version=self.version + 1, entries=entries)

    def with_status(self, name: str, status: ModelStatus | None) -> CatalogChanges:
        """These changes, with the status of a model; None forgets it."""
        statuses = {key: value for key, value in self.statuses.items() if key != name}
        if status is not None:
            statuses[name] = status
        failed = [key for key, value in statuses.items() if value.state is ModelState.FAILED]
        for key in failed[: max(0, len(statuses) - _MOST_STATES)]:
            del statuses[key]
        return replace(self, version=self.version + 1, statuses=statuses)
