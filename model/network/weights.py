"""A model's weights as arrays, wherever they are kept: no torch in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from model.config import TransformerConfig

if TYPE_CHECKING:
    from model.network.transformer import Transformer

__all__ = ["Floats", "Weights"]

Floats = NDArray[np.float32]


class Weights(Protocol):
    """The weights of a Transformer: of one in memory, or in the files of a model directory."""

    @property
    def config(self) -> TransformerConfig:
        """The shape of the model."""

    def array(self, name: str) -> Floats:
        """A weight by its name in `model.network.shapes`, C-contiguous; not to be written to."""

    def rows(self, name: str, numbers: Sequence[int]) -> Floats:
        """Some rows of a matrix, by their numbers: what a table of embeddings is read for."""

    def transformer(self) -> Transformer:
        """The model in PyTorch, which then is imported."""
