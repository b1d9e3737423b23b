"""What a run begins with: the recipe's text, vocabulary and weights, in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from model.checkpoint import Checkpoint, load_checkpoint
from model.errors import CheckpointError, RecipeError
from model.tokenizer import Tokenizer
from model.training.corpus import TokenizedText, learn_tokenizer, tokenize
from model.training.processes import Processes
from model.training.recipe import Recipe
from model.training.run_folder import RunFolder
from model.training.text import prepare_text, training_text, validation_pairs
from model.training.variations import Pair
from model.transformer import Transformer

__all__ = ["Prepared", "compute_dtype", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A recipe's ingredients."""

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
    model = Transformer(config)
    beginning = recipe.training.initialize_from
    if beginning is not None and not folder.state.exists():
        try:
            model.load_state_dict(_checkpoint(beginning).model.state_dict())
        except RuntimeError as error:
            raise RecipeError(
                f"`initialize_from` must name a model of the recipe's shape, but {beginning} has "
                f"another: {error}"
            ) from error
    return Prepared(tokenizer=tokenizer, text=text, valid=valid, model=model.to(processes.device))


def compute_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """What products are computed in."""
    precision = recipe.training.precision
    if precision == "auto":
        native = (
            _cpu_has_bfloat16()
            if device.type == "cpu"
            else torch.cuda.is_bf16_supported(including_emulation=False)
        )
        precision = "bfloat16" if native else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _keep_tokenizer(recipe: Recipe, corpora: Iterable[list[Pair]], folder: RunFolder) -> None:
    path, beginning = folder.tokenizer, recipe.training.initialize_from
    if path.exists():
        return
    learned = (
        learn_tokenizer(recipe, corpora) if beginning is None else _checkpoint(beginning).tokenizer
    )
    path.with_suffix(".partial").write_bytes(learned.serialized)
    path.with_suffix(".partial").replace(path)


def _tokenizer(recipe: Recipe, folder: RunFolder) -> Tokenizer:
    tokenizer = Tokenizer.from_file(folder.tokenizer)
    if tokenizer.vocab_size != recipe.tokenizer.vocab_size:
        raise RecipeError(
            f"{folder.tokenizer} must have the recipe's {recipe.tokenizer.vocab_size} pieces, "
            f"but has {tokenizer.vocab_size}: give another recipe another folder"
        )
    return tokenizer


def _tokens(recipe: Recipe, root: Path, folder: RunFolder, tokenizer: Tokenizer) -> Path:
    """Where the ids are kept: by all that they are made of."""
    try:
        files = [(root / corpus.path).stat() for corpus in recipe.data.train]
    except OSError as error:
        raise RecipeError(f"cannot read {error.filename}: {error.strerror}") from error
    made_of = recipe.data, recipe.training.seed, [(f.st_size, f.st_mtime_ns) for f in files]
    return folder.tokens(zlib.crc32(repr(made_of).encode() + tokenizer.serialized))


def _checkpoint(directory: str) -> Checkpoint:
    try:
        return load_checkpoint(Path(directory))
    except CheckpointError as error:
        raise RecipeError(f"`initialize_from` must name a model directory: {error}") from error


def _cpu_has_bfloat16() -> bool:
    # Without native products bfloat16 is emulated, which is slower than float32.
    return (
        bool(torch.backends.cpu.get_cpu_capability() == "AVX512") and "avx512_bf16" in _cpu_flags()
    )


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
