"""Importer of CTranslate2's models: a folder with `model.bin`, vocabularies and settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.checkpoints.importers.ctranslate2_binary import (
    Ctranslate2Binary,
    is_ctranslate2_binary,
)
from model.checkpoints.importers.ctranslate2_options import Ctranslate2Options
from model.checkpoints.importers.ctranslate2_vocabulary import (
    Names,
    SpecialTokens,
    find_pieces,
    read_names,
    tokenizer_files,
)
from model.checkpoints.importers.ctranslate2_weights import ignored_tensors, weight_table
from model.checkpoints.importers.huggingface_options import read_object
from model.checkpoints.importers.imported import ImportedModel, ImportOptions
from model.checkpoints.importers.language_codes import (
    M2M_TOKEN,
    NLLB_TOKEN,
    SMALL_100_LAYERS,
    chosen_tokens,
    target_tokens,
    tokens_of,
)
from model.checkpoints.importers.licenses import (
    NLLB_LICENSE,
    UNKNOWN_LICENSE,
    card_license,
    license_notes,
)
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import MAX_MODEL_BYTES, SourceFiles
from model.checkpoints.importers.tensors import ImportedWeights
from model.checkpoints.importers.vocabulary_trim import NOT_TRIMMED, kept_ids, trim_note
from model.checkpoints.manifest import ModelMetadata, Origin
from model.config import GenerationConfig, LengthNormalization, TransformerConfig
from model.errors import CheckpointError, InvalidRequestError
from model.text.tokenizer_config import SOURCE, TARGET, TEXT, TokenizerConfig, TokenizerKind
from model.text.vocabulary import SpecialIds

__all__ = [
    "WEIGHTS",
    "ReadFolder",
    "given_pieces",
    "is_ctranslate2",
    "read_ctranslate2",
    "read_folder",
]

WEIGHTS = "model.bin"
_CONFIG = "config.json"

_MBART = re.compile(r"[a-z]{2}_[A-Z]{2}")
_MBART_LANGUAGES = 20
"""It has 25 or 50."""
_GENERATION = GenerationConfig(
    beam_size=2, length_penalty=1.0, length_normalization=LengthNormalization.MEAN
)
"""CTranslate2's defaults."""


@dataclass(frozen=True, kw_only=True)
class ReadFolder:
    """What a folder holds, all of it checked."""

    weights: ImportedWeights
    tokenizer_files: dict[str, bytes]
    tokenizer: TokenizerConfig
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    notes: tuple[str, ...]


def is_ctranslate2(source: Path) -> bool:
    """Whether a folder has a `model.bin` of CTranslate2's, or a file is one."""
    directory, name = _place(source)
    try:
        return is_ctranslate2_binary(SourceFiles(directory).begin(name))
    except CheckpointError:
        return False


def read_ctranslate2(source: Path, options: ImportOptions) -> ImportedModel:
    """Reads a model, of which everything but the values of its weights is checked.

    Args:
        source: the folder, or `model.bin` in it.
        options: what the user says of it.

    Raises:
        CheckpointError: with all that stands against it.
    """
    directory, name = _place(source)
    problems = Problems(source)
    files = SourceFiles(directory)
    read = read_folder(files, name, options, problems, pieces=given_pieces(files, options))
    metadata = _metadata(read, files, options, problems)
    problems.raise_any()
    assert metadata is not None
    return ImportedModel(
        weights=read.weights,
        tokenizer_files=read.tokenizer_files,
        metadata=metadata,
        generation=_GENERATION,
        notes=(*read.notes, *license_notes(metadata)),
    )


def read_folder(
    files: SourceFiles,
    name: str,
    options: ImportOptions,
    problems: Problems,
    *,
    pieces: Mapping[str, bytes] | None = None,
    target_prefix: str | None = None,
) -> ReadFolder:
    """Reads the files of a folder.

    Args:
        files: of the folder.
        name: of the file of weights.
        options: what the user says of it.
        problems: what was found before; more are added.
        pieces: SentencePiece models by their names; None: look for them in the folder.
        target_prefix: the token that each target begins with, if what is around the folder says so;
            the languages of the vocabulary are then not asked for.

    Raises:
        CheckpointError: with all that stands against it.
    """
    settings = read_object(files, _CONFIG)
    binary = _read_binary(files, name)
    shape = _shape(binary, settings, problems)
    special = _special(binary, shape, settings, problems)
    embeddings = shape.source_embedding, shape.target_embedding
    source_size, target_size = (binary.shapes.get(each, (0,))[0] for each in embeddings)
    whole = read_names(files, special, (source_size, target_size), problems)
    if whole is None:
        problems.raise_any()
        raise AssertionError("there must have been a problem")
    contents, note = find_pieces(files, pieces, whole, special, problems)
    languages = _languages(whole, special, shape, options, target_prefix, problems)
    kept = _kept(whole, languages, special, options, problems)
    names = whole if kept is None else whole.only(kept)
    shared = names.source == names.target and binary.are_same(*embeddings)
    if shape.starts_from_zero:
        names = names.with_zero_row(shared=shared)
    config = _config(shape, names, special, languages.start, problems, shared=shared)
    weights = ImportedWeights(
        config,
        binary,
        weight_table(config, shape, binary.shapes, names),
        ignored=ignored_tensors(config, shape),
        problems=problems,
    )
    problems.raise_any()
    written, notes = tokenizer_files(names, contents), _notes(files, languages, special, note)
    if kept is not None:
        notes.append(_trim_note(whole, kept, written, languages, config, options))
    return ReadFolder(
        weights=weights,
        tokenizer_files=written,
        tokenizer=languages.tokenizer,
        sources=languages.sources,
        targets=languages.targets,
        notes=tuple(notes),
    )


def _shape(
    binary: Ctranslate2Binary, settings: Mapping[str, Any], problems: Problems
) -> Ctranslate2Options:
    shape = Ctranslate2Options(binary, settings, problems)
    if not shape.is_supported_kind():
        problems.raise_any()
    shape.check_parts()
    return shape


def _read_binary(files: SourceFiles, name: str) -> Ctranslate2Binary:
    try:
        return Ctranslate2Binary(files.read(name, MAX_MODEL_BYTES))
    except CheckpointError as error:
        raise CheckpointError(f"{files.directory / name}: {error}") from error


def _config(
    shape: Ctranslate2Options,
    names: Names,
    special: SpecialTokens,
    start: str,
    problems: Problems,
    *,
    shared: bool,
) -> TransformerConfig:
    config = shape.config(
        source_size=len(names.source_rows.order),
        target_size=len(names.target_rows.order),
        shared=shared,
        start=len(names.target) if shape.starts_from_zero else names.id(start),
        eos_id=names.id(special.eos),
        unk_id=names.id(special.unk),
        bias=bool(names.added),
    )
    if config is None:
        problems.raise_any()
        raise AssertionError("there must have been a problem")
    return config


def given_pieces(files: SourceFiles, options: ImportOptions) -> dict[str, bytes] | None:
    """The SentencePiece models that the user names, of which `files` takes the checksums; None if
    there are none.

    Raises:
        CheckpointError: one cannot be read.
    """
    contents = {}
    for path in options.tokenizer:
        alike = [other for other in options.tokenizer if other.name == path.name]
        name = path.name if len(alike) == 1 else str(path)
        beside = SourceFiles(path.parent)
        contents[name] = beside.read(path.name)
        files.checksums[name] = beside.checksums[path.name]
    return contents or None


@dataclass(frozen=True, kw_only=True)
class _Languages:
    """What a model translates, and how it is told."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    tokenizer: TokenizerConfig
    start: str
    """What the decoder reads first."""


def _place(source: Path) -> tuple[Path, str]:
    return (source, WEIGHTS) if source.is_dir() else (source.parent, source.name)


def _special(
    binary: Ctranslate2Binary,
    shape: Ctranslate2Options,
    settings: Mapping[str, Any],
    problems: Problems,
) -> SpecialTokens:
    values: dict[str, Any] = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    if binary.version < 6:
        values |= {name: text for name in values if (text := binary.text(name)) is not None}
        flags = [shape.flag(f"with_source_{name}", False) for name in ("bos", "eos")]
        start = values["bos_token" if shape.flag("with_target_bos", True) else "eos_token"]
        if shape.flag("user_decoder_start_tokens", False):
            start = None
    else:
        values |= {name: settings[name] for name in values if settings.get(name) is not None}
        flags = [settings.get(f"add_source_{name}", False) is True for name in ("bos", "eos")]
        start = settings.get("decoder_start_token", values["bos_token"])
    for name, value in {**values, "decoder_start_token": start}.items():
        if not isinstance(value, str) and (value is not None or name in values):
            problems.add(f"`{name}` must be a token, but is {str(value)[:100]!r}")
    return SpecialTokens(
        unk=str(values["unk_token"]),
        bos=str(values["bos_token"]),
        eos=str(values["eos_token"]),
        start=None if start is None else str(start),
        source_bos=flags[0],
        source_eos=flags[1],
    )


def _languages(
    names: Names,
    special: SpecialTokens,
    shape: Ctranslate2Options,
    options: ImportOptions,
    target_prefix: str | None,
    problems: Problems,
) -> _Languages:
    """What a model translates; where its files do not say, that is a problem."""
    before, prefix, known = _named(names, shape, options, target_prefix)
    starts_with_language = special.start is None and not shape.starts_from_zero
    tokens: dict[str, str] = {}
    sides = {
        SOURCE: options.source_languages or options.languages,
        TARGET: options.target_languages or options.languages,
    }
    for mark, wanted in sides.items():
        if mark in (*before, *prefix) or (mark == TARGET and starts_with_language):
            try:
                chosen = chosen_tokens(wanted, known)
            except CheckpointError as error:
                problems.add(str(error))
            else:
                sides[mark] = tuple(chosen)
                tokens |= chosen
        if not sides[mark]:
            side = mark.strip("{}")
            problems.add(f"its files do not say the {side} language, which must be given")
    if sum(map(bool, map(_MBART.fullmatch, names.target))) >= _MBART_LANGUAGES:
        problems.add("its languages are those of mBART, which is not supported")
    start = special.start
    if starts_with_language:
        start, prefix = _language_of_target(sides[TARGET], tokens, problems), ()
    for each in (start, *prefix):
        if each not in (None, TARGET, *names.target):
            problems.add(f"its target must have the token {each!r}, but has not")
    return _Languages(
        sources=sides[SOURCE],
        targets=sides[TARGET],
        start=start if start in names.target else special.unk,
        tokenizer=TokenizerConfig(
            kind=TokenizerKind.VOCABULARY,
            source_template=_template(before, special, shape, bool(known)),
            target_prefix=prefix,
            language_tokens=tokens,
        ),
    )


def _kept(
    names: Names,
    languages: _Languages,
    special: SpecialTokens,
    options: ImportOptions,
    problems: Problems,
) -> list[int] | None:
    """Ids that are taken if languages were chosen; None: all."""
    if not options.languages:
        return None
    tokens = languages.tokenizer.language_tokens.values()
    form = next(
        (each for each in (M2M_TOKEN, NLLB_TOKEN) if all(map(each.fullmatch, tokens))), None
    )
    if not tokens or form is None or names.source != names.target:
        problems.add(NOT_TRIMMED)
        return None
    always = {special.unk, special.bos, special.eos, languages.start, "<pad>"}
    try:
        return kept_ids(names.source, tokens, always, form)
    except CheckpointError as error:
        problems.add(str(error))
        return None


def _trim_note(
    whole: Names,
    kept: Sequence[int],
    written: Mapping[str, bytes],
    languages: _Languages,
    config: TransformerConfig,
    options: ImportOptions,
) -> str:
    special = SpecialIds(config.pad_id, config.bos_id, config.eos_id, config.unk_id)
    return trim_note(whole.source, kept, written, languages.tokenizer, special, options.texts)


def _language_of_target(
    targets: Sequence[str], tokens: Mapping[str, str], problems: Problems
) -> str | None:
    if len(targets) == 1:
        return tokens.get(targets[0])
    problems.add(
        "its decoder begins with the token of the target's language, so one target language must "
        f"be given, but there are {len(targets)}"
    )
    return None


def _named(
    names: Names, shape: Ctranslate2Options, options: ImportOptions, target_prefix: str | None
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """What stands before a source, what before a target, and the tokens of all languages."""
    if target_prefix is not None:
        return (), (target_prefix,) if target_prefix else (), {}
    if tags := target_tokens(names.source):
        return (TARGET,), (), tags
    for form in (M2M_TOKEN, NLLB_TOKEN):
        known = tokens_of(names.source, form)
        if len(known) < 2:
            continue
        small = options.target_in_source
        if small is None:
            small = form is M2M_TOKEN and shape.num_layers("decoder") == SMALL_100_LAYERS
        return ((TARGET,), (), known) if small else ((SOURCE,), (TARGET,), known)
    return (), (), {}


def _template(
    before: tuple[str, ...], special: SpecialTokens, shape: Ctranslate2Options, many: bool
) -> tuple[str, ...]:
    """What the encoder reads. CTranslate2 adds what its settings say; the tokenizers of the models
    whose decoders start with zeros, with the end token, or with a language end a source as well."""
    ends = special.source_eos or shape.starts_from_zero or special.start == special.eos or many
    begin = (special.bos,) if special.source_bos else ()
    return (*begin, *before, TEXT, *((special.eos,) if ends else ()))


def _metadata(
    read: ReadFolder, files: SourceFiles, options: ImportOptions, problems: Problems
) -> ModelMetadata | None:
    directory = files.directory.resolve()
    try:
        return ModelMetadata(
            name=options.name or directory.name,
            version=options.version,
            source_languages=read.sources,
            target_languages=read.targets,
            license=options.license or _license(read.tokenizer, files),
            tokenizer=read.tokenizer,
            origin=Origin(source=str(directory), format="CTranslate2", sha256=files.checksums),
        )
    except (InvalidRequestError, CheckpointError) as error:
        problems.add(str(error))
        return None


def _license(tokenizer: TokenizerConfig, files: SourceFiles) -> str:
    """What the card says, or what is usual for its kind."""
    of_nllb = any(map(NLLB_TOKEN.fullmatch, tokenizer.language_tokens.values()))
    return card_license(files) or (NLLB_LICENSE if of_nllb else UNKNOWN_LICENSE)


def _notes(
    files: SourceFiles, languages: _Languages, special: SpecialTokens, note: str | None
) -> list[str]:
    template = languages.tokenizer.source_template or ()
    without = "" if template[-1:] == (special.eos,) else "out"
    notes = [f"Its sources are read with{without} an end token, as is usual for its kind."]
    if note is not None:
        notes.append(note)
    if "vmap.txt" in files.names():
        notes.append("Its vmap.txt, which limits what may be predicted, is left out.")
    return notes
