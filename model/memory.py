"""How much memory a model will take on a CPU, from its directory and the engine's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.checkpoints.files import SHORTLIST_FILE
from model.checkpoints.manifest import Manifest, read_manifest
from model.config import EngineConfig, TransformerConfig
from model.engine.backends import chosen_dtype, num_slots, num_threads
from model.errors import CheckpointError
from model.network.memory import scratch_bytes, shortlist_bytes, slot_bytes, weights_bytes

__all__ = ["ModelMemory", "model_memory"]

_BYTES_PER_PIECE = 165
"""Bytes of a tokenizer for each piece, SentencePiece's tables for finding it included."""
_USUAL_SHORTLIST = 1024
"""Target ids for a sentence; long ones have up to eight times as many."""
_ROUNDING_BYTES = 1 << 20
"""Weights lie on large pages, whose last one is seldom full."""


@dataclass(frozen=True, kw_only=True)
class ModelMemory:
    """Bytes that a model takes in a process, which itself takes some 100 MB."""

    weights: int
    vocabulary: int
    """Tokenizer and shortlist."""
    slot: int
    """The cache of a hypothesis whose source and target are the longest; and a shortlist's rows as
    they usually are."""
    num_slots: int
    scratch: int
    """Activations of all threads."""

    @property
    def loaded(self) -> int:
        """As long as it is loaded, and nobody uses it."""
        return self.weights + self.vocabulary + _ROUNDING_BYTES

    @property
    def working(self) -> int:
        """At most, beside `loaded`, while it is used."""
        return self.slot * self.num_slots + self.scratch


def model_memory(directory: Path, engine: EngineConfig) -> ModelMemory:
    """The memory of the model in `directory`, whose weights are not read.

    Raises:
        CheckpointError: the directory holds no model, or it is damaged.
    """
    manifest = read_manifest(directory)
    config, dtype = manifest.config, chosen_dtype(engine)
    listed = 0
    if manifest.metadata.shortlist and engine.shortlist:
        listed = shortlist_bytes(config, dtype, _USUAL_SHORTLIST)
    longest = min(manifest.metadata.max_source_tokens or config.max_positions, config.max_positions)
    return ModelMemory(
        weights=weights_bytes(config, dtype),
        vocabulary=_BYTES_PER_PIECE * _num_pieces(config) + _shortlist_bytes(directory, manifest),
        slot=slot_bytes(config, dtype, max_source_tokens=longest) + listed,
        num_slots=num_slots(engine),
        scratch=num_threads(engine) * scratch_bytes(config),
    )


def _num_pieces(config: TransformerConfig) -> int:
    shared = config.shared_embeddings
    return config.src_vocab_size + (0 if shared else config.tgt_vocab_size)


def _shortlist_bytes(directory: Path, manifest: Manifest) -> int:
    if not manifest.metadata.shortlist:
        return 0
    try:
        return (directory / SHORTLIST_FILE).stat().st_size
    except OSError as error:
        raise CheckpointError(f"cannot read {directory / SHORTLIST_FILE}: {error}") from error
