"""Importer of OPUS-MT's models in the form of transformers' MarianMTModel, old and new.

What transformers computes is kept: its positions are not Marian's. Its decoder starts from the row
of the pad, zeros in these models as Marian's vector is, and the pad is never predicted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from model.checkpoints.importers.huggingface_layers import (
    BANNED,
    embedding_names,
    ignored_tensors,
    layers,
)
from model.checkpoints.importers.huggingface_options import (
    HuggingFaceOptions,
    banned_ids,
    read_generation,
    special_id,
)
from model.checkpoints.importers.huggingface_source import HuggingFaceSource
from model.checkpoints.importers.huggingface_vocabulary import in_order, read_ids
from model.checkpoints.importers.huggingface_weights import read_tensors
from model.checkpoints.importers.imported import ImportedModel
from model.checkpoints.importers.language_codes import chosen_tokens, is_language, target_tokens
from model.checkpoints.importers.licenses import license_notes
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.tensors import ImportedWeights, Taken, same
from model.config import PositionKind, TransformerConfig
from model.errors import CheckpointError
from model.network.weights import Floats
from model.text.tokenizer import vocabulary_list
from model.text.tokenizer_config import (
    PIECES_FILES,
    TARGET,
    TEXT,
    VOCABULARY_FILE,
    VOCABULARY_FILES,
    TokenizerConfig,
    TokenizerKind,
)

__all__ = ["read_marian_mt"]

_SPM_FILES = ("source.spm", "target.spm")
_VOCABULARIES = ("vocab.json", "target_vocab.json")
_END, _UNKNOWN = "</s>", "<unk>"
_NAME = re.compile(r"opus-mt-(?:tc-[a-z]+-)?([A-Za-z_]+)-([A-Za-z_]+)")
_REFUSED = (
    ("normalize_before", (False,), "the norms of MarianMTModel stand behind the layers"),
    ("normalize_embedding", (False,), "MarianMTModel does not normalise embeddings"),
    ("add_final_layer_norm", (False,), "MarianMTModel has no norm at the end"),
    ("static_position_embeddings", (True,), "MarianMTModel has no trained positions"),
)


def read_marian_mt(source: HuggingFaceSource) -> ImportedModel:
    """Reads a model, of which everything but the values of its weights is checked.

    Raises:
        CheckpointError: with all that stands against it.
    """
    problems = source.problems
    options = HuggingFaceOptions(source.config, problems)
    for each in _REFUSED:
        options.refuse(*each)
    fields = options.layers(scale_embedding=False)
    texts = _read_texts(source, options)
    tensors = read_tensors(source.files)
    problems.raise_any()
    assert texts is not None
    config = _config(source, options, fields, texts)
    problems.raise_any()
    assert config is not None
    banned, notes = banned_ids(source.special, config.tgt_vocab_size)
    weights = ImportedWeights(
        config,
        tensors,
        weight_table(config, tensors.shapes, banned={*banned, config.pad_id}),
        ignored=ignored_tensors(config),
        problems=problems,
    )
    generation, more_notes = read_generation(source.generation, config.max_positions, problems)
    sources, targets, tokens = _languages(source, texts)
    tokenizer = TokenizerConfig(
        kind=TokenizerKind.VOCABULARY,
        source_template=(*((TARGET,) if tokens else ()), TEXT, _END),
        target_prefix=_forced_prefix(source.generation, texts.target, problems),
        language_tokens=tokens,
        normalize_punctuation=True,
    )
    metadata = source.metadata(
        sources=sources, targets=targets, tokenizer=tokenizer, format="MarianMTModel"
    )
    problems.raise_any()
    assert metadata is not None
    assert generation is not None
    return ImportedModel(
        weights=weights,
        tokenizer_files=texts.files,
        metadata=metadata,
        generation=generation,
        notes=(
            *license_notes(metadata),
            "Punctuation is normalised as in its training, which transformers does where "
            "sacremoses is installed.",
            *notes,
            *more_notes,
        ),
    )


def weight_table(
    config: TransformerConfig, shapes: Mapping[str, Any], *, banned: Collection[int]
) -> dict[str, Taken]:
    """Maps each weight of a model of shape `config` to its source.

    Args:
        shapes: of the source's tensors.
        banned: target ids that are never predicted.
    """
    width, size = config.d_model, config.tgt_vocab_size
    never = sorted(banned)

    def bias(array: Floats) -> Floats:
        complete: Floats = array[0].copy()
        complete[never] = BANNED
        return complete

    sizes = {"src": config.src_vocab_size, "tgt": size}
    table = {
        ours: same(theirs, sizes[ours[:3]], width)
        for ours, theirs in embedding_names(config, shapes).items()
    }
    table |= dict(layers(config))
    if not config.tied_projection:
        table["projection.weight"] = same("lm_head.weight", size, width)
    table["projection.bias"] = Taken(name="final_logits_bias", shape=(1, size), convert=bias)
    return table


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """The pieces of both sides, in the order of their ids, and our files of them."""

    source: list[str]
    target: list[str]
    files: dict[str, bytes]


def _read_texts(source: HuggingFaceSource, options: HuggingFaceOptions) -> _Texts | None:
    """The vocabularies, with as many pieces as the embeddings have rows."""
    files, size = source.files, options.size("vocab_size")
    target_size = options.size("decoder_vocab_size", size)
    names = files.names()
    missing = [name for name in (*_SPM_FILES, _VOCABULARIES[0]) if name not in names]
    if missing:
        source.problems.add(f"it must have {', '.join(missing)}, which cut its text, but has not")
        return None
    split = source.tokenizer.get("separate_vocabs") is True or (
        options.values.get("share_encoder_decoder_embeddings") is False
        and _VOCABULARIES[1] in names
    )
    try:
        ids = [read_ids(files, name) for name in _VOCABULARIES[: 1 + split]]
        sides = [
            in_order(each, rows, name)
            for each, rows, name in zip(ids, (size, target_size), _VOCABULARIES, strict=False)
        ]
        lists = VOCABULARY_FILES if split else (VOCABULARY_FILE,)
        return _Texts(
            source=sides[0],
            target=sides[-1],
            files={
                **{
                    ours: files.read(theirs)
                    for ours, theirs in zip(PIECES_FILES, _SPM_FILES, strict=True)
                },
                **{name: vocabulary_list(each) for name, each in zip(lists, sides, strict=True)},
            },
        )
    except CheckpointError as error:
        source.problems.add(str(error))
        return None


def _config(
    source: HuggingFaceSource, options: HuggingFaceOptions, fields: dict[str, Any], texts: _Texts
) -> TransformerConfig | None:
    values, problems, size = source.special, source.problems, len(texts.target)
    pad_id = special_id(values, "pad_token_id", size, problems)
    unknown = [side.index(_UNKNOWN) if _UNKNOWN in side else -1 for side in _sides(texts)]
    if unknown[0] != unknown[1] or unknown[0] < 0:
        problems.add(
            f"both vocabularies must have {_UNKNOWN} with one id, but have it with "
            f"{' and '.join(map(str, unknown))}"
        )
        return None
    return options.config(
        src_vocab_size=len(texts.source),
        tgt_vocab_size=size,
        **fields,
        positions=PositionKind.SINUSOIDAL_HALVES,
        shared_embeddings=options.truth("share_encoder_decoder_embeddings", True),
        tied_projection=options.truth("tie_word_embeddings", True),
        projection_bias=True,
        # OPUS-MT trains the first head of the last layer to align (Marian's guided alignment).
        alignment_heads=((max(fields["num_decoder_layers"] - 1, 0), 0),),
        pad_id=pad_id,
        bos_id=special_id(values, "decoder_start_token_id", size, problems, pad_id),
        eos_id=special_id(values, "eos_token_id", size, problems),
        unk_id=unknown[0],
    )


def _sides(texts: _Texts) -> tuple[list[str], list[str]]:
    return texts.source, texts.target


def _forced_prefix(
    values: Mapping[str, Any], names: list[str], problems: Problems
) -> tuple[str, ...]:
    """The token that every target begins with, if there is one."""
    if values.get("forced_bos_token_id") is None:
        return ()
    return (names[special_id(values, "forced_bos_token_id", len(names), problems)],)


def _languages(
    source: HuggingFaceSource, texts: _Texts
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Codes of the sources and the targets, and the tokens of the latter, if they need any."""
    options, tokenizer = source.options, source.tokenizer
    named = _NAME.fullmatch(source.name)
    guesses = [
        tokenizer.get(name) or (named[1 + side] if named else None)
        for side, name in enumerate(("source_lang", "target_lang"))
    ]
    sources, targets = options.source_languages, options.target_languages
    if not sources and isinstance(guesses[0], str) and is_language(guesses[0]):
        sources = (guesses[0],)
    known = target_tokens(texts.source)
    tokens: dict[str, str] = {}
    if known:
        try:
            tokens = chosen_tokens(targets, known)
            targets = tuple(tokens)
        except CheckpointError as error:
            source.problems.add(str(error))
    elif not targets and isinstance(guesses[1], str) and is_language(guesses[1]):
        targets = (guesses[1],)
    for side, languages in (("source", sources), ("target", targets)):
        if not languages:
            source.problems.add(f"its files do not say the {side} language, which must be given")
    return sources, targets, tokens
