"""The catalog: which models the service has, what is known of each without loading it, and where
each one runs. Free of Ray and of tensors.

Models of the settings are its base. What is changed while it serves lies over the base, one entry
for each model that was added, reloaded or removed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from model.checkpoints.embedded import EMBEDDED, model_directory
from model.checkpoints.manifest import Manifest, read_manifest
from model.config import EngineConfig
from model.engine.backends import may_use_cuda
from model.errors import InvalidRequestError
from model.network.memory import WEIGHT_BYTES, slot_bytes, weights_bytes
from model.network.shapes import num_parameters
from model.text.languages import Languages
from service.protocol import HostedModel, ModelInfo
from service.settings import Autoscaling, ModelRecord, Settings

__all__ = [
    "POOL",
    "CatalogChanges",
    "CatalogEntry",
    "ChangeKind",
    "ModelState",
    "ModelStatus",
    "catalog_of",
    "check_names",
    "engine_config",
    "model_id",
    "model_records",
    "read_entry",
    "require_memory",
]

POOL = "TranslatorPool"
"""Name of the deployment of the models that share replicas."""
_SHARED_BYTES = 256 * 2**20
"""Largest model that shares replicas unasked, with `_SLOTS` slots."""
_SLOTS = 64
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
    weights_bytes: int
    """Of memory, in one replica."""
    can_sleep: bool = False
    """Whether it may have no replica at all."""

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
        """The models that there are now, those of the base in its order."""
        current: dict[str, CatalogEntry | None] = {entry.id: entry for entry in base}
        current.update(self.entries)
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


def model_records(settings: Settings) -> list[ModelRecord]:
    """The records of the settings; those of the embedded models by default."""
    return [
        ModelRecord(model=given) if isinstance(given, str) else given
        for given in settings.models or EMBEDDED
    ]


def own_autoscaling(record: ModelRecord, settings: Settings) -> Autoscaling | None:
    """How a model's own replicas follow the load; None for a fixed number of them."""
    return record.autoscaling or (None if record.replicas else settings.autoscaling)


def model_id(record: ModelRecord) -> str:
    """The id of a model."""
    return record.id or model_directory(record.model).resolve().name


def engine_config(settings: Settings) -> EngineConfig:
    """The engine of each replica: as many threads as Ray reserves CPUs for it, unless set."""
    config = settings.engine.to_config()
    if config.num_threads is not None:
        return config
    return replace(config, num_threads=max(1, int(settings.num_cpus_per_replica)))


def catalog_of(settings: Settings, *, application: str | None = None) -> tuple[CatalogEntry, ...]:
    """The catalog of the settings, read from the models' directories.

    Args:
        application: name of the gateways' application where each dedicated model has one of its
            own, called after it; None where the gateways' has them all.

    Raises:
        CheckpointError: a directory is missing, or its `config.json` damaged.
        InvalidRequestError: there are too many models, two have one name, or a record asks for
            what the model does not have.
    """
    entries = tuple(
        read_entry(record, settings, application=application) for record in model_records(settings)
    )
    check_names(entries, settings)
    return entries


def check_names(entries: Sequence[CatalogEntry], settings: Settings) -> None:
    """InvalidRequestError for too many models, or two of one name."""
    if len(entries) > settings.max_models:
        raise InvalidRequestError(
            f"there must be at most {settings.max_models} models, but there are {len(entries)}"
        )
    known: dict[str, str] = {}
    for entry in entries:
        for name in entry.names:
            if name in known:
                raise InvalidRequestError(
                    f"models must have different names, but two are called {name!r}"
                )
            known[name] = entry.id


def read_entry(
    record: ModelRecord, settings: Settings, *, revision: int = 1, application: str | None = None
) -> CatalogEntry:
    """The entry of a record, from the `config.json` of its directory.

    Args:
        revision: grows with each reload.
        application: as for `catalog_of`.

    Raises:
        CheckpointError, InvalidRequestError: as for `catalog_of`.
    """
    directory = model_directory(record.model).resolve()
    manifest = read_manifest(directory)
    name = model_id(record)
    if not name.isprintable():  # it is in Ray's logs and metrics
        raise InvalidRequestError(
            f"models must be directories of printable names, but one is called {name!r}"
        )
    key = f"{name}@{revision}"
    engine = _own_engine(record, engine_config(settings))
    device, dtype = _device_and_dtype(engine, settings)
    shared = _is_shared(record, settings, manifest, device, dtype)
    scaling = own_autoscaling(record, settings)
    return CatalogEntry(
        record=record,
        hosted=HostedModel(
            key=key,
            id=name,
            directory=_known_everywhere(directory),
            device=record.device,
            dtype=record.dtype,
            generation=record.generation,
        ),
        info=ModelInfo(
            name=manifest.metadata.name,
            languages=_languages(record, manifest.metadata.languages, name),
            device=device,
            dtype=dtype,
            num_parameters=num_parameters(manifest.config),
            max_source_tokens=manifest.metadata.max_source_tokens or manifest.config.max_positions,
            generation=replace(manifest.generation, **record.generation),
        ),
        shared=shared,
        application=None if shared or application is None else f"{application}@{key}",
        deployment=POOL if shared else f"Translator-{name}",
        weights_bytes=weights_bytes(manifest.config, _stored(dtype)),
        can_sleep=not shared and scaling is not None and scaling.min_replicas == 0,
    )


def require_memory(entry: CatalogEntry, available: int) -> None:
    """InvalidRequestError for a model that cannot fit into `available` bytes of memory."""
    if entry.info.device == "cpu" and entry.weights_bytes > available:
        raise InvalidRequestError(
            f"{entry.id} must fit into the memory that is left, {_mebibytes(available)} MiB, but "
            f"its weights alone take {_mebibytes(entry.weights_bytes)} MiB in {entry.info.dtype}"
        )


def _mebibytes(size: int) -> int:
    return math.ceil(size / 2**20)


def _own_engine(record: ModelRecord, engine: EngineConfig) -> EngineConfig:
    return replace(
        engine, device=record.device or engine.device, dtype=record.dtype or engine.dtype
    )


def _device_and_dtype(engine: EngineConfig, settings: Settings) -> tuple[str, str]:
    """What a replica will take, which may be on another machine than this one."""
    on_gpu = engine.device not in ("auto", "cpu") or (
        engine.device == "auto" and settings.num_gpus_per_replica > 0 and may_use_cuda(engine)
    )
    device = "cpu" if not on_gpu else "cuda" if engine.device == "auto" else engine.device
    if engine.dtype != "auto":
        return device, engine.dtype
    if on_gpu:
        return device, "bfloat16"
    return device, "float32" if engine.backend == "eager" else "int8"


def _is_shared(
    record: ModelRecord, settings: Settings, manifest: Manifest, device: str, dtype: str
) -> bool:
    if record.placement != "auto":
        return record.placement == "shared"
    if record.replicas or record.autoscaling or settings.autoscaling or settings.replicas > 1:
        return False
    dtype = _stored(dtype)
    size = weights_bytes(manifest.config, dtype) + _SLOTS * slot_bytes(manifest.config, dtype)
    return device == "cpu" and size <= _SHARED_BYTES


def _stored(dtype: str) -> str:
    return dtype if dtype in WEIGHT_BYTES else "float32"


def _known_everywhere(directory: Path) -> str:
    """An embedded model by its name: another node may have the project installed elsewhere."""
    embedded = {place.resolve(): name for name, place in EMBEDDED.items()}
    return embedded.get(directory, str(directory))


def _languages(record: ModelRecord, languages: Languages, name: str) -> Languages:
    if record.languages is None:
        return languages
    wanted = {code.casefold() for code in record.languages}
    known = {code.casefold() for code in (*languages.sources, *languages.targets)}
    if missing := sorted(wanted - known):
        raise InvalidRequestError(
            f"`languages` of {name} must be ones that it has, but {missing[0]!r} is not"
        )
    kept = Languages(
        sources=tuple(code for code in languages.sources if code.casefold() in wanted),
        targets=tuple(code for code in languages.targets if code.casefold() in wanted),
    )
    if not kept.num_pairs:
        raise InvalidRequestError(
            f"`languages` of {name} must have a pair of its languages, but has none"
        )
    return kept
