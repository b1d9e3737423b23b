"""A recipe's text as pairs: read, turned round, cleaned, translated and varied as it says."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import torch

from model.checkpoints.files import CHECKSUM_FILE, read_file
from model.errors import CheckpointError, RecipeError
from model.training.cleaning import in_their_languages, without_least_likely
from model.training.recipe import CorpusRecipe, DataRecipe, Recipe
from model.training.run_folder import RunFolder, written_whole
from model.training.synthesis import back_translated, distilled
from model.training.variations import Pair, vary

__all__ = ["kept_texts", "prepare_text", "read_pairs", "training_text", "validation_pairs"]


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a `source<TAB>target` file, .xz and .gz unpacked.

    Raises:
        RecipeError: the file cannot be read, or a line has not exactly one tab.
    """
    openers = {".xz": lzma.open, ".gz": gzip.open}
    opener = openers.get(path.suffix, open)
    try:
        raw: IO[bytes] = opener(path, "rb")  # type: ignore[operator]
        with raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                sides = line.rstrip("\r\n").split("\t")
                if len(sides) != 2:
                    raise RecipeError(
                        f"{path}, line {number} must be source<TAB>target, "
                        f"but has {len(sides) - 1} tabs"
                    )
                yield sides[0], sides[1]
    except (OSError, UnicodeDecodeError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise RecipeError(f"cannot read {path}: {error}") from error


def training_text(recipe: Recipe, root: Path, folder: RunFolder) -> Iterator[list[Pair]]:
    """(source, target) of each corpus of the recipe, and behind them their variations."""
    for corpus in recipe.data.train:
        pairs = _prepared(corpus, recipe, root, folder)
        yield pairs + _variations(pairs, corpus, recipe)


def prepare_text(recipe: Recipe, root: Path, folder: RunFolder) -> None:
    """Does what takes long, and keeps it in the folder: once for all processes of a run."""
    for corpus in recipe.data.train:
        if _is_laborious(corpus, recipe):
            _prepared(corpus, recipe, root, folder)


def kept_texts(recipe: Recipe, root: Path, folder: RunFolder) -> list[Path]:
    """Where `prepare_text` keeps what it has done: named by all that it was made of."""
    return [_kept(c, recipe, root, folder) for c in recipe.data.train if _is_laborious(c, recipe)]


def _prepared(corpus: CorpusRecipe, recipe: Recipe, root: Path, folder: RunFolder) -> list[Pair]:
    """One corpus as the recipe wants it."""
    raw = read_pairs(root / corpus.path)
    if not _is_laborious(corpus, recipe):
        return _directed(raw, recipe.data)
    kept = _kept(corpus, recipe, root, folder)
    if not kept.exists():
        _write_pairs(kept, _laboriously(_directed(raw, recipe.data), corpus, recipe))
    return list(read_pairs(kept))


def _kept(corpus: CorpusRecipe, recipe: Recipe, root: Path, folder: RunFolder) -> Path:
    """The cached file for this input: a change of the recipe, its text or its models finds none."""
    data = recipe.data
    scorer = data.scorer if corpus.drop_least_likely else None
    models = [Path(m) for m in (corpus.back_translate, corpus.distil, scorer) if m is not None]
    try:
        files = [(root / corpus.path).read_bytes()]
        files += [read_file(directory, CHECKSUM_FILE) for directory in models]
    except OSError as error:
        raise RecipeError(f"cannot read {error.filename}: {error.strerror}") from error
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    contents = [hashlib.sha256(file).hexdigest() for file in files]
    languages = (recipe.source_language, recipe.target_language) if data.check_languages else None
    work = [bool(corpus.back_translate), bool(corpus.distil), corpus.drop_least_likely]
    inputs = repr((work, data.reverse, languages, contents))
    return folder.text(f"{Path(corpus.path).stem}-{zlib.crc32(inputs.encode()):08x}")


def _is_laborious(corpus: CorpusRecipe, recipe: Recipe) -> bool:
    return bool(
        corpus.back_translate
        or corpus.distil
        or corpus.drop_least_likely
        or recipe.data.check_languages
    )


def _laboriously(pairs: list[Pair], corpus: CorpusRecipe, recipe: Recipe) -> list[Pair]:
    data = recipe.data
    if data.check_languages:
        pairs = in_their_languages(pairs, recipe.source_language, recipe.target_language)
    if corpus.back_translate is not None:
        pairs = back_translated(pairs, Path(corpus.back_translate))
    if corpus.distil is not None:
        pairs = distilled(pairs, Path(corpus.distil))
    if corpus.drop_least_likely:
        assert data.scorer is not None, "load_recipe refuses this"
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        pairs = without_least_likely(pairs, corpus.drop_least_likely, Path(data.scorer), device)
    return pairs


def _variations(pairs: list[Pair], corpus: CorpusRecipe, recipe: Recipe) -> list[Pair]:
    varied: list[Pair] = []
    for index, variation in enumerate(recipe.data.variations):
        # The file's name takes part, or the same lines of all files would be chosen.
        seed = (recipe.training.seed, index, zlib.crc32(corpus.label.encode()))
        count = round(variation.share * len(pairs))
        chosen = np.random.default_rng(seed).permutation(len(pairs))[:count]
        varied += vary([pairs[i] for i in chosen], variation.kinds, seed)
    return varied


def validation_pairs(data: DataRecipe, root: Path) -> dict[str, list[Pair]]:
    """The first lines of each validation file, by the file's name.

    Raises:
        RecipeError: two files of one name, or one without lines.
    """
    valid = {
        Path(name).stem: _directed(islice(read_pairs(root / name), data.valid_lines), data)
        for name in data.valid
    }
    if len(valid) < len(data.valid):
        raise RecipeError(f"`valid` must be files of different names, but is {data.valid}")
    if empty := [name for name, pairs in valid.items() if not pairs]:
        raise RecipeError(f"`valid` must be files with lines in them, but {empty} are empty")
    return valid


def _directed(pairs: Iterable[Pair], data: DataRecipe) -> list[Pair]:
    if data.reverse:
        return [(source, target) for target, source in pairs]
    return list(pairs)


def _write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    with (
        written_whole(path) as partial,
        gzip.open(partial, "wt", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(f"{source}\t{target}\n" for source, target in pairs)
