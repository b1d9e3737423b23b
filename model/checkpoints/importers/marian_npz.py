"""Marian's `.npz` files of weights: NumPy's arrays in a zip archive, read without pickle.

Marian does not compress them, so no tensor is larger than its part of the file.
"""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.lib import format as npy

from model.checkpoints.importers.marian_binary import OPTIONS_ITEM
from model.errors import CheckpointError
from model.network.weights import Floats

__all__ = ["MarianNpz", "is_zip"]

_SUFFIX = ".npy"
_MOST_ITEMS = 20_000
_TYPES = ("<f4", "<f2", "<f8", "|i1")
_Result = TypeVar("_Result")


def is_zip(begin: bytes) -> bool:
    """Whether a file that begins with these bytes may be a zip archive."""
    return begin.startswith(b"PK\x03\x04")


class MarianNpz:
    """The tensors of a file: see `Tensors`.

    Args:
        content: of the file.

    Raises:
        CheckpointError: it is no such file, or is damaged.
    """

    quantized = False

    def __init__(self, content: bytes) -> None:
        self._archive = _guarded("the archive", lambda: zipfile.ZipFile(io.BytesIO(content)))
        self._members: dict[str, zipfile.ZipInfo] = {}
        members = self._archive.infolist()
        if len(members) > _MOST_ITEMS:
            raise CheckpointError(f"it must have at most {_MOST_ITEMS} arrays, but has more")
        for member in members:
            name = member.filename.removesuffix(_SUFFIX)
            if name in self._members:
                raise CheckpointError(f"each array must be given once, but {name!r} is again")
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(content):
                raise CheckpointError(
                    f"{name!r} must not be compressed, but is: write the arrays with numpy.savez"
                )
            self._members[name] = member
        self.shapes = {name: self._header(name)[0] for name in self._members}
        self._has_options = self.shapes.pop(OPTIONS_ITEM, None) is not None

    @property
    def options(self) -> bytes:
        """The model's options, as YAML.

        Raises:
            CheckpointError: the file has none.
        """
        if not self._has_options:
            raise CheckpointError(f"it must have the array {OPTIONS_ITEM}, but has not")
        return self._numbers(OPTIONS_ITEM).tobytes().split(b"\0", 1)[0]

    def array(self, name: str) -> Floats:
        """See `Tensors`."""
        with np.errstate(over="ignore"):  # who calls looks for what is not finite
            return self._numbers(name).astype(np.float32, copy=False)

    def unsupported(self) -> list[str]:
        """No array of an unknown type: it would have been refused before."""
        return []

    def _numbers(self, name: str) -> np.ndarray:
        def read() -> np.ndarray:
            with self._archive.open(self._members[name]) as file:
                return npy.read_array(file, allow_pickle=False)

        return _guarded(name, read)

    def _header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of an array, which has as many bytes as they say."""

        def read() -> tuple[tuple[int, ...], bool, np.dtype, int]:
            with self._archive.open(self._members[name]) as file:
                version = npy.read_magic(file)
                if version == (1, 0):
                    header = npy.read_array_header_1_0(file)
                else:
                    header = npy.read_array_header_2_0(file)
                return (*header, file.tell())

        shape, _, dtype, begin = _guarded(name, read)
        if dtype.str not in _TYPES:
            raise CheckpointError(f"{name!r} must be one of {', '.join(_TYPES)}, but is {dtype}")
        size = self._members[name].file_size
        if min(shape, default=1) < 0 or begin + math.prod(shape) * dtype.itemsize != size:
            raise CheckpointError(
                f"{name!r} must have the numbers of its shape {shape}, but has {size} bytes"
            )
        return shape, dtype


def _guarded(what: str, read: Callable[[], _Result]) -> _Result:
    """`read()`, of which zipfile and NumPy give up damaged content in many ways."""
    try:
        return read()
    except (
        zipfile.BadZipFile, OSError, EOFError, ValueError, TypeError, KeyError, IndexError,
        SyntaxError, RuntimeError, OverflowError, MemoryError,
        RecursionError, tokenize.TokenError, AttributeError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"cannot read {what!r} of the .npz file: {error}") from error
