"""The weights of a model directory: safetensors files, which are data and cannot run code.

The headers of these files say which weights they hold. They are compared with the manifest before
the files are read and before memory is taken for a model, and need no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from model.checkpoints.files import open_file
from model.config import TransformerConfig
from model.errors import CheckpointError
from model.network.shapes import weight_shapes

if TYPE_CHECKING:
    import torch

    from model.network.transformer import Transformer

__all__ = ["MAX_SHARD_BYTES", "check_weights", "load_weights", "write_weights"]

MAX_SHARD_BYTES = 40 * 2**20
"""Keeps every file below the 45 MB that common hosts of repositories accept without complaint."""

_DTYPES = ("F16", "BF16", "F32", "F64")
_HEADER_BYTES = 2**16
_HEADER_BYTES_PER_WEIGHT = 512
"""Most bytes of the headers of all files together: a weight takes some 150, and a file some."""


def check_weights(directory: Path, shards: Iterable[str], config: TransformerConfig) -> None:
    """Compares the headers of all weight files with what a model of this shape needs.

    A file is as long as its header says, so their sizes are compared as well.

    Raises:
        CheckpointError: a file is no safetensors file or has no weights, or a weight is missing,
            unknown, given twice, or of another shape or type.
    """
    expected = weight_shapes(config)
    missing = dict(expected)
    left = _HEADER_BYTES + _HEADER_BYTES_PER_WEIGHT * len(expected)
    for shard in shards:
        left -= _header_bytes(directory, shard, left)
        before = len(missing)
        for name, shape, dtype in _header(directory / shard):
            if name not in expected:
                raise CheckpointError(f"{shard} has weights that the model has not: {name!r}")
            if name not in missing:
                raise CheckpointError(f"{name} must be given once, but is again in {shard}")
            if shape != missing.pop(name):
                raise CheckpointError(f"{name} in {shard} must be {expected[name]}, but is {shape}")
            if dtype not in _DTYPES:
                raise CheckpointError(
                    f"{name} in {shard} must be one of {', '.join(_DTYPES)}, but is {dtype}"
                )
        if len(missing) == before:  # or there might be any number of files
            raise CheckpointError(f"{shard} must have weights, but has none")
    if missing:
        raise CheckpointError(f"{directory} lacks the weights {sorted(missing)[:5]}")


def load_weights(directory: Path, shards: Iterable[str], model: Transformer) -> None:
    """Fills `model` with the weights of files that `check_weights` has passed.

    Raises:
        CheckpointError: a number is not finite, or a file cannot be read.
    """
    import torch
    from safetensors.torch import load_file

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for shard in shards:
            try:
                tensors = load_file(directory / shard)
            except (SafetensorError, OSError, MemoryError) as error:
                raise CheckpointError(f"cannot read {directory / shard}: {error}") from error
            for name, tensor in tensors.items():
                if not torch.isfinite(tensor).all():
                    raise CheckpointError(f"{name} in {shard} must be finite numbers, but is not")
                parameters[name].copy_(tensor)


def write_weights(directory: Path, model: Transformer, dtype: torch.dtype) -> None:
    """Writes every weight once, a tied one under its first name, in files of MAX_SHARD_BYTES.

    Raises:
        CheckpointError: a weight does not fit into `dtype`.
    """
    import torch
    from safetensors.torch import save_file

    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, weight in model.named_parameters():
        stored = weight.detach().to("cpu", dtype).contiguous()
        if not torch.isfinite(stored).all():
            raise CheckpointError(
                f"{name} does not fit into {stored.dtype}: it is not finite there"
            )
        if size + stored.nbytes > MAX_SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = stored
        size += stored.nbytes
    for index, tensors in enumerate(shards, start=1):
        save_file(tensors, directory / f"model-{index:05d}-of-{len(shards):05d}.safetensors")


def _header_bytes(directory: Path, shard: str, most: int) -> int:
    """The length of a file's header, for which `safe_open` takes memory."""
    path = directory / shard
    with open_file(directory, shard) as file:
        try:
            begin = file.read(8)
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if len(begin) < 8:
        raise CheckpointError(f"cannot read {path}: it must have a header, but ends before it")
    length = int.from_bytes(begin, "little")
    if length > most:
        raise CheckpointError(
            f"{path} must have a header for the weights of the model, at most "
            f"{most} bytes of it, but has {length}"
        )
    return length


def _header(path: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of each tensor."""
    try:
        with safe_open(path, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_slice(name)
                yield name, tuple(tensor.get_shape()), tensor.get_dtype()
    except (SafetensorError, OSError, MemoryError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
