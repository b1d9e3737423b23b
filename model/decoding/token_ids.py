"""Token ids without an object for each: int32, one behind the other."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

__all__ = ["packed_ids", "unpacked_ids"]


def packed_ids(token_ids: Iterable[int]) -> bytes:
    """Token ids as the engine passes them on, four bytes each, in the machine's order.

    Raises:
        OverflowError: one of them does not fit into 32 bits with a sign.
    """
    return array("i", token_ids).tobytes()


def unpacked_ids(packed: bytes) -> tuple[int, ...]:
    """The token ids of `packed_ids`."""
    return tuple(memoryview(packed).cast("i"))
