"""Weights as the Hugging Face Hub keeps them: safetensors, or PyTorch's pickles of tensors alone.

Headers and shapes are read at once, values one tensor at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from model.checkpoints.files import open_file
from model.checkpoints.importers.source_files import SourceFiles
from model.checkpoints.weights import StoredTensor, stored_tensors
from model.errors import CheckpointError
from model.network.weights import Floats

if TYPE_CHECKING:
    import torch

__all__ = ["WEIGHTS_FILES", "HuggingFaceTensors", "read_tensors"]

_SAFETENSORS, _PICKLE = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"
WEIGHTS_FILES = (
    _SAFETENSORS,
    _SAFETENSORS + _INDEX,
    _PICKLE,
    _PICKLE + _INDEX,
)
"""Names of weights, the better ones first; an index lists the files of a model in several."""
_OTHERS = ("tf_model.h5", "flax_model.msgpack", "rust_model.ot", "model.onnx")
_FLOATS = ("F16", "BF16", "F32", "F64")
_MOST_SHARDS = 1000
_MOST_HEADER_BYTES = 16 * 2**20
_POINTER = b"version https://git-lfs"
_Result = TypeVar("_Result")


class HuggingFaceTensors:
    """The tensors of one or several files: see `Tensors`."""

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        read: Callable[[str], Floats],
        integers: Mapping[str, str],
    ) -> None:
        self.shapes = shapes
        self._read = read
        self.integers = integers
        """Types of the tensors that are no floating-point numbers, by their names."""

    def array(self, name: str) -> Floats:
        """See `Tensors`."""
        if name in self.integers:
            raise CheckpointError(f"{name} must be floating-point, but is {self.integers[name]}")
        return self._read(name)


def read_tensors(files: SourceFiles) -> HuggingFaceTensors:
    """The weights of a folder; safetensors go before pickles.

    Raises:
        CheckpointError: there are none, or they cannot be read.
    """
    names = files.names()
    found = next((name for name in WEIGHTS_FILES if name in names), None)
    if found is None:
        others = ", ".join(name for name in _OTHERS if name in names)
        raise CheckpointError(
            f"its weights must be {_SAFETENSORS} or {_PICKLE}, but "
            + (f"are {others}: save the model with PyTorch" if others else "there are none")
        )
    shards = _shards(files, found) if found.endswith(_INDEX) else [found]
    for name in shards:
        if files.begin(name, len(_POINTER)) == _POINTER:
            raise CheckpointError(
                f"{name} must be weights, but is a pointer of Git LFS: fetch it with `git lfs pull`"
            )
        files.record(name)
    return (_of_safetensors if found.startswith(_SAFETENSORS) else _of_pickles)(files, shards)


def _shards(files: SourceFiles, index: str) -> list[str]:
    """The files that an index lists, each in the same folder."""
    try:
        values = json.loads(files.read(index, _MOST_HEADER_BYTES))["weight_map"].values()
        names = sorted(set(values))
        plain = all(PurePath(name).name == name for name in names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        names, plain = [], False
    if not plain or not 0 < len(names) <= _MOST_SHARDS:
        raise CheckpointError(
            f"{index} must list 1 to {_MOST_SHARDS} files of its folder in `weight_map`, "
            "but does not"
        )
    return names


def _of_safetensors(files: SourceFiles, shards: list[str]) -> HuggingFaceTensors:
    places: dict[str, tuple[str, StoredTensor]] = {}
    for shard in shards:
        found = stored_tensors(files.directory, shard, _MOST_HEADER_BYTES)
        _refuse_again(places, found)
        places |= {name: (shard, place) for name, place in found.items()}

    def read(name: str) -> Floats:
        shard, place = places[name]
        with open_file(files.directory, shard) as file:
            return place.read(file)

    return HuggingFaceTensors(
        {name: place.shape for name, (_, place) in places.items()},
        read,
        {name: place.dtype for name, (_, place) in places.items() if place.dtype not in _FLOATS},
    )


def _of_pickles(files: SourceFiles, shards: list[str]) -> HuggingFaceTensors:
    """Tensors of PyTorch's files, which stay on the disk until one is read, but for 2020's."""
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{shards[0]} needs PyTorch to be read, which is not installed: install it, or save "
            f"the model as {_SAFETENSORS}"
        ) from None
    tensors: dict[str, torch.Tensor] = {}
    for shard in shards:
        found = _unpickled(files, shard)
        _refuse_again(tensors, found)
        tensors |= found

    def read(name: str) -> Floats:
        numbers = _guarded(name, lambda: tensors[name].detach().to(torch.float32).numpy())
        return np.asarray(numbers, np.float32)

    return HuggingFaceTensors(
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        read,
        {
            name: str(tensor.dtype)
            for name, tensor in tensors.items()
            if not tensor.dtype.is_floating_point
        },
    )


def _unpickled(files: SourceFiles, shard: str) -> dict[str, torch.Tensor]:
    import torch

    with open_file(files.directory, shard) as file:
        mapped = file.read(2) == b"PK"
        file.seek(0)
        place: Any = files.directory / shard if mapped else file
        values: Any = _guarded(
            shard,
            lambda: torch.load(place, map_location="cpu", weights_only=True, mmap=mapped),
        )
    if not isinstance(values, dict):
        raise CheckpointError(f"{shard} must hold weights by their names, but is no dictionary")
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{shard} must hold weights alone, but has {str(name)[:100]!r} of type "
                f"{type(value).__name__}"
            )
        if value.layout is not torch.strided or value.device.type != "cpu":
            raise CheckpointError(f"{name} must be a dense tensor, but is {value.layout}")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{name} must have its numbers in {shard}, but repeats some")
    return values


def _guarded(what: str, read: Callable[[], _Result]) -> _Result:
    """What PyTorch reads; it fails with errors of many types."""
    import pickle
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that it then refuses, or reads
            return read()
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{what} must be a pickle of tensors alone, but asks for more, or is damaged; it is "
            "not read, for a pickle can run programs: save the model as safetensors where it is "
            "trusted"
        ) from None
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"cannot read {what}: {type(error).__name__}: {reason}") from None


def _refuse_again(known: Mapping[str, object], found: Mapping[str, object]) -> None:
    if again := sorted(known.keys() & found.keys()):
        raise CheckpointError(f"each tensor must be in one file, but {again[0]!r} is in two")
