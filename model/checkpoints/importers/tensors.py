"""Tensors of other projects' files, by their names there, and the table that turns them into ours.

An importer is such a table. Shapes are compared before values are read, and values are read one
tensor at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model.checkpoints.importers.problems import Problems
from model.config import TransformerConfig
from model.errors import CheckpointError
from model.network.shapes import weight_shapes
from model.network.weights import Floats

__all__ = ["ImportedWeights", "Taken", "Tensors", "made", "matrix", "same", "vector"]


class Tensors(Protocol):
    """What a file of weights holds."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor by its name."""

    def array(self, name: str) -> Floats:
        """A tensor in float32, of its shape.

        Raises:
            CheckpointError: it cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Where one of our weights comes from."""

    name: str | None
    """The tensor's name in the source; None if the source has none and the weight is made."""
    shape: tuple[int, ...]
    """What it must have there."""
    convert: Callable[[Floats], Floats]
    """Makes our weight of it; of zeros, if there is no tensor."""


def same(name: str, *shape: int) -> Taken:
    """A tensor that is ours as it stands."""
    return Taken(name=name, shape=shape, convert=lambda array: array)


def matrix(name: str, rows: int, columns: int) -> Taken:
    """A matrix of `rows` inputs and `columns` outputs; ours have the outputs first."""
    return Taken(name=name, shape=(rows, columns), convert=lambda array: array.T)


def vector(name: str, width: int) -> Taken:
    """A row (1, width); ours is (width)."""
    return Taken(name=name, shape=(1, width), convert=lambda array: array[0])


def made(value: Floats) -> Taken:
    """A weight that the source does not have."""
    return Taken(name=None, shape=(), convert=lambda _: value)


class ImportedWeights:
    """The weights of a Transformer, read one by one from a source: see `Weights`.

    Args:
        config: the shape of the model.
        tensors: of the source.
        table: where each weight of the model comes from.
        ignored: tensors of the source that the model does not need.
        problems: told whatever is missing, left over or misshapen.
    """

    def __init__(
        self,
        config: TransformerConfig,
        tensors: Tensors,
        table: Mapping[str, Taken],
        *,
        ignored: Collection[str] = (),
        problems: Problems,
    ) -> None:
        self.config = config
        self.shapes = weight_shapes(config)
        self._tensors = tensors
        self._table = table
        self._check(ignored, problems)

    def array(self, name: str) -> Floats:
        """See `Weights`.

        Raises:
            CheckpointError: the tensor cannot be read, or has numbers that are not finite.
        """
        taken = self._table[name]
        source = self._tensors.array(taken.name) if taken.name else np.zeros(0, np.float32)
        array = np.ascontiguousarray(taken.convert(source), np.float32)
        if array.shape != self.shapes[name]:
            raise CheckpointError(f"{name} must be {self.shapes[name]}, but is {array.shape}")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{taken.name} must be finite numbers, but is not")
        return array

    def _check(self, ignored: Collection[str], problems: Problems) -> None:
        found = self._tensors.shapes
        for name in self.shapes:
            if name not in self._table:
                problems.add(f"there is no source for the weight {name}")
        for name, taken in self._table.items():
            if name not in self.shapes:
                problems.add(f"the model has no weight {name}")
            if taken.name is None:
                continue
            if taken.name not in found:
                problems.add(f"it must have the tensor {taken.name}, but has not")
            elif (shape := found[taken.name]) != taken.shape:
                problems.add(f"{taken.name} must be {taken.shape}, but is {shape}")
        used = {taken.name for taken in self._table.values()}
        for name in found:
            if name not in used and name not in ignored:
                problems.add(f"it has the tensor {name!r}, which is not understood")
