"""Which weights a benchmark runs on. No torch in here until they are loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from model.checkpoints.checkpoint import check_checkpoint
from model.checkpoints.embedded import DEFAULT, model_directory
from model.checkpoints.manifest import read_manifest
from model.config import TransformerConfig
from model.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from model.network.transformer import Transformer

__all__ = [
    "FIRST_FREE_ID",
    "FIRST_LENGTH_ID",
    "MAX_PLANNED_TOKENS",
    "RANDOM_MODELS",
    "BenchModel",
    "digest",
    "length_token",
]

MAX_PLANNED_TOKENS = 127
"""Longest target that can be planned, the end token included."""
FIRST_LENGTH_ID = 5
"""The token id that asks random weights for a target of one token; special ids stand before it."""
FIRST_FREE_ID = FIRST_LENGTH_ID + MAX_PLANNED_TOKENS
"""The first token id that means nothing to random weights."""

RANDOM_MODELS = {
    "paper-base": TransformerConfig.base(32_000),
    "deep-shallow": TransformerConfig.base(32_000, num_decoder_layers=2),
}
"""Shapes whose weights are drawn from the seed."""


def length_token(target_tokens: int) -> int:
    """The first token of a source that asks random weights for a target of so many tokens.

    Raises:
        ValueError: so many, the end token included, cannot be planned.
    """
    if not 1 <= target_tokens <= MAX_PLANNED_TOKENS:
        raise ValueError(
            f"`target_tokens` must be in [1, {MAX_PLANNED_TOKENS}], but is {target_tokens}"
        )
    return FIRST_LENGTH_ID + target_tokens - 1


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """Names weights, so that every process can have the same ones."""

    name: str
    config: TransformerConfig
    directory: Path | None
    """The model directory of trained weights; None for random ones."""
    max_source_tokens: int
    seed: int
    endless: bool = False
    """Whether targets end at their limit alone; else random ones are as long as planned."""
    original: Path | None = None
    """The folder of another project's files that `directory` was imported from."""

    @classmethod
    def named(cls, name: str, *, seed: int) -> Self:
        """One of `RANDOM_MODELS`, a model directory, the name of an embedded model, or "embedded":
        the first of these.

        Raises:
            CheckpointError: there is no such model directory.
        """
        if name in RANDOM_MODELS:
            directory, config = None, RANDOM_MODELS[name]
            longest = config.max_positions
        else:
            directory = DEFAULT if name == "embedded" else model_directory(name)
            manifest = read_manifest(directory)
            config = manifest.config
            longest = manifest.metadata.max_source_tokens or config.max_positions
        return cls(
            name=name, config=config, directory=directory, max_source_tokens=longest, seed=seed
        )

    def tokenizer(self) -> Tokenizer:
        """Its own; of random weights, whose sources have the lengths of texts, the default's."""
        return check_checkpoint(self.directory or DEFAULT)[1]

    def load(self) -> Transformer:
        """The weights, float32, on the CPU, in evaluation mode."""
        import torch

        model = self._load()
        if self.endless:
            with torch.no_grad():  # some other token has a logit above zero, however rounded
                model.projection.weight[self.config.eos_id] = 0.0
                if model.projection.bias is not None:
                    model.projection.bias[self.config.eos_id] = 0.0
        return model

    def _load(self) -> Transformer:
        import torch

        from model.checkpoints.checkpoint import load_checkpoint
        from model.network.transformer import Transformer

        if self.directory is not None:
            return load_checkpoint(self.directory).model
        from loadtests.bench.planned_lengths import plan_lengths

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = Transformer(self.config).eval()
        if not self.endless:
            plan_lengths(model)
        return model


def digest(model: Transformer) -> str:
    """SHA-256 of all weights: two processes that say the same have the same."""
    sums = hashlib.sha256()
    for name, weight in model.named_parameters():
        sums.update(name.encode())
        sums.update(weight.detach().contiguous().numpy().tobytes())
    return sums.hexdigest()
