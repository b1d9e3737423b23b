"""The weights of a model directory: safetensors files, which are data and cannot run code.

The headers of these files say which weights they hold. They are compared with the manifest before
the files are read and before memory is taken for a model. Reading needs no torch, and takes memory
for one weight at a time.

A matrix of at most 256 different numbers, as one that was int8 elsewhere, is written as bytes: each
is a place in the list of those numbers, which is a tensor beside it (`NAME.values`). So it takes a
quarter of the space, and is the same to the bit whatever it was made by.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from model.checkpoints.files import WEIGHTS_SUFFIX, open_file
from model.config import TransformerConfig
from model.errors import CheckpointError
from model.network.shapes import weight_shapes
from model.network.weights import Floats

if TYPE_CHECKING:
    from model.network.transformer import Transformer

__all__ = [
    "MAX_SHARD_BYTES",
    "StoredDtype",
    "StoredTensor",
    "StoredWeights",
    "check_weights",
    "stored_tensors",
    "write_weights",
]

StoredDtype = Literal["float16", "float32"]
"""What weights are written as."""

MAX_SHARD_BYTES = 40 * 2**20
"""Keeps every file below the 45 MB that common hosts of repositories accept without complaint."""

_DTYPES = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
"""Those that a weight may have, in NumPy's words, which has none for bfloat16: the upper halves of
float32."""
_CODES = "U8"
"""The type of matrices that are places in a list of numbers."""
_VALUES = ".values"
"""What is behind a matrix's name in that of the list."""
_MOST_VALUES = 256
_SAMPLE = 4096
"""So many numbers are looked at first: in most matrices, all are different."""
_NUMBERS_AT_A_TIME = 2**22
"""Numbers of a weight that are read at once: some 20 MB with their copy."""
_PLACES_AT_A_TIME = 2**16
"""NumPy makes 64 bits of each place."""
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
    allowed = (*_DTYPES, _CODES)
    left = _HEADER_BYTES + _HEADER_BYTES_PER_WEIGHT * len(expected)
    for shard in shards:
        left -= _header_bytes(directory, shard, left)
        before = len(missing)
        entries = {name: (shape, dtype) for name, shape, dtype in _header(directory / shard)}
        for name in [each for each in expected if entries.get(each, ((), ""))[1] == _CODES]:
            _check_values(name, shard, *entries.pop(name + _VALUES, (None, "")))
        for name, (shape, dtype) in entries.items():
            if name not in expected:
                raise CheckpointError(f"{shard} has weights that the model has not: {name!r}")
            if name not in missing:
                raise CheckpointError(f"{name} must be given once, but is again in {shard}")
            if shape != missing.pop(name):
                raise CheckpointError(f"{name} in {shard} must be {expected[name]}, but is {shape}")
            if dtype not in allowed:
                raise CheckpointError(
                    f"{name} in {shard} must be one of {', '.join(allowed)}, but is {dtype}"
                )
        if len(missing) == before:  # or there might be any number of files
            raise CheckpointError(f"{shard} must have weights, but has none")
    if missing:
        raise CheckpointError(f"{directory} lacks the weights {sorted(missing)[:5]}")


class StoredWeights:
    """The weights in files that `check_weights` has passed: see `Weights`.

    Args:
        directory: of the model.
        shards: its files of weights.
        config: the shape of the model.

    Raises:
        CheckpointError: a file cannot be read any more.
    """

    def __init__(self, directory: Path, shards: Iterable[str], config: TransformerConfig) -> None:
        self.config = config
        self._directory = directory
        self._places: dict[str, StoredTensor] = {}
        for shard in shards:
            self._places |= stored_tensors(directory, shard)

    def array(self, name: str) -> Floats:
        """See `Weights`; each time it is read anew.

        Raises:
            CheckpointError: a number is not finite in float32, or the file cannot be read.
        """
        place = self._places[name]
        with open_file(self._directory, place.shard) as file:
            array = place.read(file)
        return self._finite(name, place, array)

    def rows(self, name: str, numbers: Sequence[int]) -> Floats:
        """See `Weights`: no more than these is read.

        Raises:
            CheckpointError: as `array`.
        """
        place = self._places[name]
        with open_file(self._directory, place.shard) as file:
            array = np.stack([place.row(number).read(file) for number in numbers])
        return self._finite(name, place, array)

    def _finite(self, name: str, place: StoredTensor, array: Floats) -> Floats:
        if not math.isfinite(array.min()) or not math.isfinite(array.max()):
            raise CheckpointError(f"{name} in {place.shard} must be finite numbers, but is not")
        return array

    def transformer(self) -> Transformer:
        """See `Weights`: on the CPU, float32, in evaluation mode.

        Raises:
            CheckpointError: as `array` does, or it does not fit into memory.
        """
        import torch

        from model.network.transformer import Transformer

        try:
            model = Transformer(self.config)
        except (MemoryError, RuntimeError) as error:  # the latter is PyTorch's own
            raise CheckpointError(
                f"{self._directory} must fit into memory, but does not: {error}"
            ) from error
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(torch.from_numpy(self.array(name)))
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """Where a weight is, and as what, in the words of safetensors."""

    shard: str
    offset: int
    shape: tuple[int, ...]
    dtype: str
    values: StoredTensor | None = None
    """The numbers of which it holds the places, if it does."""

    def row(self, number: int) -> StoredTensor:
        """Where a row of a matrix is."""
        size = 1 if self.values is not None else np.dtype(_DTYPES[self.dtype]).itemsize
        offset = self.offset + number * self.shape[1] * size
        return replace(self, offset=offset, shape=self.shape[1:])

    def read(self, file: BufferedReader) -> Floats:
        """The weight in float32, C-contiguous; a part at a time, for the table of a large
        vocabulary would else be in memory twice."""
        try:
            values = None if self.values is None else self.values.read(file)
            array = np.empty(self.shape, np.float32)
            file.seek(self.offset)
            flat = array.reshape(-1)
            step = _NUMBERS_AT_A_TIME if values is None else _PLACES_AT_A_TIME
            for start in range(0, flat.size, step):
                self._read_part(file, flat[start : start + step], values)
        except (OSError, MemoryError) as error:
            raise CheckpointError(f"cannot read {file.name}: {error}") from error
        return array

    def _read_part(self, file: BufferedReader, part: Floats, values: Floats | None) -> None:
        stored = np.empty(part.shape, np.uint8 if values is not None else _DTYPES[self.dtype])
        if file.readinto(stored.data.cast("B")) != stored.nbytes:
            raise CheckpointError(f"{file.name} must have all its weights, but ends before")
        if values is not None:
            if stored.max() >= len(values):
                raise CheckpointError(
                    f"{file.name} must have places below {len(values)}, but has {stored.max()}"
                )
            np.take(values, stored, out=part, mode="clip")
        elif self.dtype == "BF16":
            np.left_shift(stored, 16, out=part.view(np.uint32), dtype=np.uint32)
        else:
            with np.errstate(over="ignore"):  # who calls looks for what is not finite
                part[:] = stored


def write_weights(
    directory: Path,
    weights: Iterable[tuple[str, npt.NDArray[np.floating]]],
    config: TransformerConfig,
    dtype: StoredDtype,
) -> None:
    """Writes weights in files of MAX_SHARD_BYTES, the first before the last weights are asked for.

    Args:
        directory: where the files are made.
        weights: each of `weight_shapes(config)` once, in any order.
        config: the shape of the model.
        dtype: of the numbers in the files.

    Raises:
        CheckpointError: a weight does not fit into `dtype`, or is unknown, given twice, missing or
            of another shape; all of the latter are named.
    """
    expected = weight_shapes(config)
    problems: list[str] = []
    written: list[Path] = []
    shard: dict[str, npt.NDArray[Any]] = {}
    seen: set[str] = set()

    def write() -> None:
        written.append(directory / f"{len(written)}.part")
        save_file(shard, written[-1])
        shard.clear()

    for name, weight in weights:
        if problem := _problem(name, weight.shape, expected, seen):
            problems.append(problem)
        seen.add(name)
        if problems:
            continue
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(weight, dtype)
        if not math.isfinite(stored.min()) or not math.isfinite(stored.max()):
            raise CheckpointError(f"{name} does not fit into {dtype}: it is not finite there")
        parts = _as_stored(name, stored)
        size = sum(each.nbytes for each in (*shard.values(), *parts.values()))
        if shard and size > MAX_SHARD_BYTES:
            write()
        shard |= parts
    problems += [f"{name} is missing" for name in expected if name not in seen]
    if problems:
        raise CheckpointError("the weights must be those of the model, but " + "; ".join(problems))
    write()
    for index, path in enumerate(written, start=1):
        path.rename(directory / f"model-{index:05d}-of-{len(written):05d}{WEIGHTS_SUFFIX}")


def _as_stored(name: str, weight: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a weight: itself, or the places of its numbers and those numbers."""
    # By their bits: -0.0 is not 0.0.
    bits = weight.view(f"u{weight.itemsize}")
    if weight.ndim < 2 or len(np.unique(bits.reshape(-1)[:_SAMPLE])) > _MOST_VALUES:
        return {name: weight}
    values = np.unique(bits)
    if len(values) > _MOST_VALUES or 2 * len(values) > weight.size:
        return {name: weight}
    places = np.searchsorted(values, bits).astype(np.uint8)
    return {name: places, name + _VALUES: values.view(weight.dtype)}


def _check_values(name: str, shard: str, shape: tuple[int, ...] | None, dtype: str) -> None:
    """Whether there is a list of numbers for the places in a matrix."""
    if shape is None or len(shape) != 1 or not 0 < shape[0] <= _MOST_VALUES or dtype not in _DTYPES:
        was = "there is none" if shape is None else f"it is {shape} of {dtype}"
        raise CheckpointError(
            f"{name + _VALUES} in {shard} must be a list of 1 to {_MOST_VALUES} numbers of "
            f"{', '.join(_DTYPES)}, but {was}"
        )


def _problem(
    name: str,
    shape: tuple[int, ...],
    expected: Mapping[str, tuple[int, ...]],
    seen: Collection[str],
) -> str | None:
    """What is wrong with a weight that is to be written; None if it fits."""
    if name not in expected:
        return f"{name} is unknown"
    if name in seen:
        return f"{name} is given twice"
    if shape != expected[name]:
        return f"{name} is {shape} instead of {expected[name]}"
    return None


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


def stored_tensors(
    directory: Path, shard: str, most_header_bytes: int | None = None
) -> dict[str, StoredTensor]:
    """Where each weight of a safetensors file is.

    Args:
        directory, shard: of the file.
        most_header_bytes: of a file whose header has not been checked yet; then it is.

    Raises:
        CheckpointError: the file cannot be read, or its header is longer or not in order.
    """
    if most_header_bytes is not None:
        _header_bytes(directory, shard, most_header_bytes)
        for _ in _header(directory / shard):
            pass
    with open_file(directory, shard) as file:
        try:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length))
        except (OSError, ValueError, MemoryError) as error:
            raise CheckpointError(f"cannot read {directory / shard}: {error}") from error
    header.pop("__metadata__", None)
    tensors = {
        name: StoredTensor(
            shard=shard,
            offset=8 + length + each["data_offsets"][0],
            shape=tuple(each["shape"]),
            dtype=each["dtype"],
        )
        for name, each in header.items()
    }
    for name, tensor in tensors.items():
        if tensor.dtype == _CODES:
            tensors[name] = replace(tensor, values=tensors.get(name + _VALUES))
    return tensors
