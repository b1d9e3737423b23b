"""Importer of Marian's models, `.npz` and `.bin`, and of Bergamot's, which Firefox has."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.checkpoints.importers.imported import ImportedModel, ImportOptions
from model.checkpoints.importers.language_codes import chosen_tokens, target_tokens
from model.checkpoints.importers.lexicon import read_binary_lexicon, read_text_lexicon
from model.checkpoints.importers.licenses import license_notes
from model.checkpoints.importers.marian_files import (
    MarianFiles,
    find_marian_files,
    read_tensors,
    weight_files,
)
from model.checkpoints.importers.marian_options import MarianOptions, read_yaml
from model.checkpoints.importers.marian_vocabulary import (
    MarianVocabulary,
    read_sentencepiece,
    read_vocabulary_yaml,
)
from model.checkpoints.importers.marian_weights import ignored_tensors, weight_table
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import SourceFiles
from model.checkpoints.importers.tensors import ImportedWeights
from model.checkpoints.manifest import ModelMetadata, Origin
from model.checkpoints.shortlist import Shortlist
from model.config import GenerationConfig, LengthNormalization, SearchRules, TransformerConfig
from model.errors import CheckpointError, InvalidRequestError
from model.text.tokenizer import vocabulary_list
from model.text.tokenizer_config import TARGET, TEXT, TokenizerConfig, TokenizerKind

__all__ = ["is_marian", "read_marian"]

_FIREFOX = re.compile(r"model\.(([a-z]{2})([a-z]{2})|[a-z_]+)\.intgemm.*\.bin(\.gz)?")
"""Two languages of other than two letters cannot be told apart."""
_FIREFOX_LICENSE = "MPL-2.0"
_FIREFOX_SETTINGS = {"beam-size": 1, "normalize": 1.0, "max-length-factor": 2.0}
_FIREFOX_SOURCE_TOKENS = 128
"""Where Firefox cuts sentences (its max-length-break)."""
_MARIAN_SETTINGS = {"beam-size": 4, "normalize": 1.0, "max-length-factor": 3.0}
_LEXICON_SIZES = (100, 100)
"""Marian's own: ids that are always likely, and most of a source id."""


def is_marian(source: Path) -> bool:
    """Whether a file, or a file in a folder, looks like weights of Marian's."""
    directory, name = _place(source)
    try:
        found = weight_files(SourceFiles(directory))
    except CheckpointError:
        return False
    return bool(found) if name is None else name in found


def read_marian(source: Path, options: ImportOptions) -> ImportedModel:
    """Reads a model, of which everything but the values of its weights is checked.

    Args:
        source: a folder with one model, or its file of weights, beside which the rest lies.
        options: what the user says of it.

    Raises:
        CheckpointError: with all that stands against it.
    """
    directory, name = _place(source)
    problems = Problems(source)
    files = SourceFiles(directory)
    found = find_marian_files(files, name, problems)
    if found is None:
        problems.raise_any()
        raise AssertionError("there must have been a problem")
    tensors = read_tensors(files, found.weights)
    for reason in tensors.unsupported():
        problems.add(reason)
    marian = MarianOptions(read_yaml(tensors.options, "special:model.yml"), problems)
    texts = _read_texts(files, found, problems)
    problems.raise_any()
    assert texts is not None
    config = marian.config(tensors.shapes, eos_id=texts.target.eos_id, unk_id=texts.target.unk_id)
    problems.raise_any()
    assert config is not None
    _check_sizes(config, marian, texts, problems)
    table = weight_table(
        config,
        marian,
        tensors.shapes,
        banned=_banned(texts.target, found.decoder),
    )
    weights = ImportedWeights(
        config, tensors, table, ignored=ignored_tensors(tensors.shapes), problems=problems
    )
    settings = _settings(found)
    generation, notes = _generation(settings, problems)
    metadata = _metadata(found, files, texts, options, problems)
    if texts.shortlist is not None:
        try:
            texts.shortlist.check(config)
        except CheckpointError as error:
            problems.add(f"{found.lexicon}: {error}")
    problems.raise_any()
    assert metadata is not None
    assert generation is not None
    return ImportedModel(
        weights=weights,
        tokenizer_files=texts.files,
        metadata=metadata,
        generation=generation,
        shortlist=texts.shortlist,
        notes=(*license_notes(metadata), *notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """What makes tokens of text: the vocabularies, and the lexicon between them."""

    source: MarianVocabulary
    target: MarianVocabulary
    kind: TokenizerKind
    files: dict[str, bytes]
    shortlist: Shortlist | None


def _banned(vocabulary: MarianVocabulary, decoder: dict[str, Any]) -> list[int]:
    """Target ids that Marian never predicts: the unknown piece, and a line break as a byte."""
    banned = [] if decoder.get("allow-unk") is True else [vocabulary.unk_id]
    line_break = vocabulary.ids().get("<0x0A>")
    if line_break is not None and decoder.get("allow-special") is not True:
        banned.append(line_break)
    return banned


def _place(source: Path) -> tuple[Path, str | None]:
    """The folder, and the name in it if `source` is a file."""
    return (source, None) if source.is_dir() else (source.parent, source.name)


def _read_texts(files: SourceFiles, found: MarianFiles, problems: Problems) -> _Texts | None:
    try:
        if found.pieces is None:
            contents = [files.read(name) for name in found.vocabularies]
            source, target = map(read_sentencepiece, contents)
            kind = TokenizerKind.SENTENCEPIECE
            texts = _one_or_two("tokenizer.model", "source.model", "target.model", contents)
        else:
            source, target = (read_vocabulary_yaml(files.read(each)) for each in found.vocabularies)
            kind = TokenizerKind.VOCABULARY
            lists = [vocabulary_list(each.pieces) for each in (source, target)]
            pieces = [files.read(name) for name in found.pieces]
            texts = _one_or_two("tokenizer.model", "source.model", "target.model", pieces)
            texts |= _one_or_two(
                "vocabulary.json", "source_vocabulary.json", "target_vocabulary.json", lists
            )
        shortlist = _read_shortlist(files, found, source, target)
    except CheckpointError as error:
        problems.add(str(error))
        return None
    if source.eos_id != target.eos_id or source.unk_id != target.unk_id:
        problems.add(
            "source and target must end with one id, and have one unknown, but have "
            f"{source.eos_id} and {target.eos_id}, {source.unk_id} and {target.unk_id}"
        )
    return _Texts(source=source, target=target, kind=kind, files=texts, shortlist=shortlist)


def _one_or_two(both: str, source: str, target: str, contents: list[bytes]) -> dict[str, bytes]:
    """Files of a model directory: one where the contents are the same."""
    if contents[0] == contents[1]:
        return {both: contents[0]}
    return {source: contents[0], target: contents[1]}


def _read_shortlist(
    files: SourceFiles, found: MarianFiles, source: MarianVocabulary, target: MarianVocabulary
) -> Shortlist | None:
    if found.lexicon is None:
        return None
    content = files.read(found.lexicon)
    if ".bin" in found.lexicon:
        shortlist = read_binary_lexicon(content)
    else:
        first, best = _lexicon_sizes(found.decoder.get("shortlist"))
        shortlist = read_text_lexicon(content, source.ids(), target.ids(), first=first, best=best)
    if len(shortlist.offsets) != len(source.pieces) + 1:
        raise CheckpointError(
            f"{found.lexicon} must be for {len(source.pieces)} source ids, but is for "
            f"{len(shortlist.offsets) - 1}"
        )
    return shortlist


def _lexicon_sizes(values: Any) -> tuple[int, int]:
    given = values[1:3] if isinstance(values, list) else []
    sizes = [int(each) for each in given if str(each).isdecimal() and int(each) < 2**24]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else _LEXICON_SIZES


def _check_sizes(
    config: TransformerConfig, options: MarianOptions, texts: _Texts, problems: Problems
) -> None:
    for side, vocabulary, size in (
        ("source", texts.source, config.src_vocab_size - options.tied_source),
        ("target", texts.target, config.tgt_vocab_size - 1),
    ):
        if len(vocabulary.pieces) != size:
            problems.add(
                f"the vocabulary of the {side} must have {size} pieces, but has "
                f"{len(vocabulary.pieces)}"
            )


def _settings(found: MarianFiles) -> dict[str, Any]:
    """How Marian would search: what decoder.yml says, or what is usual."""
    usual = _FIREFOX_SETTINGS if _FIREFOX.fullmatch(found.weights) else _MARIAN_SETTINGS
    return usual | {key: value for key, value in found.decoder.items() if value is not None}


def _generation(
    settings: dict[str, Any], problems: Problems
) -> tuple[GenerationConfig | None, tuple[str, ...]]:
    notes = []
    if penalty := settings.get("word-penalty"):
        notes.append(f"The word-penalty of {penalty} is left out: there is no such thing here.")
    try:
        normalize = settings["normalize"]
        return GenerationConfig(
            beam_size=settings["beam-size"],
            search=SearchRules.MARIAN,
            length_normalization=LengthNormalization.MEAN,
            length_penalty=float(normalize),
            max_length_factor=float(settings["max-length-factor"]),
        ), tuple(notes)
    except (InvalidRequestError, TypeError, ValueError, OverflowError) as error:
        problems.add(f"the settings of its decoder are not understood: {error}")
        return None, ()


def _metadata(
    found: MarianFiles,
    files: SourceFiles,
    texts: _Texts,
    options: ImportOptions,
    problems: Problems,
) -> ModelMetadata | None:
    firefox = _FIREFOX.fullmatch(found.weights)
    sources = options.source_languages or ((firefox[2],) if firefox and firefox[2] else ())
    targets = options.target_languages or ((firefox[3],) if firefox and firefox[3] else ())
    tokenizer = TokenizerConfig(kind=texts.kind)
    if texts.kind is TokenizerKind.VOCABULARY and (known := target_tokens(texts.source.pieces)):
        try:
            tokens = chosen_tokens(targets, known)
        except CheckpointError as error:
            problems.add(str(error))
            return None
        targets = tuple(tokens)
        tokenizer = replace(
            tokenizer, source_template=(TARGET, TEXT, "</s>"), language_tokens=tokens
        )
    for side, languages in (("source", sources), ("target", targets)):
        if not languages:
            problems.add(f"its files do not say the {side} language, which must be given")
    if not sources or not targets:
        return None
    kind = "firefox" if firefox else "marian"
    usual_license = _FIREFOX_LICENSE if firefox else "not stated"
    try:
        return ModelMetadata(
            name=options.name or f"{kind}-{'-'.join((*sources, *targets))}",
            version=options.version,
            source_languages=sources,
            target_languages=targets,
            license=options.license or usual_license,
            max_source_tokens=_FIREFOX_SOURCE_TOKENS if firefox else None,
            tokenizer=tokenizer,
            shortlist=texts.shortlist is not None,
            origin=Origin(
                source=str(files.directory.resolve() / found.weights),
                format=kind,
                sha256=files.checksums,
            ),
        )
    except InvalidRequestError as error:
        problems.add(str(error))
        return None
