"""Lexicons that say which target tokens a source token is likely to become: Marian's shortlists.

Two forms: Bergamot's binary one (`lex.*.s2t.bin`), already cut down, and Marian's text, a line for
each "target source probability".
"""

from __future__ import annotations

import heapq
import math
import struct
from collections.abc import Mapping

import numpy as np

from model.checkpoints.shortlist import Shortlist
from model.errors import CheckpointError

__all__ = ["read_binary_lexicon", "read_text_lexicon"]

_MAGIC = 0xF11A48D5013417F5
_HEADER = struct.Struct("<6Q")


def read_binary_lexicon(content: bytes) -> Shortlist:
    """Reads Bergamot's form: six numbers of 64 bits, offsets, ids.

    Raises:
        CheckpointError: it is no such file, or is damaged.
    """
    if len(content) < _HEADER.size:
        raise CheckpointError(f"a lexicon must have {_HEADER.size} bytes, but has {len(content)}")
    magic, checksum, first, _, num_offsets, num_ids = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        raise CheckpointError(f"a lexicon must begin with {_MAGIC:#x}, but begins with {magic:#x}")
    expected = _HEADER.size + 8 * num_offsets + 4 * num_ids
    if len(content) != expected:
        raise CheckpointError(
            f"a lexicon of {num_offsets} offsets and {num_ids} ids must have {expected} bytes, "
            f"but has {len(content)}"
        )
    if (found := _checksum(content[16:])) != checksum:
        raise CheckpointError(f"a lexicon's checksum must be {checksum:#x}, but is {found:#x}")
    offsets = np.frombuffer(content, "<u8", num_offsets, _HEADER.size)
    ids = np.frombuffer(content, "<u4", num_ids, _HEADER.size + offsets.nbytes)
    if (
        num_offsets < 2
        or offsets[0] != 0
        or offsets[-1] != num_ids
        or bool((offsets[1:] < offsets[:-1]).any())
    ):
        raise CheckpointError(f"a lexicon's offsets must rise from 0 to {num_ids}, but do not")
    if (num_ids and int(ids.max()) >= 2**24) or first >= 2**24:
        raise CheckpointError(f"a lexicon must have ids below {2**24}, but has larger ones")
    return Shortlist(first=first, offsets=offsets.astype(np.int64), ids=ids.astype(np.int32))


def read_text_lexicon(
    content: bytes,
    sources: Mapping[str, int],
    targets: Mapping[str, int],
    *,
    first: int,
    best: int,
) -> Shortlist:
    """Reads Marian's text: a target piece, a source piece and a probability on each line.

    Args:
        content: of the file.
        sources: source pieces and their ids; lines of others are passed over.
        targets: the same of the target.
        first: so many target ids are always likely.
        best: most target ids of a source id, the most likely ones.

    Raises:
        CheckpointError: a line is of another form.
    """
    likely: dict[int, list[tuple[float, int]]] = {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        target, source, probability = _entry(number, line)
        if source not in sources or target not in targets:
            continue
        kept = likely.setdefault(sources[source], [])
        entry = (probability, -targets[target])
        if len(kept) < best:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    lists = [
        sorted({-target for _, target in likely.get(source, ())})
        for source in range(max(sources.values(), default=0) + 1)
    ]
    return Shortlist(
        first=first,
        offsets=np.cumsum([0, *map(len, lists)], dtype=np.int64),
        ids=np.array([target for targets in lists for target in targets], np.int32),
    )


def _entry(number: int, line: bytes) -> tuple[str, str, float]:
    try:
        target, source, value = line.decode().split()
        probability = float(value)
    except ValueError:
        probability = math.nan
    if not 0 <= probability <= 1:
        raise CheckpointError(
            f"line {number} of a lexicon must be a target, a source and a probability, but is "
            f"{line[:100]!r}"
        )
    return target, source, probability


def _checksum(content: bytes) -> int:
    """Boost's way of combining hashes, over words of 64 bits; a last half word counts too."""
    words = np.frombuffer(content, "<u8", len(content) // 8).tolist()
    mask = 2**64 - 1
    state = 0
    for word in words:
        state ^= (word + 0x9E3779B9 + (state << 6) + (state >> 2)) & mask
    return state
