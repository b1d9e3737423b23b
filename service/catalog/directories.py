"""Entries of the catalog, read from models' directories without loading them, and their placement.

Free of Ray and of tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from model.checkpoints.checksums import fingerprint
from model.checkpoints.embedded import EMBEDDED, model_directory
from model.checkpoints.manifest import read_manifest
from model.config import EngineConfig
from model.engine.backends import may_use_cuda
from model.errors import InvalidRequestError
from model.memory import model_memory
from model.network.memory import WEIGHT_BYTES
from model.network.shapes import num_parameters
from model.text.languages import Languages
from service.catalog.entry import CatalogEntry, own_autoscaling
from service.protocol import HostedModel, ModelInfo
from service.settings import ModelRecord, Settings

__all__ = [
    "catalog_of",
    "check_names",
    "engine_config",
    "model_id",
    "model_records",
    "read_entry",
]

_SHARED_BYTES = 256 * 2**20
"""Largest model that shares replicas unasked, with `_SLOTS` slots."""
_SLOTS = 64


def model_records(settings: Settings) -> list[ModelRecord]:
    """The records of the settings; those of the embedded models by default."""
    return [
        ModelRecord(model=given) if isinstance(given, str) else given
        for given in settings.models or EMBEDDED
    ]


def model_id(record: ModelRecord) -> str:
    """The id of a model."""
    return record.id or model_directory(record.model).resolve().name


def engine_config(settings: Settings) -> EngineConfig:
    """The engine of each replica: as many threads as Ray reserves CPUs for it, unless set, and as
    large a share of a GPU's memory as of the GPU."""
    share = settings.num_gpus_per_replica
    config = replace(settings.engine.to_config(), gpu_share=share if 0 < share < 1 else 1.0)
    if config.num_threads is not None:
        return config
    return replace(config, num_threads=max(1, int(settings.num_cpus_per_replica)))


def catalog_of(settings: Settings) -> tuple[CatalogEntry, ...]:
    """The catalog of the settings, read from the models' directories.

    Raises:
        CheckpointError: a directory is missing, or its `config.json` damaged.
        InvalidRequestError: there are too many models, two have one name, or a record asks for
            what the model does not have.
    """
    entries = tuple(read_entry(record, settings) for record in model_records(settings))
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
    record: ModelRecord, settings: Settings, *, revision: int | None = None
) -> CatalogEntry:
    """The entry of a record, from the `config.json` of its directory.

    Args:
        revision: of a model that was added or reloaded; None for one of the settings, which is
            called after what is loaded.

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
    engine = _own_engine(record, engine_config(settings))
    device, dtype = _device_and_dtype(engine, settings)
    if settings.single_process:
        _check_for_single_process(record, name, device)
    # On a CPU, also for a GPU: what is on that one is Ray's affair.
    dtype_there = dtype if dtype in WEIGHT_BYTES else "float32"
    memory = model_memory(
        directory,
        replace(engine, device="cpu", dtype=dtype_there, num_threads=1, max_slots=_SLOTS),
    )
    fits = device == "cpu" and memory.loaded + memory.working <= _SHARED_BYTES
    shared = _is_shared(record, settings, fits=fits)
    if not shared and "#" in name:  # Serve parts the names of its replicas there
        raise InvalidRequestError(
            f"`id` of a model with replicas of its own must not have '#', but is {name!r}"
        )
    scaling = own_autoscaling(record, settings)
    return CatalogEntry(
        record=record,
        hosted=_hosted(record, directory, revision),
        info=ModelInfo(
            name=name,
            languages=_languages(record, manifest.metadata.languages, name),
            device=device,
            dtype=dtype,
            num_parameters=num_parameters(manifest.config),
            max_source_tokens=manifest.metadata.max_source_tokens or manifest.config.max_positions,
            generation=replace(manifest.generation, **record.generation),
        ),
        shared=shared,
        loaded_bytes=memory.loaded,
        can_sleep=not shared and scaling is not None and scaling.min_replicas == 0,
    )


def _hosted(record: ModelRecord, directory: Path, revision: int | None) -> HostedModel:
    """What a replica must know of a model."""
    name = model_id(record)
    hosted = HostedModel(
        key=f"{name}@{revision}",
        id=name,
        directory=_known_everywhere(directory),
        device=record.device,
        dtype=record.dtype,
        generation=record.generation,
        fingerprint=fingerprint(directory),
    )
    if revision is not None:
        return hosted
    digest = hashlib.sha256(json.dumps(asdict(hosted), sort_keys=True).encode()).hexdigest()
    return replace(hosted, key=f"{name}@{digest[:8]}")


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


def _is_shared(record: ModelRecord, settings: Settings, *, fits: bool) -> bool:
    if settings.single_process:
        return True
    if record.placement != "auto":
        return record.placement == "shared"
    if record.replicas or record.autoscaling or settings.autoscaling or settings.replicas > 1:
        return False
    return fits


def _check_for_single_process(record: ModelRecord, name: str, device: str) -> None:
    """InvalidRequestError for what takes other processes, or more than CPUs."""
    if record.placement == "dedicated" or record.replicas or record.autoscaling:
        raise InvalidRequestError(
            f"{name} must not ask for replicas of its own (`placement` dedicated, `replicas`, "
            "`autoscaling`) in a single process, but does"
        )
    if device != "cpu":
        raise InvalidRequestError(
            f"`device` of {name} must be cpu in a single process, but is {device}"
        )


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
