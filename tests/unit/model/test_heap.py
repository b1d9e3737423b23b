"""What is free goes back to the system, wherever in the heap it lies."""

import resource
from pathlib import Path

import pytest

from model.heap import give_back_free_memory

MIB = 2**20


def resident() -> int:
    """Bytes of memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_holes_between_what_is_in_use_are_given_back() -> None:
    # Below the size from which on the C library asks the system for each block.
    blocks = [bytearray(b"x" * 65536) for _ in range(2048)]
    del blocks[::2]
    occupied = resident()
    give_back_free_memory()
    assert resident() < occupied - 48 * MIB
    assert all(block[0] == ord("x") for block in blocks)


def test_a_library_that_cannot_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.heap.ctypes.CDLL", lambda _: object())
    give_back_free_memory()
