"""CTranslate2's file of weights, `model.bin`, in its binary versions 1 to 6.

Little endian: the version; from 2 on the name and the revision of the kind of model; the variables,
each with its name, shape, type and bytes; from 3 on names that stand for other variables. A length
is believed only after it was held against the size of the file.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from model.checkpoints.importers.byte_reader import ByteReader
from model.errors import CheckpointError
from model.network.weights import Floats

__all__ = ["Ctranslate2Binary", "is_ctranslate2_binary"]

_NEWEST_VERSION = 6
_MOST_VARIABLES = 100_000
"""A thousand layers have fewer."""
_MOST_REPEATED = 4
"""How many times what a file holds its other names may stand for: embeddings have two of them."""
_MOST_DIMENSIONS = 8
_MOST_NAME_BYTES = 1000
_SCALE = "_scale"
"""What follows the name of a weight in the name of its scale."""
_OLD_INT16_SCALE = 1000
"""The scale of all weights in 16 bits, in files that hold no scale for them."""

_TYPES: tuple[str, ...] = ("<f4", "i1", "<i2", "<i4", "<f2", "bfloat16")
"""By their codes from version 4 on."""
_OLD_TYPES = {4: "<f4", 2: "<i2", 1: "i1"}
"""By the bytes of a number, before."""
_NUM_BYTES = {"<f4": 4, "i1": 1, "<i2": 2, "<i4": 4, "<f2": 2, "bfloat16": 2}

_OLD_NAMES = (
    (re.compile(r"^transformer/|:0(?=$|_)"), ""),
    (re.compile(r"w_embs"), "embeddings/weight"),
    (re.compile(r"kernel"), "weight"),
    (re.compile(r"LayerNorm"), "layer_norm"),
    (re.compile(r"conv1d_(?=\d)"), "linear_"),
    (re.compile(r"conv1d"), "linear_0"),
    (re.compile(r"decoder/dense(_0)?"), "decoder/projection"),
    (re.compile(r"masked_multi_head"), "self_attention"),
    (re.compile(r"(?<=encoder)/(layer_\d+)/multi_head"), r"/\1/self_attention"),
    (re.compile(r"multi_head"), "attention"),
)
"""How names of version 1 become those of all others."""


def is_ctranslate2_binary(begin: bytes) -> bool:
    """Whether a file that begins with these 8 bytes may be one."""
    version, count, half = struct.unpack("<IHH", begin) if len(begin) == 8 else (0, 0, 0)
    # The next number is the length of a name, or in version 1 how many variables there are.
    return bool(1 <= version < 256 and (count or half))


@dataclass(frozen=True, kw_only=True)
class _Variable:
    type: str
    shape: tuple[int, ...]
    data: memoryview
    scale: _Variable | None = None
    """By which the numbers have been multiplied: one for each row, or one for all."""

    def same_as(self, other: _Variable) -> bool:
        """Whether it is equal to the last bit."""
        if (self.type, self.shape) != (other.type, other.shape):
            return False
        if self.data is not other.data and bool(self.data != other.data):
            return False
        if self.scale is None or other.scale is None:
            return self.scale is other.scale
        return self.scale.same_as(other.scale)


class Ctranslate2Binary:
    """The tensors of a file: see `Tensors`. Weights of every type become float32.

    Args:
        content: of the file.

    Raises:
        CheckpointError: it is no such file, or is damaged.
    """

    def __init__(self, content: bytes) -> None:
        reader = _Reader(memoryview(content))
        self.version = reader.number("<I", "version")
        if not 1 <= self.version <= _NEWEST_VERSION:
            raise CheckpointError(
                f"its binary version must be 1 to {_NEWEST_VERSION}, but is {self.version}: it was "
                "written by a CTranslate2 that came later, convert it with one of 3.x or 4.x"
            )
        self.kind = "" if self.version == 1 else reader.text("kind of model")
        """The name of CTranslate2's specification; empty in version 1."""
        self.revision = 1 if self.version == 1 else reader.number("<I", "revision")
        variables = dict(_variables(reader, self.version))
        if self.version >= 3:
            _add_aliases(reader, variables)
        if reader.left:
            raise CheckpointError(f"it must end with its last name, but has {reader.left} more")
        if self.version == 1:
            variables = {_new_name(name): each for name, each in variables.items()}
        self._tensors = {
            name: replace(each, scale=variables.get(name + _SCALE))
            for name, each in variables.items()
            if each.shape and not _is_scale(name, variables)
        }
        self._scalars = {
            name: each
            for name, each in variables.items()
            if not each.shape and not _is_scale(name, variables)
        }
        self.shapes = {name: each.shape for name, each in self._tensors.items()}

    def attributes(self) -> dict[str, float | int]:
        """The variables that are single numbers, by their names."""
        return {name: _numbers(each).item() for name, each in self._scalars.items()}

    def text(self, name: str) -> str | None:
        """A variable that is a list of bytes, as text; None if there is none.

        Raises:
            CheckpointError: it is no text.
        """
        each = self._tensors.get(name)
        if each is None:
            return None
        try:
            return bytes(each.data).decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{name} must be UTF-8, but is not") from error

    def are_same(self, name: str, other: str) -> bool:
        """Whether two tensors are there and equal to the last bit."""
        first, second = self._tensors.get(name), self._tensors.get(other)
        return first is not None and second is not None and first.same_as(second)

    def array(self, name: str) -> Floats:
        """See `Tensors`."""
        each = self._tensors[name]
        array = _numbers(each).reshape(each.shape).astype(np.float32)
        scale = self._scale(name, each)
        with np.errstate(all="ignore"):  # who calls looks for what is not finite
            return array if scale is None else array / scale

    def types(self) -> list[str]:
        """The types of all numbers that are weights, as NumPy or others call them; sorted."""
        return sorted({each.type for each in self._tensors.values()})

    def _scale(self, name: str, each: _Variable) -> Floats | None:
        if each.type not in ("i1", "<i2"):
            return None
        if each.scale is None:
            if each.type == "i1":
                raise CheckpointError(f"{name} must have scales, for it is in 8 bits, but has none")
            return np.array(_OLD_INT16_SCALE, np.float32)
        scale = _numbers(each.scale).astype(np.float32)
        if scale.size not in (1, each.shape[0]):
            raise CheckpointError(
                f"{name} must have {each.shape[0]} scales or 1, but has {scale.size}"
            )
        return scale.reshape(-1, *[1] * (len(each.shape) - 1))


class _Reader(ByteReader):
    def text(self, what: str) -> str:
        stored = bytes(self.take(self.number("<H", what), what))
        try:
            text = stored.removesuffix(b"\0").decode()
        except UnicodeDecodeError:
            text = "\0"
        if not text or not text.isprintable() or len(stored) > _MOST_NAME_BYTES:
            raise CheckpointError(
                f"{what} must be a printable line of 1 to {_MOST_NAME_BYTES} bytes, but is "
                f"{stored[:100]!r}"
            )
        return text


def _variables(reader: _Reader, version: int) -> Iterator[tuple[str, _Variable]]:
    seen = set()
    for _ in range(_count(reader, "variables")):
        name = reader.text("the name of a variable")
        if name in seen:
            raise CheckpointError(f"each variable must be given once, but {name!r} is given again")
        seen.add(name)
        yield name, _variable(reader, name, version)


def _variable(reader: _Reader, name: str, version: int) -> _Variable:
    rank = reader.number("<B", name)
    if rank > _MOST_DIMENSIONS:
        raise CheckpointError(
            f"{name} must have at most {_MOST_DIMENSIONS} dimensions, but has {rank}"
        )
    shape = tuple(reader.number("<I", name) for _ in range(rank))
    if not all(shape):
        raise CheckpointError(f"{name} must have sizes >= 1, but has {shape}")
    code = reader.number("<B", name)
    if version >= 4:
        if code >= len(_TYPES):
            raise CheckpointError(f"the type of {name} must be 0 to {len(_TYPES) - 1}, not {code}")
        kind, length = _TYPES[code], reader.number("<I", name)
    else:
        if code not in _OLD_TYPES:
            raise CheckpointError(f"{name} must have numbers of 1, 2 or 4 bytes, but has {code}")
        kind, length = _OLD_TYPES[code], code * reader.number("<I", name)
    if (expected := math.prod(shape) * _NUM_BYTES[kind]) != length:
        raise CheckpointError(f"{name} must have {expected} bytes for {shape}, but has {length}")
    return _Variable(type=kind, shape=shape, data=reader.take(length, name))


def _add_aliases(reader: _Reader, variables: dict[str, _Variable]) -> None:
    """Adds other names of variables; what they stand for is written once for each."""
    most = _MOST_REPEATED * sum(len(each.data) for each in variables.values())
    repeated = 0
    added: dict[str, _Variable] = {}
    for _ in range(_count(reader, "other names")):
        alias, name = reader.text("another name"), reader.text("what it stands for")
        if alias in variables or alias in added:
            raise CheckpointError(f"each name must be given once, but {alias!r} is given again")
        if name not in variables:
            raise CheckpointError(f"{alias!r} must stand for a variable, but {name!r} is none")
        repeated += len(variables[name].data)
        if repeated > most:
            raise CheckpointError(
                f"its other names must stand for at most {_MOST_REPEATED} times what it holds, "
                "but stand for more"
            )
        added[alias] = variables[name]
        if name + _SCALE in variables:
            added[alias + _SCALE] = variables[name + _SCALE]
    variables.update(added)


def _count(reader: _Reader, what: str) -> int:
    count = reader.number("<I", what)
    if count > min(_MOST_VARIABLES, reader.left):
        raise CheckpointError(
            f"it must have at most {_MOST_VARIABLES} {what}, and room for them, but has {count} in "
            f"{reader.left} bytes"
        )
    return count


def _is_scale(name: str, variables: dict[str, _Variable]) -> bool:
    return name.endswith(_SCALE) and name.removesuffix(_SCALE) in variables


def _new_name(name: str) -> str:
    for old, new in _OLD_NAMES:
        name = old.sub(new, name)
    return name


def _numbers(each: _Variable) -> np.ndarray:
    if each.type != "bfloat16":
        return np.frombuffer(each.data, each.type)
    return (np.frombuffer(each.data, "<u2").astype("<u4") << 16).view("<f4")
