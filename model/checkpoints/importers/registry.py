"""Imports a model of whatever format it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from model.checkpoints.checkpoint import write_checkpoint
from model.checkpoints.importers.argos import argos_packages, is_argos, read_argos
from model.checkpoints.importers.ctranslate2 import is_ctranslate2, read_ctranslate2
from model.checkpoints.importers.huggingface import is_huggingface, read_huggingface
from model.checkpoints.importers.imported import ImportedModel, ImportOptions, ImportReport
from model.checkpoints.importers.marian import is_marian, read_marian
from model.errors import CheckpointError
from model.network.shapes import num_parameters

__all__ = ["FORMATS", "Format", "import_model", "models_in", "read_model", "write_model"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of checkpoints."""

    title: str
    """What it is called to users."""
    detect: Callable[[Path], bool]
    """Whether a file or folder is of it; a look at names and first bytes."""
    read: Callable[[Path, ImportOptions], ImportedModel]
    """Reads it; CheckpointError with all reasons if it cannot be."""
    takes: frozenset[str] = frozenset()
    """Those of the options `tokenizer`, `languages` and `texts` that it reads."""


FORMATS = (
    Format(
        title="Marian's or Firefox's (.npz or .bin, its vocabularies beside it)",
        detect=is_marian,
        read=read_marian,
    ),
    Format(
        title="CTranslate2 (a folder with model.bin and vocabularies)",
        detect=is_ctranslate2,
        read=read_ctranslate2,
        takes=frozenset({"tokenizer", "languages", "texts"}),
    ),
    Format(
        title="Argos Translate (an .argosmodel, or the folder of an installed package)",
        detect=is_argos,
        read=read_argos,
    ),
    Format(
        title="the Hugging Face Hub (a folder with config.json, weights and vocabularies)",
        detect=is_huggingface,
        read=read_huggingface,
        takes=frozenset({"languages", "texts"}),
    ),
)
"""All formats, in the order in which they are tried."""


def import_model(
    source: Path,
    to: Path,
    *,
    name: str | None = None,
    version: str = "1",
    source_languages: Iterable[str] = (),
    target_languages: Iterable[str] = (),
    license: str | None = None,
    tokenizer: Iterable[Path] = (),
    languages: Iterable[str] = (),
    texts: Iterable[str] = (),
    target_in_source: bool | None = None,
) -> ImportReport:
    """Writes a model directory of another project's checkpoint, whole or not at all.

    Args:
        source: a folder, or the file of weights in one.
        to: the model directory; one that is there is replaced.
        name, version, source_languages, target_languages, license: of the model; where they are not
            given, what the source says or what is usual there.
        tokenizer: the SentencePiece model, or that of the source and that of the target, where a
            model lies without them.
        languages: of a model of many languages, those that are kept: its vocabulary becomes what
            they need.
        texts: lines on which it is shown that the shorter vocabulary changes nothing.
        target_in_source: of a model of many languages, whether the source is what names the
            target's language, as for SMaLL-100; None: as its files suggest.

    Raises:
        CheckpointError: `source` is of no known format, or cannot be imported, with all reasons.
    """
    options = ImportOptions(
        name=name,
        version=version,
        source_languages=tuple(source_languages),
        target_languages=tuple(target_languages),
        license=license,
        tokenizer=tuple(tokenizer),
        languages=tuple(languages),
        texts=tuple(texts),
        target_in_source=target_in_source,
    )
    return write_model(read_model(source, options), to)


def read_model(source: Path, options: ImportOptions) -> ImportedModel:
    """Reads a model of any format, of which everything but the values of its weights is checked.

    Args:
        source: a folder, or the file of weights in one.
        options: what the user says of it.

    Raises:
        CheckpointError: `source` is of no known format, or cannot be imported, with all reasons.
    """
    format_ = _format(source)
    for name in ("tokenizer", "languages", "texts"):
        if getattr(options, name) and name not in format_.takes:
            raise CheckpointError(
                f"`{name}` must not be given for {source}, of which it would change nothing"
            )
    imported = format_.read(source, options)
    origin = imported.metadata.origin
    if options.origin is None or origin is None:
        return imported
    address, revision = options.origin
    origin = replace(origin, source=address, revision=revision or origin.revision)
    return replace(imported, metadata=replace(imported.metadata, origin=origin))


def write_model(imported: ImportedModel, to: Path, *, replace_model: bool = True) -> ImportReport:
    """Writes the model directory `to`, whole or not at all.

    Args:
        imported: what was read.
        to: the directory.
        replace_model: whether a model that is there is replaced.

    Raises:
        CheckpointError: a value cannot be read or written, or a model is there that must stay.
    """
    config = imported.weights.config
    write_checkpoint(
        to,
        ((each, imported.weights.array(each)) for each in imported.weights.shapes),
        config,
        imported.tokenizer_files,
        imported.metadata,
        # What only ends loops; the rest is as the model was used.
        replace(imported.generation, limit_repeats=True),
        shortlist=imported.shortlist,
        dtype="float32",
        replace_model=replace_model,
    )
    return ImportReport(
        directory=to,
        metadata=imported.metadata,
        num_parameters=num_parameters(config),
        notes=imported.notes,
    )


def models_in(source: Path) -> list[Path]:
    """What can be imported of `source`: itself, or the packages of Argos Translate in a folder.

    Raises:
        CheckpointError: there is nothing in it.
    """
    if not os.path.isdir(source) or any(each.detect(source) for each in FORMATS):
        return [source]
    try:
        return argos_packages(source)
    except CheckpointError:
        return [source]  # which is refused with all that it could be


def _format(source: Path) -> Format:
    if not os.path.exists(source):  # unlike Path's, it takes any name
        raise CheckpointError(f"a model to import must be a file or a folder, but {source} is none")
    for each in FORMATS:
        if each.detect(source):
            return each
    known = ", or ".join(each.title for each in FORMATS)
    raise CheckpointError(
        f"{source} must be a model of {known}, but is not: convert others, such as fairseq's or "
        "OpenNMT-py's, with CTranslate2, and import what it makes"
    )
