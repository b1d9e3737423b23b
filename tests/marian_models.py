"""Models of Marian's fixtures, as its files have them and as ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sentencepiece
import torch
import yaml

from model.checkpoints.importers.marian_npz import MarianNpz
from model.checkpoints.importers.marian_options import MarianOptions
from model.checkpoints.importers.marian_weights import ignored_tensors, weight_table
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.tensors import ImportedWeights
from model.network.transformer import Transformer
from tests.fixtures.marian import FIXTURES
from tests.unit.model.checkpoints.importers.marian_writing import marian_npz

__all__ = ["MarianModel", "log_probs", "transformer_of"]


class MarianModel:
    """One variant: what its files hold."""

    def __init__(self, variant: str) -> None:
        self.folder = FIXTURES / variant
        tensors = MarianNpz((self.folder / "model.npz").read_bytes())
        self.tensors = {name: tensors.array(name) for name in tensors.shapes}
        self.options: dict[str, Any] = yaml.safe_load(tensors.options)
        vocabularies = sorted(self.folder.glob("*.spm"))
        self.source, self.target = (
            sentencepiece.SentencePieceProcessor(str(vocabularies[side])) for side in (0, -1)
        )

    def source_ids(self, text: str) -> list[int]:
        """With the end token."""
        return [*self.source.EncodeAsIds(text), self.source.eos_id()]

    def target_ids(self, text: str) -> list[int]:
        """Without it."""
        ids: list[int] = self.target.EncodeAsIds(text)
        return ids


def transformer_of(tensors: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> Transformer:
    """Our network with the weights of a Marian model, in float64."""
    problems = Problems("the model")
    read = MarianNpz(marian_npz(tensors, options))
    marian = MarianOptions(options, problems)
    config = marian.config(read.shapes, eos_id=0, unk_id=1)
    problems.raise_any()
    assert config is not None
    table = weight_table(config, marian, read.shapes)
    weights = ImportedWeights(
        config, read, table, ignored=ignored_tensors(read.shapes), problems=problems
    )
    problems.raise_any()
    network = Transformer(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(weights.array(name)))
    return network.eval()


def log_probs(logits: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """The log-probability of each token, (T), from (T, V) logits."""
    highest = logits.max(-1, keepdims=True)
    sums = np.log(np.exp(logits - highest).sum(-1)) + highest[:, 0]
    found: np.ndarray = logits[np.arange(len(tokens)), list(tokens)] - sums
    return found
