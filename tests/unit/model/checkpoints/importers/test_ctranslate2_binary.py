"""CTranslate2's binary files are read to the end, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.importers.ctranslate2_binary import (
    Ctranslate2Binary,
    is_ctranslate2_binary,
)
from model.errors import CheckpointError
from tests.fixtures.ctranslate2 import FIXTURES
from tests.unit.model.checkpoints.importers.ctranslate2_writing import ctranslate2_binary
from tests.unit.model.checkpoints.importers.damage import damaged

_ROWS = np.arange(-6, 6, dtype=np.float32).reshape(4, 3) / 8
_SCALES = np.array([100, 200, 50, 10], np.float32)
_WHOLE: dict[str, np.ndarray] = {
    "a/weight": np.array([[1, -2], [3, 127]], np.int8),
    "a/weight_scale": np.array([10, 100], np.float32),
    "b/weight": _ROWS,
    "b/heads": np.array(8, np.int16),
}


@pytest.mark.parametrize("version", range(1, 7))
def test_every_version(version: int) -> None:
    aliases = {"c/weight": "a/weight"} if version >= 3 else None
    read = Ctranslate2Binary(ctranslate2_binary(_WHOLE, version=version, aliases=aliases))

    assert (read.version, read.kind) == (version, "" if version == 1 else "TransformerSpec")
    np.testing.assert_array_equal(read.array("b/weight"), _ROWS)
    np.testing.assert_allclose(read.array("a/weight"), [[0.1, -0.2], [0.03, 1.27]])
    assert read.attributes() == {"b/heads": 8}
    assert set(read.shapes) == {"a/weight", "b/weight", *(aliases or ())}
    for alias in aliases or ():
        assert read.are_same(alias, "a/weight")
        np.testing.assert_array_equal(read.array(alias), read.array("a/weight"))
    assert not read.are_same("a/weight", "b/weight")


@pytest.mark.parametrize(
    ("stored", "scale"),
    [
        (_ROWS.astype("<f2"), None),
        (np.rint(_ROWS * _SCALES[:, None]).astype(np.int8), _SCALES),
        (np.rint(_ROWS * 1000).astype(np.int16), None),
        (np.rint(_ROWS * 2000).astype(np.int16), np.array(2000, np.float32)),
        ((_ROWS.view(np.uint32) >> 16).astype("<u2"), None),
    ],
    ids=["float16", "int8", "int16 of old", "int16", "bfloat16"],
)
def test_every_type(stored: np.ndarray, scale: np.ndarray | None) -> None:
    variables = {"weight": stored} | ({} if scale is None else {"weight_scale": scale})
    read = Ctranslate2Binary(ctranslate2_binary(variables))

    np.testing.assert_allclose(read.array("weight"), _ROWS, atol=0.03)
    assert read.array("weight").dtype == np.float32


def test_equal_tensors_are_the_same_without_aliases() -> None:
    twice = {"x": _ROWS, "y": _ROWS.copy(), "z": _ROWS + 1}
    read = Ctranslate2Binary(ctranslate2_binary(twice, version=2))

    assert read.are_same("x", "y")
    assert not read.are_same("x", "z")
    assert not read.are_same("x", "absent")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "version must have 4 bytes"),
        (ctranslate2_binary(_WHOLE, version=7), "must be 1 to 6, but is 7"),
        (ctranslate2_binary(_WHOLE) + b"\0", "must end with its last name, but has 1 more"),
        (ctranslate2_binary(_WHOLE)[:-20], "the file ends after"),
        (ctranslate2_binary(_WHOLE, aliases={"c": "absent"}), "but 'absent' is none"),
        (
            ctranslate2_binary(_WHOLE, aliases={f"c{place}": "a/weight" for place in range(100)}),
            "must stand for at most 4 times what it holds, but stand for more",
        ),
        (ctranslate2_binary(_WHOLE, aliases={"b/weight": "a/weight"}), "is given again"),
        (ctranslate2_binary({"x": np.zeros((0, 3), np.float32)}), "must have sizes >= 1"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Ctranslate2Binary(content)


def test_bytes_need_scales() -> None:
    read = Ctranslate2Binary(ctranslate2_binary({"weight": np.ones((2, 2), np.int8)}))

    with pytest.raises(CheckpointError, match="must have scales"):
        read.array("weight")


def test_begins() -> None:
    for version in (1, 2, 6, 9):
        assert is_ctranslate2_binary(ctranslate2_binary(_WHOLE, version=version)[:8])
    for begin in (b"", b"PK\3\4\0\0\0\0", b"\1" + b"\0" * 7, b"\0" * 8):
        assert not is_ctranslate2_binary(begin)


_REAL = (FIXTURES / "v2-aren-transliteration-i8" / "model.bin").read_bytes()[:3000]


@given(st.data(), st.sampled_from([1, 2, 3, 4, 6, 0]))
def test_damage_is_an_error_or_other_numbers_and_costs_no_memory(
    data: st.DataObject, version: int
) -> None:
    aliases = {"c/weight": "a/weight"} if version >= 3 else None
    whole = ctranslate2_binary(_WHOLE, version=version, aliases=aliases) if version else _REAL
    content = data.draw(damaged(whole))
    try:
        read = Ctranslate2Binary(content)
        arrays = [read.array(name) for name in read.shapes]
        _ = read.attributes(), read.types(), [read.text(name) for name in read.shapes]
    except CheckpointError:
        return
    assert sum(each.nbytes for each in arrays) <= 8 * len(content)
