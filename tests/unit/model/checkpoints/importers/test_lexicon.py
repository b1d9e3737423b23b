"""Lexicons: both forms, and whatever else a file may be."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.importers.lexicon import read_binary_lexicon, read_text_lexicon
from model.checkpoints.shortlist import Shortlist
from model.errors import CheckpointError
from tests.unit.model.checkpoints.importers.damage import damaged
from tests.unit.model.checkpoints.importers.marian_writing import lexicon

_LISTS = [[0], [5, 7], [], [6, 8, 9]]
_TEXT = "c a 0.5\nb a 0.25\nd a 0.125\nb b 1\nx a 1\nb y 1\n\n"


def _lists(read: Shortlist) -> list[list[int]]:
    bounds = zip(read.offsets[:-1], read.offsets[1:], strict=True)
    return [read.ids[begin:end].tolist() for begin, end in bounds]


def test_the_binary_form_is_as_written() -> None:
    read = read_binary_lexicon(lexicon(3, _LISTS))

    assert read.first == 3
    assert _lists(read) == _LISTS


def test_another_checksum_is_refused() -> None:
    content = bytearray(lexicon(3, _LISTS))
    content[16] ^= 1

    with pytest.raises(CheckpointError, match="checksum"):
        read_binary_lexicon(bytes(content))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "48 bytes"),
        (bytes(48), "must begin with 0xf11a48d5013417f5"),
        (struct.pack("<6Q", 0xF11A48D5013417F5, 0, 50, 50, 2**61, 2**61), "bytes, but has 48"),
        (lexicon(3, [[2**24]]), "ids below"),
    ],
)
def test_other_files_are_refused(content: bytes, told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        read_binary_lexicon(content)


def test_the_text_form_keeps_the_best_of_known_pieces() -> None:
    ids = {"a": 0, "b": 1, "c": 2, "d": 3}
    read = read_text_lexicon(_TEXT.encode(), ids, ids, first=1, best=2)

    assert read.first == 1
    assert _lists(read) == [[1, 2], [1], [], []]


@pytest.mark.parametrize("line", ["a b", "a b c d", "a b c", "a b nan", "a b -1", "\udc80 b 1"])
def test_other_lines_are_refused(line: str) -> None:
    content = f"c a 0.5\n{line}\n".encode("utf-8", "surrogateescape")

    with pytest.raises(CheckpointError, match="line 2"):
        read_text_lexicon(content, {}, {}, first=1, best=1)


@given(st.data())
def test_damage_is_an_error(data: st.DataObject) -> None:
    whole = lexicon(3, _LISTS)
    content = data.draw(damaged(whole, head=64))
    try:
        read = read_binary_lexicon(content)
    except CheckpointError:
        return
    assert content == whole or read.ids.nbytes <= len(content)


@given(st.data())
def test_damaged_text_is_an_error_or_another_lexicon(data: st.DataObject) -> None:
    ids = {"a": 0, "b": 1, "c": 2, "d": 3}
    try:
        read = read_text_lexicon(data.draw(damaged(_TEXT.encode())), ids, ids, first=1, best=2)
    except CheckpointError:
        return
    assert np.diff(read.offsets).max() <= 2
