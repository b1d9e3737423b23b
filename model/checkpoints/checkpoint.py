"""A model directory: what is in it, how it is written and how it is read.

    config.json                       manifest: name, languages, licence, shape, search defaults
    model-0000k-of-0000n.safetensors  the weights; no pickle, so a file cannot run code
    tokenizer.model                   SentencePiece; or source.model and target.model
    vocabulary.json                   where ids are not those of SentencePiece, the pieces in the
                                      order of their ids; or source_ and target_vocabulary.json
    shortlist.safetensors             perhaps: which target pieces a source piece may become
    SHA256SUMS                        checksums of all of these, in the form of `sha256sum`
    MODEL_CARD.md                     for people

Reading is strict: a missing, unknown, misshapen or damaged piece is a CheckpointError that names
it. Only weights that are to become a Transformer, or come from one, need torch.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model.checkpoints.checksums import read_checksums, verify_checksums, write_checksums
from model.checkpoints.files import (
    CARD_FILE,
    CHECKSUM_FILE,
    CONFIG_FILE,
    SHORTLIST_FILE,
    WEIGHTS_SUFFIX,
    read_file,
)
from model.checkpoints.manifest import FORMAT_VERSION, Manifest, ModelMetadata, read_manifest
from model.checkpoints.shortlist import Shortlist, read_shortlist
from model.checkpoints.weights import StoredDtype, StoredWeights, check_weights, write_weights
from model.config import GenerationConfig, TransformerConfig
from model.errors import CheckpointError
from model.text.tokenizer import Tokenizer
from model.text.tokenizer_config import TOKENIZER_FILES
from model.text.vocabulary import SpecialIds

if TYPE_CHECKING:
    from model.network.transformer import Transformer

__all__ = [
    "Checkpoint",
    "check_checkpoint",
    "load_checkpoint",
    "make_tokenizer",
    "save_checkpoint",
    "stored_weights",
    "write_checkpoint",
]

_Array = npt.NDArray[np.floating]

_BYTES_PER_PIECE = 100
"""Most of a tokenizer's file, beside a mebibyte for its rules; usual are 20. Pieces that no model
has would take 30 times their size in memory before they were counted."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A loaded model directory."""

    config: TransformerConfig
    generation: GenerationConfig
    metadata: ModelMetadata
    tokenizer: Tokenizer
    model: Transformer
    """On the CPU, float32, in evaluation mode."""


def check_checkpoint(directory: Path) -> tuple[Manifest, Tokenizer]:
    """Reads and checks all but the weights' values, in an order in which nothing is large.

    Raises:
        CheckpointError: something is missing, damaged, or does not fit together.
    """
    manifest = read_manifest(directory)
    check_weights(directory, _shards(directory), manifest.config)
    # As much as the manifest says, from here on.
    verify_checksums(directory)
    if (SHORTLIST_FILE in read_checksums(directory)) is not manifest.metadata.shortlist:
        raise CheckpointError(
            f"{directory} must have {SHORTLIST_FILE} if {CONFIG_FILE} says so, and only then"
        )
    if manifest.metadata.shortlist:
        read_shortlist(directory, manifest.config)
    return manifest, _read_tokenizer(directory, manifest)


def stored_weights(directory: Path, config: TransformerConfig) -> StoredWeights:
    """The weights of a directory that `check_checkpoint` has passed, read one by one on demand."""
    return StoredWeights(directory, _shards(directory), config)


def load_checkpoint(directory: Path) -> Checkpoint:
    """Reads and checks a whole model directory, for work in PyTorch.

    Raises:
        CheckpointError: something is missing, damaged, or does not fit together or into memory.
    """
    manifest, tokenizer = check_checkpoint(directory)
    return Checkpoint(
        config=manifest.config,
        generation=manifest.generation,
        metadata=manifest.metadata,
        tokenizer=tokenizer,
        model=stored_weights(directory, manifest.config).transformer(),
    )


def _shards(directory: Path) -> list[str]:
    names = read_checksums(directory).keys() - {SHORTLIST_FILE}
    return sorted(name for name in names if name.endswith(WEIGHTS_SUFFIX))


def _read_tokenizer(directory: Path, manifest: Manifest) -> Tokenizer:
    config = manifest.config
    files: dict[str, bytes] = {}
    for name in sorted(read_checksums(directory).keys() & set(TOKENIZER_FILES)):
        files[name] = read_file(directory, name)
        _check_size(f"{name} of {directory}", files[name], config)
    try:
        return make_tokenizer(files, config, manifest.metadata)
    except CheckpointError as error:
        raise CheckpointError(f"the tokenizer of {directory}: {error}") from error


def _check_size(name: str, content: bytes, config: TransformerConfig) -> None:
    pieces = max(config.src_vocab_size, config.tgt_vocab_size)
    if len(content) > (most := 2**20 + _BYTES_PER_PIECE * pieces):
        raise CheckpointError(
            f"{name} must have at most {most} bytes for {pieces} pieces, but has {len(content)}"
        )


def make_tokenizer(
    files: Mapping[str, bytes], config: TransformerConfig, metadata: ModelMetadata
) -> Tokenizer:
    """The tokenizer of files, which must fit the model.

    Raises:
        CheckpointError: as `Tokenizer.from_files`, or it has other ids than the model, no bytes for
            placeholders, or no tokens for a language of the model.
    """
    special = SpecialIds(config.pad_id, config.bos_id, config.eos_id, config.unk_id)
    tokenizer = Tokenizer.from_files(files, metadata.tokenizer, special)
    both = (special.eos, special.unk)
    for side, pieces, ids, of_side in (
        (
            "source", tokenizer.vocab_size, config.src_vocab_size,
            special if config.shared_embeddings else both,
        ),
        ("target", tokenizer.target_vocab_size, config.tgt_vocab_size, special),
    ):  # fmt: skip
        behind = {token for token in of_side if token >= pieces}
        if pieces + len(behind) != ids:
            raise CheckpointError(
                f"the {side} of a tokenizer must have {ids} ids, but has {pieces} pieces and the "
                f"special ids {', '.join(map(str, special))}"
            )
    if metadata.placeholders and not tokenizer.has_placeholders:
        raise CheckpointError(
            f"there must be a piece for every byte, for the placeholders that {CONFIG_FILE} asks "
            "for, but there is none"
        )
    tokenizer.check_languages(metadata.source_languages, metadata.target_languages)
    return tokenizer


def save_checkpoint(
    directory: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    metadata: ModelMetadata,
    generation: GenerationConfig,
    *,
    dtype: StoredDtype = "float16",
) -> None:
    """Writes a model directory, whole or not at all; one that is there is replaced.

    Raises:
        CheckpointError: as `write_checkpoint`.
    """
    weights = ((name, weight.detach().cpu().numpy()) for name, weight in model.named_parameters())
    write_checkpoint(
        directory, weights, model.config, tokenizer.files, metadata, generation, dtype=dtype
    )


def write_checkpoint(
    directory: Path,
    weights: Mapping[str, _Array] | Iterable[tuple[str, _Array]],
    config: TransformerConfig,
    tokenizer_files: Mapping[str, bytes],
    metadata: ModelMetadata,
    generation: GenerationConfig,
    *,
    shortlist: Shortlist | None = None,
    dtype: StoredDtype = "float16",
    replace_model: bool = True,
) -> None:
    """`save_checkpoint` of what is no Transformer, without torch.

    Args:
        directory: the model directory.
        weights: each of `weight_shapes(config)` once, in any order; read one after the other.
        config: the shape of the model.
        tokenizer_files: the content of each file of the tokenizer, by its name.
        metadata: what the model is called and translates.
        generation: how it searches when nobody says.
        shortlist: of likely targets; `metadata` is written as it is here.
        dtype: of the stored weights.
        replace_model: whether a model that is there is replaced.

    Raises:
        CheckpointError: `directory` holds something else or a model that must stay, the tokenizer
            does not fit the model, or a weight does not fit into `dtype`, or is missing, unknown or
            of another shape.
    """
    make_tokenizer(tokenizer_files, config, metadata)
    for name, content in tokenizer_files.items():
        _check_size(name, content, config)
    if shortlist is not None:
        shortlist.check(config)
    directory = directory.resolve()  # what a link points to is replaced, not the link
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory.parent):
        _refuse_other_content(directory, replace_model=replace_model)
    working = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        items = weights.items() if isinstance(weights, Mapping) else weights
        write_weights(working, items, config, dtype)
        for name, content in tokenizer_files.items():
            (working / name).write_bytes(content)
        if shortlist is not None:
            (working / SHORTLIST_FILE).write_bytes(shortlist.to_bytes())
        metadata = replace(metadata, shortlist=shortlist is not None)
        _write_manifest(working, config, metadata, generation)
        write_checksums(working)
        # Temporary folders and safetensors' files are for their owner alone; a model need not be.
        working.chmod(0o755)
        for path in working.iterdir():
            path.chmod(0o644)
        with _locked(directory.parent):
            _refuse_other_content(directory, replace_model=replace_model)
            _put_in_place(working, directory)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise


def _write_manifest(
    directory: Path,
    config: TransformerConfig,
    metadata: ModelMetadata,
    generation: GenerationConfig,
) -> None:
    manifest = {
        "format_version": FORMAT_VERSION,
        **asdict(metadata),
        "model": config.to_dict(),
        "generation": asdict(generation),
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    (directory / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _refuse_other_content(directory: Path, *, replace_model: bool) -> None:
    """A slip in a path must not cost anybody their files."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise CheckpointError(f"a model must be a directory, but {directory} is none")
    names = {path.name for path in directory.iterdir()}
    if names and not replace_model:
        raise CheckpointError(f"{directory} must be empty or absent, but is there already")
    if not {CONFIG_FILE, CHECKSUM_FILE} <= names and names - {CARD_FILE}:
        raise CheckpointError(
            f"{directory} must be a model, empty or absent, but holds {sorted(names)[:5]}"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time puts a model into a folder, as far as its file system has locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put_in_place(working: Path, directory: Path) -> None:
    """Replaces `directory`, whose card stays; at every moment a whole model is on the disk."""
    if not directory.exists():
        os.replace(working, directory)
        return
    card = directory / CARD_FILE
    if card.exists():
        shutil.copy2(card, working)
    replaced = working.with_name(f"{working.name}-replaced")
    os.replace(directory, replaced)
    try:
        os.replace(working, directory)
    except BaseException:
        os.replace(replaced, directory)
        raise
    shutil.rmtree(replaced)
