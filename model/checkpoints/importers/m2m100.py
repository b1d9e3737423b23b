"""Importer of M2M-100, NLLB-200 and SMaLL-100 in the form of transformers.

A translation by these models is rubbish without the tokens of its languages, so they are part of
the tokenizer here, which refuses a language that it has no token for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model.checkpoints.importers.huggingface_layers import (
    embedding_names,
    final_norms,
    ignored_tensors,
    layers,
    made_bias,
)
from model.checkpoints.importers.huggingface_options import (
    HuggingFaceOptions,
    banned_ids,
    read_generation,
    special_id,
)
from model.checkpoints.importers.huggingface_source import HuggingFaceSource
from model.checkpoints.importers.huggingface_vocabulary import added_tokens, in_order, read_ids
from model.checkpoints.importers.huggingface_weights import read_tensors
from model.checkpoints.importers.imported import ImportedModel
from model.checkpoints.importers.language_codes import (
    M2M_TOKEN,
    NLLB_TOKEN,
    SMALL_100_LAYERS,
    chosen_tokens,
    tokens_of,
)
from model.checkpoints.importers.licenses import NLLB_LICENSE, license_notes
from model.checkpoints.importers.m2m100_languages import M2M_100, NLLB_200, WMT_21
from model.checkpoints.importers.tensors import ImportedWeights, Taken
from model.checkpoints.importers.vocabulary_trim import kept_ids, trim_note
from model.checkpoints.manifest import ModelMetadata
from model.config import NormOrder, PositionKind, TransformerConfig
from model.errors import CheckpointError
from model.network.weights import Floats
from model.text.tokenizer import vocabulary_list
from model.text.tokenizer_config import (
    PIECES_FILE,
    SOURCE,
    TARGET,
    TEXT,
    VOCABULARY_FILE,
    TokenizerConfig,
    TokenizerKind,
)
from model.text.vocabulary import SentencePieceVocabulary, SpecialIds

__all__ = ["read_m2m100"]

_SPM_FILES = ("sentencepiece.bpe.model", "spm.model", "sentencepiece.model")
_VOCABULARY = "vocab.json"
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""The special tokens of fairseq, with which its ids begin."""
_SPM_SPECIAL = 3
"""SentencePiece's own, which come first in its model."""
_END, _UNKNOWN, _MASK = "</s>", "<unk>", "<mask>"


def read_m2m100(source: HuggingFaceSource) -> ImportedModel:
    """Reads a model, of which everything but the values of its weights is checked.

    Raises:
        CheckpointError: with all that stands against it.
    """
    problems, values = source.problems, source.config
    options = HuggingFaceOptions(values, problems)
    fields = options.layers(scale_embedding=True)
    texts = _read_texts(source, options.size("vocab_size", least=5))
    tensors = read_tensors(source.files)
    problems.raise_any()
    assert texts is not None
    kept = _kept(source, texts)
    config = _config(source, options, fields, texts, kept)
    banned, notes = banned_ids(source.special, len(texts.names))
    problems.raise_any()
    assert config is not None
    config = replace(config, projection_bias=bool(banned))
    places = {token: place for place, token in enumerate(kept)}
    weights = ImportedWeights(
        config,
        tensors,
        weight_table(
            config,
            tensors.shapes,
            rows=len(texts.names),
            kept=kept,
            banned=[places[token] for token in banned if token in places],
        ),
        ignored=ignored_tensors(config),
        problems=problems,
    )
    generation, more_notes = read_generation(source.generation, config.max_positions, problems)
    metadata = _metadata(source, texts)
    problems.raise_any()
    assert metadata is not None
    assert generation is not None
    files = {
        PIECES_FILE: texts.pieces,
        VOCABULARY_FILE: vocabulary_list([texts.names[token] for token in kept]),
    }
    if len(kept) < len(texts.names):
        special = SpecialIds(config.pad_id, config.bos_id, config.eos_id, config.unk_id)
        notes.append(
            trim_note(texts.names, kept, files, metadata.tokenizer, special, source.options.texts)
        )
    return ImportedModel(
        weights=weights,
        tokenizer_files=files,
        metadata=metadata,
        generation=generation,
        notes=(*license_notes(metadata), *notes, *more_notes),
    )


def weight_table(
    config: TransformerConfig,
    shapes: Mapping[str, Any],
    *,
    rows: int,
    kept: Sequence[int],
    banned: Sequence[int] = (),
) -> dict[str, Taken]:
    """Maps each weight of a model of shape `config` to its source.

    Args:
        shapes: of the source's tensors.
        rows: ids of the source.
        kept: those of them that are taken, in this order.
        banned: our ids that are never predicted.
    """
    whole = len(kept) == rows

    def take(array: Floats) -> Floats:
        return array if whole else array[[*kept]]

    table: dict[str, Taken] = {
        ours: Taken(name=theirs, shape=(rows, config.d_model), convert=take)
        for ours, theirs in embedding_names(config, shapes).items()
    }
    table |= dict(layers(config)) | dict(final_norms(config))
    if not config.tied_projection:
        name = "lm_head.weight"
        table["projection.weight"] = Taken(name=name, shape=(rows, config.d_model), convert=take)
    table |= made_bias(len(kept), banned)
    return table


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """What makes tokens of text, and names languages."""

    family: str
    pieces: bytes
    """The SentencePiece model."""
    names: list[str]
    """The pieces, in the order of their ids."""
    tokens: dict[str, str]
    """The tokens of those languages that are taken, by the codes that they have here."""
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    target_in_source: bool
    language_last: bool
    """Whether the source's language stands behind the text: the older models of NLLB."""


def _read_texts(source: HuggingFaceSource, size: int) -> _Texts | None:
    files, problems, tokenizer = source.files, source.problems, source.tokenizer
    names = files.names()
    spm = next((name for name in _SPM_FILES if name in names), None)
    if spm is None:
        problems.add(
            f"it must have {_SPM_FILES[0]}, which cuts its text, but has not: copy it from the "
            "model that this one was made of"
        )
        return None
    is_nllb = _VOCABULARY not in names
    form = NLLB_TOKEN if is_nllb else M2M_TOKEN
    try:
        pieces = files.read(spm)
        ids = _nllb_ids(pieces) if is_nllb else read_ids(files, _VOCABULARY)
        added = added_tokens(files, tokenizer)
        if not tokens_of({*ids, *added}, form):
            behind = enumerate(_usual_tokens(is_nllb, tokenizer), start=len(ids))
            added |= {name: token for token, name in behind if token < size}
        listed = in_order(ids | added, size, "its vocabulary and added tokens")
        known = tokens_of(listed, form)
        options = source.options
        sources = chosen_tokens(options.source_languages or options.languages, known)
        targets = chosen_tokens(options.target_languages or options.languages, known)
    except CheckpointError as error:
        problems.add(str(error))
        return None
    is_small = _is_small_100(source, is_nllb)
    return _Texts(
        family="NLLB-200" if is_nllb else "SMaLL-100" if is_small else "M2M-100",
        pieces=pieces,
        names=listed,
        tokens=sources | targets,
        sources=tuple(sources),
        targets=tuple(targets),
        target_in_source=is_small,
        language_last=is_nllb and tokenizer.get("legacy_behaviour") is True,
    )


def _nllb_ids(pieces: bytes) -> dict[str, int]:
    """Ids of the pieces: fairseq has four special tokens where SentencePiece has three."""
    of_text = SentencePieceVocabulary(pieces).names()[_SPM_SPECIAL:]
    return {name: token for token, name in enumerate((*_SPECIAL, *of_text))}


def _usual_tokens(is_nllb: bool, tokenizer: Mapping[str, Any]) -> list[str]:
    """What stands behind the pieces where the files do not say."""
    if is_nllb:
        return [*NLLB_200, _MASK]
    codes = WMT_21 if tokenizer.get("language_codes") == "wmt21" else M2M_100
    return [f"__{code}__" for code in codes]


def _is_small_100(source: HuggingFaceSource, is_nllb: bool) -> bool:
    if source.options.target_in_source is not None:
        return source.options.target_in_source
    class_name = str(source.tokenizer.get("tokenizer_class", ""))
    layers = source.config.get("decoder_layers")
    return not is_nllb and ("small100" in class_name.casefold() or layers == SMALL_100_LAYERS)


def _kept(source: HuggingFaceSource, texts: _Texts) -> list[int]:
    """Ids that are taken: all, unless languages were chosen."""
    everything = list(range(len(texts.names)))
    if not source.options.languages:
        return everything
    special = (
        special_id(source.special, name, len(texts.names), source.problems, default)
        for name, default in (
            ("pad_token_id", 1), ("eos_token_id", 2), ("decoder_start_token_id", 2)
        )
    )  # fmt: skip
    always = {texts.names[token] for token in special} | {*_SPECIAL}
    try:
        form = NLLB_TOKEN if texts.family == "NLLB-200" else M2M_TOKEN
        return kept_ids(texts.names, texts.tokens.values(), always, form)
    except CheckpointError as error:
        source.problems.add(str(error))
        return everything


def _config(
    source: HuggingFaceSource,
    options: HuggingFaceOptions,
    fields: dict[str, Any],
    texts: _Texts,
    kept: Sequence[int],
) -> TransformerConfig | None:
    values, problems = source.special, source.problems
    places = {token: place for place, token in enumerate(kept)}

    def place(name: str, default: int) -> int:
        return places[special_id(values, name, len(texts.names), problems, default)]

    if _UNKNOWN not in texts.names:
        problems.add(f"its vocabulary must have {_UNKNOWN}, but has not")
        return None
    return options.config(
        src_vocab_size=len(kept),
        tgt_vocab_size=len(kept),
        **fields,
        norm_order=NormOrder.PRE,
        final_norm=True,
        positions=PositionKind.SINUSOIDAL_FAIRSEQ,
        position_offset=2,
        shared_embeddings=True,
        tied_projection=options.truth("tie_word_embeddings", True),
        pad_id=place("pad_token_id", 1),
        bos_id=place("decoder_start_token_id", 2),
        eos_id=place("eos_token_id", 2),
        unk_id=places[texts.names.index(_UNKNOWN)],
    )


def _metadata(source: HuggingFaceSource, texts: _Texts) -> ModelMetadata | None:
    language = TARGET if texts.target_in_source else SOURCE
    template = (TEXT, _END, language) if texts.language_last else (language, TEXT, _END)
    usual = {"usual_license": NLLB_LICENSE} if texts.family == "NLLB-200" else {}
    return source.metadata(
        sources=texts.sources,
        targets=texts.targets,
        tokenizer=TokenizerConfig(
            kind=TokenizerKind.VOCABULARY,
            source_template=template,
            target_prefix=() if texts.target_in_source else (TARGET,),
            language_tokens=texts.tokens,
        ),
        format=f"M2M100ForConditionalGeneration ({texts.family})",
        **usual,
    )
