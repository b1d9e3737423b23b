"""Which files of a folder make a Marian model, and the settings it is meant to be decoded with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from model.checkpoints.importers.marian_binary import MarianBinary, is_marian_binary
from model.checkpoints.importers.marian_npz import MarianNpz, is_zip
from model.checkpoints.importers.marian_options import read_yaml
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import MAX_MODEL_BYTES, SourceFiles
from model.errors import CheckpointError

__all__ = ["MarianFiles", "find_marian_files", "read_tensors", "weight_files"]

_WEIGHTS = re.compile(r".*\.(npz|bin)(\.gz)?")
_LEXICON = re.compile(r"lex\..*s2t(\.bin)?(\.gz)?")
_VOCABULARIES = (
    (re.compile(r"src-?vocab\..*spm(\.gz)?"), re.compile(r"trg-?vocab\..*spm(\.gz)?")),
    (re.compile(r"(.*\.)?vocab\.(.*\.)?spm(\.gz)?"),) * 2,
    (re.compile(r"source\.spm"), re.compile(r"target\.spm")),
    (re.compile(r"(.*\.)?vocab\.ya?ml"),) * 2,
)
"""Names of the vocabularies of the source and the target, the more telling first."""


@dataclass(frozen=True, kw_only=True)
class MarianFiles:
    """Names of the files of one model."""

    weights: str
    vocabularies: tuple[str, str]
    """Source's and target's: SentencePiece models, or YAML."""
    pieces: tuple[str, str] | None = None
    """With vocabularies in YAML: the SentencePiece models that cut the text."""
    lexicon: str | None = None
    decoder: dict[str, Any] = field(default_factory=dict)
    """The settings of decoder.yml, if there is one."""


def weight_files(files: SourceFiles) -> list[str]:
    """Those files of a folder that look like weights of Marian's."""
    return [
        name
        for name in files.names()
        if _WEIGHTS.fullmatch(name) and "optimizer" not in name and _is_weights(files, name)
    ]


def _is_weights(files: SourceFiles, name: str) -> bool:
    begin = files.begin(name)
    return is_zip(begin) if ".npz" in name else is_marian_binary(begin)


def read_tensors(files: SourceFiles, name: str) -> MarianBinary | MarianNpz:
    """The tensors of a file of weights.

    Raises:
        CheckpointError: it cannot be read.
    """
    content = files.read(name, MAX_MODEL_BYTES)
    try:
        return MarianNpz(content) if is_zip(content) else MarianBinary(content)
    except CheckpointError as error:
        raise CheckpointError(f"{files.directory / name}: {error}") from error


def find_marian_files(
    files: SourceFiles, weights: str | None, problems: Problems
) -> MarianFiles | None:
    """The files of a model.

    Args:
        files: of the folder.
        weights: the name of the file of weights, if it is known.
        problems: told what is missing or cannot be decided.

    Returns:
        None if there are problems.
    """
    names = files.names()
    decoder = _decoder_settings(files, names, weights)
    weights = weights or _weights(files, decoder, problems)
    vocabularies = _vocabularies(names, decoder)
    if vocabularies is None:
        problems.add(
            "its vocabularies must be beside it, as decoder.yml, vocab.spm, source.spm and "
            "target.spm, or vocab.yml, but are not"
        )
    pieces = None
    if vocabularies and not all(".spm" in name for name in vocabularies):
        pieces = _both(names, *_VOCABULARIES[2]) or _both(names, re.compile(r".*\.spm"))
        if pieces is None:
            problems.add(
                f"the SentencePiece models that cut text for {vocabularies[0]} must be beside it, "
                "as source.spm and target.spm, but are not: other ways to cut it, as by "
                "subword-nmt, are not supported"
            )
    if weights is None or vocabularies is None:
        return None
    return MarianFiles(
        weights=weights,
        vocabularies=vocabularies,
        pieces=pieces,
        lexicon=_lexicon(names, decoder, problems),
        decoder=decoder,
    )


def _decoder_settings(files: SourceFiles, names: Sequence[str], weights: str | None) -> Any:
    """What a configuration of Marian's decoder in the folder says, if one is of these weights."""
    for name in sorted(names, key=lambda name: ("decoder" not in name, name)):
        if not re.fullmatch(r"(.*\.)?(decoder|config)\b.*\.ya?ml", name):
            continue
        settings = read_yaml(files.read(name, 2**20), name)
        models = _names(settings.get("models"))
        if models and (weights is None or weights.removesuffix(".gz") in models):
            return settings
    return {}


def _weights(files: SourceFiles, decoder: dict[str, Any], problems: Problems) -> str | None:
    found = weight_files(files)
    models = _names(decoder.get("models"))
    if len(models) > 1:
        problems.add(f"it must be one model, but decoder.yml lists {len(models)}: no ensembles")
    named = [name for name in found if name.removesuffix(".gz") in models]
    found = named or found
    if len(found) != 1:
        problems.add(
            f"{files.directory} must have one file of weights, but has "
            f"{', '.join(found) or 'none'}: name the file"
        )
        return None
    return found[0]


def _vocabularies(names: Sequence[str], decoder: dict[str, Any]) -> tuple[str, str] | None:
    listed = [
        found
        for name in _names(decoder.get("vocabs"))
        if (found := next((each for each in (name, f"{name}.gz") if each in names), None))
    ]
    if len(listed) == 2:
        return listed[0], listed[1]
    for patterns in _VOCABULARIES:
        if both := _both(names, *patterns):
            return both
    return None


def _both(names: Sequence[str], *patterns: re.Pattern[str]) -> tuple[str, str] | None:
    """The only names that fit the first and the last of the patterns."""
    sides = [[name for name in names if pattern.fullmatch(name)] for pattern in patterns]
    if any(len(side) != 1 for side in sides):
        return None
    return sides[0][0], sides[-1][0]


def _lexicon(names: Sequence[str], decoder: dict[str, Any], problems: Problems) -> str | None:
    listed = _names(decoder.get("shortlist"))[:1]
    found = [name for name in names if name.removesuffix(".gz") in listed]
    found = found or [name for name in names if _LEXICON.fullmatch(name)]
    binary = [name for name in found if ".bin" in name] or found
    if len(binary) > 1:
        problems.add(f"it must have at most one lexicon, but has {', '.join(binary)}")
    return binary[0] if binary else None


def _names(values: Any) -> list[str]:
    """The files that a setting lists, without their folders: they lie in one here."""
    if not isinstance(values, list):
        return []
    return [PurePath(value).name for value in values if isinstance(value, str)]
