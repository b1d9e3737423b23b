"""What a run begins with: the recipe's text, vocabulary and weights, in memory."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.manifest import read_manifest
from model.config import PositionKind
from model.errors import CheckpointError, RecipeError
from model.network.transformer import Transformer
from model.text.tokenizer import Tokenizer
from model.text.tokenizer_config import PIECES_FILE
from model.training.corpus import TokenizedText, learn_tokenizer, tokenize
from model.training.processes import Processes
from model.training.recipe import Recipe
from model.training.run_folder import RunFolder, written_whole
from model.training.text import kept_texts, prepare_text, training_text, validation_pairs
from model.training.variations import Pair

__all__ = ["Prepared", "differing_shape", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything a run trains with, made from its recipe."""

    tokenizer: Tokenizer
    text: TokenizedText
    valid: dict[str, list[Pair]]
    model: Transformer
    """On the device of this process."""


def prepare(recipe: Recipe, folder: RunFolder, processes: Processes) -> Prepared:
    """Reads, learns and initialises what `recipe` says.

    Raises:
        RecipeError: the recipe, its data or the run's folder cannot be used.
    """
    root = Path(recipe.data.root)
    _check(recipe, root, begins=not folder.state.exists())
    valid = validation_pairs(recipe.data, root)
    if processes.first:
        prepare_text(recipe, root, folder)
        _keep_tokenizer(recipe, training_text(recipe, root, folder), folder)
        tokenizer = _tokenizer(recipe, folder)
        tokens = _tokens(recipe, root, folder, tokenizer)
        if not tokens.exists():
            tokenize(recipe, training_text(recipe, root, folder), tokenizer).save(tokens)
    processes.wait()
    tokenizer = _tokenizer(recipe, folder)
    config = recipe.transformer_config(tokenizer.vocab_size)
    text = TokenizedText.load(_tokens(recipe, root, folder, tokenizer), recipe)
    # Right before: models that help with the text have drawn numbers for weights of their own.
    torch.manual_seed(recipe.training.seed)
    model = Transformer(config)
    beginning = recipe.training.initialize_from
    if beginning is not None and not folder.state.exists():
        checkpoint = _checkpoint(beginning)
        if checkpoint.tokenizer.files != tokenizer.files:
            raise RecipeError(
                f"{folder.tokenizer} must be the vocabulary of {beginning}, but is another one: "
                "give another recipe another folder"
            )
        model.load_state_dict(checkpoint.model.state_dict())
    return Prepared(tokenizer=tokenizer, text=text, valid=valid, model=model.to(processes.device))


def _check(recipe: Recipe, root: Path, *, begins: bool) -> None:
    """Refuses what could not be done in the end before anything is done that takes long."""
    for corpus in recipe.data.train:
        path = root / corpus.path
        if not path.is_file():
            raise RecipeError(f"cannot read {path}: it must be a file, but is none")
        _check_direction(corpus.back_translate, recipe.target_language, recipe.source_language)
        _check_direction(corpus.distil, recipe.source_language, recipe.target_language)
    _check_direction(recipe.data.scorer, recipe.source_language, recipe.target_language)
    if recipe.training.initialize_from is not None and begins:
        _check_shape(recipe, recipe.training.initialize_from)


def _check_direction(directory: str | None, source: str, target: str) -> None:
    if directory is None:
        return
    try:
        known = read_manifest(Path(directory)).metadata.languages
    except CheckpointError as error:
        raise RecipeError(
            f"`back_translate`, `distil` and `scorer` must name model directories: {error}"
        ) from error
    if known.find(source, target) is None:
        raise RecipeError(f"{directory} must translate from {source} to {target}, but does {known}")


def _check_shape(recipe: Recipe, beginning: str) -> None:
    try:
        found = read_manifest(Path(beginning)).config.to_dict()
    except CheckpointError as error:
        raise RecipeError(f"`initialize_from` must name a model directory: {error}") from error
    wanted = recipe.transformer_config(recipe.tokenizer.vocab_size).to_dict()
    if differing := differing_shape(found, wanted):
        raise RecipeError(
            f"`initialize_from` must name a model of the recipe's shape, but {beginning} has "
            f"{differing}"
        )


def differing_shape(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Where two configurations differ so that weights of one mean nothing in the other; or ""."""
    learned = wanted["positions"] == PositionKind.LEARNED
    indifferent = {"dropout", "alignment_heads", "alignment_shifted"}
    indifferent |= set() if learned else {"max_positions"}
    return ", ".join(
        f"{name} {found[name]} instead of {value}"
        for name, value in wanted.items()
        if name not in indifferent and found.get(name, value) != value
    )


def _keep_tokenizer(recipe: Recipe, corpora: Iterable[list[Pair]], folder: RunFolder) -> None:
    path, beginning = folder.tokenizer, recipe.training.initialize_from
    if path.exists():
        return
    learned = (
        learn_tokenizer(recipe, corpora) if beginning is None else _checkpoint(beginning).tokenizer
    )
    with written_whole(path) as partial:
        partial.write_bytes(learned.files[PIECES_FILE])


def _tokenizer(recipe: Recipe, folder: RunFolder) -> Tokenizer:
    tokenizer = Tokenizer.from_file(folder.tokenizer)
    if tokenizer.vocab_size != recipe.tokenizer.vocab_size:
        raise RecipeError(
            f"{folder.tokenizer} must have the recipe's {recipe.tokenizer.vocab_size} pieces, "
            f"but has {tokenizer.vocab_size}: give another recipe another folder"
        )
    if recipe.placeholders and not tokenizer.has_placeholders:
        raise RecipeError(
            "a recipe with `placeholders` must have a vocabulary with bytes, but "
            f"{folder.tokenizer} has none"
        )
    return tokenizer


def _tokens(recipe: Recipe, root: Path, folder: RunFolder, tokenizer: Tokenizer) -> Path:
    """Where the ids are kept: by all that they are made of."""
    try:
        contents = [_checksum(root / corpus.path) for corpus in recipe.data.train]
    except OSError as error:
        raise RecipeError(f"cannot read {error.filename}: {error.strerror}") from error
    prepared = [path.name for path in kept_texts(recipe, root, folder)]
    # Where the files lie, and when they came there, says nothing of what is in them.
    data = replace(recipe.data, root="")
    made_of = data, recipe.placeholders, recipe.training.seed, contents, *prepared
    return folder.tokens(zlib.crc32(repr(made_of).encode() + tokenizer.files[PIECES_FILE]))


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checkpoint(directory: str) -> Checkpoint:
    try:
        return load_checkpoint(Path(directory))
    except CheckpointError as error:
        raise RecipeError(f"`initialize_from` must name a model directory: {error}") from error
