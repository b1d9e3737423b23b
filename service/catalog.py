"""The catalog: which models the service has, what is known of each, and where each one runs.

Models of the settings are its base. What is changed while it serves lies over the base, one entry
for each model that was added, reloaded or removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from service.protocol import HostedModel, ModelInfo
from service.settings import Autoscaling, ModelRecord, Settings

__all__ = [
    "POOL",
    "CatalogChanges",
    "CatalogEntry",
    "ChangeKind",
    "ModelState",
    "ModelStatus",
    "own_autoscaling",
]

POOL = "TranslatorPool"
"""Name of the deployment of the models that share replicas."""
_MOST_STATES = 64
"""States of models that are kept: those of changes that failed would pile up else."""


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """One model of the catalog."""

    record: ModelRecord
    hosted: HostedModel
    info: ModelInfo
    shared: bool
    """Whether it is loaded on demand, by replicas that hold many."""
    application: str | None
    """The Serve application of its deployment; None for that of the gateways."""
    deployment: str
    loaded_bytes: int
    """Memory that it takes in a replica which does not use it, on a CPU."""
    can_sleep: bool = False
    """Whether it may have no replica at all."""
    base_record: ModelRecord | None = None
    """For a change: the record that the base had for the id when it was made."""

    @property
    def id(self) -> str:
        """What clients and operators call it."""
        return self.hosted.id

    def autoscaling(self, settings: Settings) -> Autoscaling | None:
        """How its own replicas follow the load; None for a fixed number of them."""
        return own_autoscaling(self.record, settings)

    def num_replicas(self, settings: Settings) -> int:
        """The number of its own replicas where it is fixed."""
        return self.record.replicas or settings.replicas

    def least_replicas(self, settings: Settings) -> int:
        """The number of its own replicas that are always there."""
        scaling = self.autoscaling(settings)
        return self.num_replicas(settings) if scaling is None else scaling.min_replicas

    @property
    def names(self) -> tuple[str, ...]:
        """The id and the aliases."""
        return (self.id, *self.record.aliases)


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
class CatalogChanges:
    """What was changed since the service was deployed."""

    version: int = 0
    """Counts the changes of this object."""
    entries: Mapping[str, CatalogEntry | None] = field(default_factory=dict)
    """By id: what was added or reloaded; None for what was removed."""
    statuses: Mapping[str, ModelStatus] = field(default_factory=dict)
    """By id, of the models whose last change is in work or has failed."""

    @property
    def in_work(self) -> bool:
        """Whether a change is in work."""
        return any(
            status.state in (ModelState.LOADING, ModelState.REMOVING)
            for status in self.statuses.values()
        )

    def applied_to(self, base: Iterable[CatalogEntry]) -> tuple[CatalogEntry, ...]:
        """The models that there are now, those of the base in its order.

        A base that has got another record for a model since is newer than its change.
        """
        current: dict[str, CatalogEntry | None] = {entry.id: entry for entry in base}
        for name, entry in self.entries.items():
            known = current.get(name)
            if entry is None or known is None or entry.base_record == known.record:
                current[name] = entry
        return tuple(entry for entry in current.values() if entry is not None)

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


def own_autoscaling(record: ModelRecord, settings: Settings) -> Autoscaling | None:
    """How a model's own replicas follow the load; None for a fixed number of them."""
    return record.autoscaling or (None if record.replicas else settings.autoscaling)
