"""Importer of Argos Translate's packages: `.argosmodel` files, and the folders of installed ones.

A package is a CTranslate2 model of one pair of languages with the SentencePiece model that cuts its
text. What cuts its sentences is not taken.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.checkpoints.files import open_file
from model.checkpoints.importers.archive_files import ARCHIVE_ERRORS, ArchiveFiles, check_archive
from model.checkpoints.importers.ctranslate2 import WEIGHTS, given_pieces, read_folder
from model.checkpoints.importers.huggingface_options import read_object
from model.checkpoints.importers.imported import ImportedModel, ImportOptions
from model.checkpoints.importers.licenses import UNKNOWN_LICENSE, card_license, license_notes
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import SourceFiles
from model.checkpoints.manifest import ModelMetadata, Origin
from model.config import GenerationConfig, LengthNormalization
from model.errors import CheckpointError, InvalidRequestError

__all__ = ["argos_packages", "is_argos", "read_argos"]

_METADATA = "metadata.json"
_MODEL = "model"
_PIECES = "sentencepiece.model"
_CODES = "bpe.model"
_SUFFIX = ".argosmodel"
_GENERATION = GenerationConfig(
    beam_size=4, length_penalty=0.2, length_normalization=LengthNormalization.MEAN
)
"""How Argos Translate searches."""
_NOTES = (
    "Sentences are cut by this service's rules, not by Stanza or MiniSBD, as in Argos Translate.",
    "What the model does not know is left out; Argos Translate copies a word of the source.",
)


def is_argos(source: Path) -> bool:
    """Whether a file is an archive with one package, or is called like one, or a folder has one."""
    if source.suffix == _SUFFIX and not source.is_dir():
        return True
    try:
        with _opened(source) as package:
            return _METADATA in package.outer.names() and WEIGHTS in package.inner.names()
    except CheckpointError:
        return False


def argos_packages(source: Path) -> list[Path]:
    """The packages in a folder, sorted; itself, if it is one.

    Raises:
        CheckpointError: there are none.
    """
    if is_argos(source):
        return [source]
    there = [source / name for name in SourceFiles(source).names()]
    if not (found := [path for path in there if is_argos(path)]):
        raise CheckpointError(f"{source} must have packages of Argos Translate, but has none")
    return found


def read_argos(source: Path, options: ImportOptions) -> ImportedModel:
    """Reads a package, of which everything but the values of its weights is checked.

    Args:
        source: the archive, or the folder of an installed package.
        options: what the user says of it.

    Raises:
        CheckpointError: with all that stands against it.
    """
    problems = Problems(source)
    with _opened(source) as package:
        values = read_object(package.outer, _METADATA, needed=True)
        pair = _pair(values, problems)
        options = replace(
            options,
            source_languages=options.source_languages or pair[:1],
            target_languages=options.target_languages or pair[1:],
        )
        read = read_folder(
            package.inner,
            WEIGHTS,
            options,
            problems,
            pieces=_pieces(package.outer, options, problems),
            target_prefix=str(values.get("target_prefix") or ""),
        )
        license_ = card_license(package.outer)
        checksums = package.checksums()
    try:
        metadata = ModelMetadata(
            name=options.name or f"argos-{'-'.join((*read.sources, *read.targets))}",
            version=options.version,
            source_languages=read.sources,
            target_languages=read.targets,
            license=options.license or license_ or UNKNOWN_LICENSE,
            tokenizer=read.tokenizer,
            origin=Origin(
                source=str(source.resolve()),
                format="Argos Translate",
                revision=str(values["package_version"]) if "package_version" in values else None,
                sha256=checksums,
            ),
        )
    except InvalidRequestError as error:
        problems.add(str(error))
        problems.raise_any()
        raise
    return ImportedModel(
        weights=read.weights,
        tokenizer_files=read.tokenizer_files,
        metadata=metadata,
        generation=_GENERATION,
        notes=(*read.notes, *_NOTES, *license_notes(metadata)),
    )


@dataclass(frozen=True, kw_only=True)
class _Package:
    """The files of a package, and those of the model in it."""

    outer: SourceFiles
    inner: SourceFiles

    def checksums(self) -> dict[str, str]:
        """What has been read, by the names within the package."""
        inner = {f"{_MODEL}/{name}": each for name, each in self.inner.checksums.items()}
        return self.outer.checksums | inner


@contextmanager
def _opened(source: Path) -> Iterator[_Package]:
    if source.is_dir():
        yield _Package(outer=SourceFiles(source), inner=SourceFiles(source / _MODEL))
        return
    with open_file(source.parent, source.name) as file:
        try:
            archive = zipfile.ZipFile(file)
        except ARCHIVE_ERRORS as error:
            raise CheckpointError(f"{source} must be a zip archive, but is none: {error}") from None
        with archive:
            check_archive(source, archive)
            tops = [
                name.removesuffix(_METADATA)
                for name in archive.namelist()
                if name.endswith(f"/{_METADATA}") and name.count("/") == 1
            ]
            if len(tops) != 1:
                raise CheckpointError(
                    f"{source} must have one folder with {_METADATA}, but has {len(tops)}"
                )
            yield _Package(
                outer=ArchiveFiles(source, archive, tops[0]),
                inner=ArchiveFiles(source, archive, f"{tops[0]}{_MODEL}/"),
            )


def _pair(values: Mapping[str, Any], problems: Problems) -> tuple[str, ...]:
    """The languages of the source and of the target; none if that is a problem."""
    if (kind := values.get("type", "translate")) != "translate":
        problems.add(
            f"it must be a package that translates, but is of the type {str(kind)[:100]!r}"
        )
    codes = [values.get("from_code"), values.get("to_code")]
    if all(isinstance(code, str) and code for code in codes):
        return tuple(map(str, codes))
    return ()


def _pieces(files: SourceFiles, options: ImportOptions, problems: Problems) -> dict[str, bytes]:
    if (given := given_pieces(files, options)) is not None:
        return given
    names = files.names()
    if _PIECES in names:
        return {_PIECES: files.read(_PIECES)}
    if _CODES in names:
        problems.add(
            f"its text is cut by {_CODES}, the merges of subword-nmt after Moses' tokenizer, which "
            "is not supported: install a newer version of the package, with "
            f"{_PIECES}"
        )
    else:
        problems.add(f"it must have {_PIECES}, but has not")
    return {}
