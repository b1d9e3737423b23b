"""Writers of the files that importers read, from their descriptions alone."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import yaml

__all__ = ["Item", "lexicon", "marian_binary", "marian_npz"]

_ALIGNMENT = 256


class Item(NamedTuple):
    """One item of a binary file."""

    type: int
    shape: Sequence[int]
    data: bytes


def marian_binary(items: Mapping[str, Item]) -> bytes:
    """A file of Marian's binary form."""
    padded = {
        name: each.data + b"\0" * (-len(each.data) % _ALIGNMENT) for name, each in items.items()
    }
    head = struct.pack("<2Q", 1, len(items))
    for name, each in items.items():
        lengths = len(name.encode()) + 1, each.type, len(each.shape), len(padded[name])
        head += struct.pack("<4Q", *lengths)
    head += b"".join(name.encode() + b"\0" for name in items)
    head += b"".join(struct.pack(f"<{len(each.shape)}i", *each.shape) for each in items.values())
    padding = -(len(head) + 8) % _ALIGNMENT
    return head + struct.pack("<Q", padding) + b"\0" * padding + b"".join(padded.values())


def marian_npz(arrays: Mapping[str, np.ndarray], options: Mapping[str, object]) -> bytes:
    """A file of Marian's NumPy form."""
    text = yaml.safe_dump(dict(options)).encode() + b"\0"
    file = io.BytesIO()
    np.savez(file, **arrays, **{"special:model.yml": np.frombuffer(text, np.int8)})
    return file.getvalue()


def lexicon(first: int, lists: Sequence[Sequence[int]]) -> bytes:
    """A shortlist of Bergamot's."""
    offsets = np.cumsum([0, *map(len, lists)]).astype("<u8")
    ids = np.array([token for each in lists for token in each], "<u4")
    body = struct.pack("<4Q", first, 50, len(offsets), len(ids)) + offsets.tobytes() + ids.tobytes()
    checksum = 0
    for (word,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8]):
        mixed = word + 0x9E3779B9 + (checksum << 6) + (checksum >> 2)
        checksum = (checksum ^ mixed) & (2**64 - 1)
    return struct.pack("<2Q", 0xF11A48D5013417F5, checksum) + body


def zip_with(name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, content)
    return file.getvalue()
