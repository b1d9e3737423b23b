"""Which weights a benchmark runs on. No torch in here until they are loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from model.checkpoints.checkpoint import read_manifest
from model.checkpoints.embedded import DEFAULT, model_directory
from model.config import TransformerConfig

if TYPE_CHECKING:
    from model.network.transformer import Transformer

__all__ = ["RANDOM_MODELS", "BenchModel", "digest"]

RANDOM_MODELS = {
    "paper-base": TransformerConfig.base(32_000),
    "deep-shallow": TransformerConfig.base(32_000, num_decoder_layers=2),
}
"""Shapes whose weights are drawn from the seed."""


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """Names weights, so that every process can have the same ones."""

    name: str
    config: TransformerConfig
    directory: Path | None
    """Of trained weights; None for random ones."""
    max_source_tokens: int
    seed: int

    @classmethod
    def named(cls, name: str, *, seed: int) -> Self:
        """One of `RANDOM_MODELS`, a model directory, the name of an embedded model, or "embedded":
        the first of these.

        Raises:
            CheckpointError: there is no such model directory.
        """
        if name in RANDOM_MODELS:
            config = RANDOM_MODELS[name]
            return cls(
                name=name,
                config=config,
                directory=None,
                max_source_tokens=config.max_positions,
                seed=seed,
            )
        directory = DEFAULT if name == "embedded" else model_directory(name)
        manifest = read_manifest(directory)
        trained = manifest.metadata.max_source_tokens or manifest.config.max_positions
        return cls(
            name=name,
            config=manifest.config,
            directory=directory,
            max_source_tokens=trained,
            seed=seed,
        )

    def load(self) -> Transformer:
        """The weights, float32, on the CPU, in evaluation mode; random ones plan their lengths."""
        import torch

        from model.checkpoints.checkpoint import load_checkpoint
        from model.network.transformer import Transformer

        if self.directory is not None:
            return load_checkpoint(self.directory).model
        from loadtests.bench.planned_lengths import plan_lengths

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = Transformer(self.config).eval()
        plan_lengths(model)
        return model


def digest(model: Transformer) -> str:
    """SHA-256 of all weights: two processes that say the same have the same."""
    sums = hashlib.sha256()
    for name, weight in model.named_parameters():
        sums.update(name.encode())
        sums.update(weight.detach().contiguous().numpy().tobytes())
    return sums.hexdigest()
