"""A model directory: what is in it, how it is written and how it is read.

    config.json                       manifest: name, languages, licence, shape, search defaults
    model-0000k-of-0000n.safetensors  the weights; no pickle, so a file cannot run code
    tokenizer.model                   SentencePiece
    SHA256SUMS                        checksums of all of these, in the form of `sha256sum`
    MODEL_CARD.md                     for people

Reading is strict: a missing, unknown, misshapen or damaged piece is a CheckpointError that names
it. Only `save_checkpoint`, and weights that are to become a Transformer, need torch.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.checkpoints.checksums import read_checksums, verify_checksums, write_checksums
from model.checkpoints.files import (
    CARD_FILE,
    CONFIG_FILE,
    TOKENIZER_FILE,
    WEIGHTS_SUFFIX,
    read_file,
)
from model.checkpoints.manifest import FORMAT_VERSION, Manifest, ModelMetadata, read_manifest
from model.checkpoints.weights import StoredWeights, check_weights, write_weights
from model.config import GenerationConfig, TransformerConfig
from model.errors import CheckpointError
from model.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch

    from model.network.transformer import Transformer

__all__ = [
    "Checkpoint",
    "check_checkpoint",
    "load_checkpoint",
    "save_checkpoint",
    "stored_weights",
]

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
    return sorted(name for name in read_checksums(directory) if name.endswith(WEIGHTS_SUFFIX))


def _read_tokenizer(directory: Path, manifest: Manifest) -> Tokenizer:
    config = manifest.config
    serialized = read_file(directory, TOKENIZER_FILE)
    most = 2**20 + _BYTES_PER_PIECE * config.src_vocab_size
    if len(serialized) > most:
        raise CheckpointError(
            f"{TOKENIZER_FILE} of {directory} must have at most {most} bytes for "
            f"{config.src_vocab_size} pieces, but has {len(serialized)}"
        )
    try:
        tokenizer = Tokenizer(serialized)
    except CheckpointError as error:
        raise CheckpointError(f"{directory / TOKENIZER_FILE}: {error}") from error
    if tokenizer.vocab_size != config.src_vocab_size:
        raise CheckpointError(
            f"the tokenizer of {directory} must have {config.src_vocab_size} pieces, "
            f"but has {tokenizer.vocab_size}"
        )
    for name in ("pad_id", "bos_id", "eos_id", "unk_id"):
        if getattr(tokenizer, name) != getattr(config, name):
            raise CheckpointError(
                f"`{name}` of {directory} must be the same in {CONFIG_FILE} and {TOKENIZER_FILE}, "
                f"but is {getattr(config, name)} and {getattr(tokenizer, name)}"
            )
    if manifest.metadata.placeholders and not tokenizer.has_placeholders:
        raise CheckpointError(
            f"{directory} must have a tokenizer with a piece for every byte, for the placeholders "
            f"that {CONFIG_FILE} asks for, but has none"
        )
    return tokenizer


def save_checkpoint(
    directory: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    metadata: ModelMetadata,
    generation: GenerationConfig,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model directory, whole or not at all; one that is there is replaced.

    Args:
        dtype: of the stored weights; float16 when not given.

    Raises:
        CheckpointError: `directory` holds something else, or a weight does not fit into `dtype`.
    """
    import torch

    directory = directory.resolve()  # what a link points to is replaced, not the link
    _refuse_other_content(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        write_weights(working, model, dtype or torch.float16)
        (working / TOKENIZER_FILE).write_bytes(tokenizer.serialized)
        manifest = {
            "format_version": FORMAT_VERSION,
            **asdict(metadata),
            "model": model.config.to_dict(),
            "generation": asdict(generation),
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (working / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        write_checksums(working)
        # Temporary folders and safetensors' files are for their owner alone; a model need not be.
        working.chmod(0o755)
        for path in working.iterdir():
            path.chmod(0o644)
        _put_in_place(working, directory)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise


def _refuse_other_content(directory: Path) -> None:
    """A slip in a path must not cost anybody their files."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise CheckpointError(f"a model must be a directory, but {directory} is none")
    names = {path.name for path in directory.iterdir()}
    if CONFIG_FILE not in names and names - {CARD_FILE}:
        raise CheckpointError(
            f"{directory} must be a model, empty or absent, but holds {sorted(names)[:5]}"
        )


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
