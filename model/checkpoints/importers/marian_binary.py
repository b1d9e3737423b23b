"""Marian's binary files of weights (`.bin`), in the forms of Marian and of Bergamot (Firefox).

Little endian: version 1, the number of items, for each item the lengths of its name, shape and data
and its type, then all names, all shapes, padding, all data. A length is believed only after it was
held against the size of the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.checkpoints.importers.byte_reader import ByteReader
from model.errors import CheckpointError
from model.network.weights import Floats

__all__ = ["OPTIONS_ITEM", "MarianBinary", "is_marian_binary"]

OPTIONS_ITEM = "special:model.yml"
"""The item that holds the model's options, as YAML."""

_VERSION = 1
_ITEM = struct.Struct("<4Q")
_MOST_ITEMS = 20_000
"""A thousand layers have fewer."""
_MOST_DIMENSIONS = 8
_MOST_NAME_BYTES = 1000
_ROWS = "Wemb"
"""Matrices whose name ends so are stored as their shape says, also where others are transposed."""


def is_marian_binary(begin: bytes) -> bool:
    """Whether a file that begins with these 8 bytes may be one."""
    return begin[:8] == struct.pack("<Q", _VERSION)


@dataclass(frozen=True, kw_only=True)
class _Item:
    type: int
    shape: tuple[int, ...]
    data: memoryview
    """With the padding behind it."""


class MarianBinary:
    """The tensors of a file: see `Tensors`. Weights in 8 or 16 bits become float32.

    Args:
        content: of the file.

    Raises:
        CheckpointError: it is no such file, or is damaged.
    """

    def __init__(self, content: bytes) -> None:
        self._items = _read_items(memoryview(content))
        self.shapes = {
            name: item.shape for name, item in self._items.items() if name != OPTIONS_ITEM
        }
        self.types = {name: self._items[name].type for name in self.shapes}

    @property
    def options(self) -> bytes:
        """The model's options, as YAML.

        Raises:
            CheckpointError: the file has none.
        """
        if OPTIONS_ITEM not in self._items:
            raise CheckpointError(f"it must have the item {OPTIONS_ITEM}, but has not")
        return bytes(self._items[OPTIONS_ITEM].data).split(b"\0", 1)[0]

    def array(self, name: str) -> Floats:
        """See `Tensors`."""
        item = self._items[name]
        if item.type not in _TYPES:
            raise CheckpointError(_unsupported(name, item.type))
        return _TYPES[item.type].read(name, item)

    def unsupported(self) -> list[str]:
        """For each tensor of a type that cannot be read: which, and what to do."""
        return [_unsupported(name, code) for name, code in self.types.items() if code not in _TYPES]

    @property
    def quantized(self) -> bool:
        """Whether some weights have 8 or 16 bits."""
        return any(code in _TYPES and _TYPES[code].quantized for code in self.types.values())


def _read_items(content: memoryview) -> dict[str, _Item]:
    reader = ByteReader(content)
    version, count = reader.unpack(struct.Struct("<2Q"), "version")
    if version != _VERSION:
        raise CheckpointError(f"its version must be {_VERSION}, but is {version}")
    if count > min(_MOST_ITEMS, reader.left // _ITEM.size):
        raise CheckpointError(
            f"it must have at most {_MOST_ITEMS} items, and room for them, but has {count} in "
            f"{reader.left} bytes"
        )
    headers = [reader.unpack(_ITEM, "item") for _ in range(count)]
    names = [_name(reader.take(header[0], "name")) for header in headers]
    if len(set(names)) < count:
        twice = next(name for name in names if names.count(name) > 1)
        raise CheckpointError(f"each item must be given once, but {twice!r} is given again")
    shapes = [_shape(reader, length) for _, _, length, _ in headers]
    (padding,) = reader.unpack(struct.Struct("<Q"), "padding")
    reader.take(padding, "padding")
    items = {}
    for name, shape, (_, code, _, length) in zip(names, shapes, headers, strict=True):
        item = _Item(type=code, shape=shape, data=reader.take(length, name))
        if code in _TYPES and (least := _TYPES[code].num_bytes(shape)) > length:
            raise CheckpointError(f"{name} must have {least} bytes for {shape}, but has {length}")
        items[name] = item
    if reader.left:
        raise CheckpointError(f"it must end with its last item, but has {reader.left} bytes more")
    return items


def _name(stored: memoryview) -> str:
    if not 1 < len(stored) <= _MOST_NAME_BYTES or stored[-1] != 0:
        raise CheckpointError(
            f"a name must have 1 to {_MOST_NAME_BYTES - 1} bytes and a NUL, but is "
            f"{bytes(stored[:100])!r}"
        )
    try:
        name = bytes(stored[:-1]).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"a name must be UTF-8, but is {bytes(stored)[:100]!r}") from error
    if not name.isprintable():
        raise CheckpointError(f"a name must be printable, but is {name!r}")
    return name


def _shape(reader: ByteReader, length: int) -> tuple[int, ...]:
    if length > _MOST_DIMENSIONS:
        raise CheckpointError(
            f"a tensor must have at most {_MOST_DIMENSIONS} dimensions, but has {length}"
        )
    shape = reader.unpack(struct.Struct(f"<{length}i"), "shape")
    if any(size < 0 for size in shape):
        raise CheckpointError(f"a shape must have sizes >= 0, but is {shape}")
    return shape


@dataclass(frozen=True, kw_only=True)
class _Type:
    """One type of items: the bytes of a number, what stands behind the numbers, and the reading."""

    number: str
    """NumPy's name of a number's type."""
    multiplier: bool = False
    """Whether a float32 follows, by which the numbers are divided."""
    arrange: Callable[[str, tuple[int, ...], np.ndarray], np.ndarray] = (
        lambda name, shape, numbers: numbers.reshape(shape)
    )
    """Puts the numbers in the order of the shape."""

    @property
    def quantized(self) -> bool:
        return self.multiplier

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        return math.prod(shape) * np.dtype(self.number).itemsize + 4 * self.multiplier

    def read(self, name: str, item: _Item) -> Floats:
        count = math.prod(item.shape)
        numbers = np.frombuffer(item.data, self.number, count)
        with np.errstate(all="ignore"):  # who calls looks for what is not finite
            array = self.arrange(name, item.shape, numbers).astype(np.float32)
            if self.multiplier:
                array /= np.frombuffer(item.data, "<f4", 1, numbers.nbytes)
        return array


def _transposed(name: str, shape: tuple[int, ...], numbers: np.ndarray) -> np.ndarray:
    if name.endswith(_ROWS) or len(shape) != 2:
        return numbers.reshape(shape)
    return numbers.reshape(shape[::-1]).T


def _avx2_tiles(name: str, shape: tuple[int, ...], numbers: np.ndarray) -> np.ndarray:
    """From the tiles of 8 columns and 32 rows in which a processor with AVX2 multiplies."""
    if name.endswith(_ROWS):
        return numbers.reshape(shape)
    if len(shape) != 2 or shape[0] % 32 or shape[1] % 8:
        raise CheckpointError(f"{name} must be a matrix of (32 i, 8 j) numbers, but is {shape}")
    rows, columns = shape
    tiles = numbers.reshape(columns // 8, rows // 32, 8, 32)
    return tiles.transpose(1, 3, 0, 2).reshape(shape)


_TYPES = {
    0x404: _Type(number="<f4"),
    0x402: _Type(number="<f2"),
    0x101: _Type(number="i1"),
    0x102: _Type(number="<i2"),
    0x104: _Type(number="<i4"),
    # Bergamot's own codes, and then those of Marian since 1.9.
    0x4101: _Type(number="i1", multiplier=True, arrange=_transposed),
    0x4102: _Type(number="<i2", multiplier=True, arrange=_transposed),
    0x10001: _Type(number="i1", multiplier=True, arrange=_transposed),
    0x10002: _Type(number="<i2", multiplier=True, arrange=_transposed),
    0x11001: _Type(number="i1", multiplier=True, arrange=_avx2_tiles),
}

_NAMES = {
    0x802: "packed16",
    0x12001: "intgemm8 for AVX512",
    0x13001: "intgemm8 for AVX512-VNNI",
    0x14001: "intgemm8 for SSSE3",
}


def _unsupported(name: str, code: int) -> str:
    return (
        f"{name} must be of a type of which the order of numbers is known (float32, float16, int8, "
        f"intgemm8, intgemm16, intgemm8avx2), but is {_NAMES.get(code, 'type')} {code:#x}: convert "
        "the model's .npz with `marian-conv --gemm-type float32`"
    )
