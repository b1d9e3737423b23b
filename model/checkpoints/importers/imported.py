"""What an importer makes of a source: everything that a model directory holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.checkpoints.importers.tensors import ImportedWeights
from model.checkpoints.manifest import ModelMetadata
from model.checkpoints.shortlist import Shortlist
from model.config import GenerationConfig

__all__ = ["ImportOptions", "ImportReport", "ImportedModel"]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What the one who imports a model says of it; None and empty: what its files say."""

    name: str | None = None
    version: str = "1"
    source_languages: tuple[str, ...] = ()
    target_languages: tuple[str, ...] = ()
    license: str | None = None
    tokenizer: tuple[Path, ...] = ()
    """The SentencePiece model, or that of the source and that of the target, where a model lies
    without them."""
    languages: tuple[str, ...] = ()
    """Languages that are kept of a model of many, with the vocabulary that they need."""
    texts: tuple[str, ...] = ()
    """Lines on which it is shown that a shorter vocabulary changes nothing."""
    target_in_source: bool | None = None
    """Whether the source names the target's language, in a model of many, as for SMaLL-100."""
    origin: tuple[str, str | None] | None = None
    """Where it was fetched from, and which revision; None: the place of its files."""


@dataclass(frozen=True, kw_only=True)
class ImportedModel:
    """A model that has been checked, but not yet read or written."""

    weights: ImportedWeights
    tokenizer_files: dict[str, bytes]
    metadata: ModelMetadata
    generation: GenerationConfig
    shortlist: Shortlist | None = None
    notes: tuple[str, ...] = ()
    """What is not as it was at the source; sentences."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What has been imported."""

    directory: Path
    """The model directory that has been written."""
    metadata: ModelMetadata
    num_parameters: int
    notes: tuple[str, ...]
    """What is not as it was at the source; sentences."""
