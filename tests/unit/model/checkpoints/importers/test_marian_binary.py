"""Marian's binary files: all types of numbers, and whatever else a file may be."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.importers.marian_binary import MarianBinary
from model.checkpoints.importers.marian_npz import MarianNpz
from model.errors import CheckpointError
from tests.fixtures.marian import FIXTURES
from tests.unit.model.checkpoints.importers.damage import damaged
from tests.unit.model.checkpoints.importers.marian_writing import Item, marian_binary

_SSRU = FIXTURES / "ssru"
_ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
_WHOLE = {
    "special:model.yml": Item(0x101, [11], b"type: none\0"),
    "W": Item(0x404, [4, 3], _ROWS.tobytes()),
    "b": Item(0x402, [1, 3], _ROWS[:1].astype("<f2").tobytes()),
}


def test_float_tensors_are_as_written() -> None:
    read = MarianBinary(marian_binary(_WHOLE))

    assert read.options == b"type: none"
    assert read.shapes == {"W": (4, 3), "b": (1, 3)}
    np.testing.assert_array_equal(read.array("W"), _ROWS)
    np.testing.assert_array_equal(read.array("b"), _ROWS[:1])
    assert not read.quantized


@pytest.mark.parametrize(("code", "number"), [(0x101, "i1"), (0x102, "<i2"), (0x104, "<i4")])
def test_integers_are_read(code: int, number: str) -> None:
    values = np.array([[1, -2, 100]], number)
    read = MarianBinary(marian_binary({"W": Item(code, [1, 3], values.tobytes())}))

    np.testing.assert_array_equal(read.array("W"), values)


@pytest.mark.parametrize(
    ("code", "number"), [(0x4101, "i1"), (0x4102, "<i2"), (0x10001, "i1"), (0x10002, "<i2")]
)
def test_quantized_matrices_are_transposed_and_divided(code: int, number: str) -> None:
    numbers = np.arange(12).reshape(4, 3).astype(number)
    multiplier = struct.pack("<f", 4.0)
    read = MarianBinary(
        marian_binary(
            {
                "layer_W": Item(
                    code, [4, 3], np.ascontiguousarray(numbers.T).tobytes() + multiplier
                ),
                "Wemb": Item(code, [4, 3], numbers.tobytes() + multiplier),
            }
        )
    )

    np.testing.assert_array_equal(read.array("layer_W"), numbers / 4)
    np.testing.assert_array_equal(read.array("Wemb"), numbers / 4)
    assert read.quantized


@pytest.mark.parametrize("gemm_type", ["float32", "intgemm8", "intgemm16", "intgemm8avx2"])
def test_what_marian_converted_is_the_model_to_half_a_step(gemm_type: str) -> None:
    exact = MarianNpz((_SSRU / "model.npz").read_bytes())
    read = MarianBinary((_SSRU / f"{gemm_type}.bin").read_bytes())

    assert read.shapes == exact.shapes
    for name in exact.shapes:
        expected = exact.array(name)
        integers = read.types[name] & 0xFF
        most = np.abs(expected).max()
        step = {1: most / 127, 2: 1 / 1024, 4: 0.0}[integers]
        assert np.abs(read.array(name) - expected).max() <= step * 0.5001, name


def test_matrices_for_one_processor_are_refused_with_what_to_do() -> None:
    read = MarianBinary(marian_binary({"W": Item(0x802, [4, 3], bytes(64))}))

    (reason,) = read.unsupported()
    assert "packed16" in reason
    assert "marian-conv" in reason
    with pytest.raises(CheckpointError, match="packed16"):
        read.array("W")


def test_tiles_must_fit_the_matrix() -> None:
    read = MarianBinary(marian_binary({"W": Item(0x11001, [4, 3], bytes(16))}))

    with pytest.raises(CheckpointError, match=r"\(32 i, 8 j\)"):
        read.array("W")


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ({"W": Item(0x404, [40, 30], bytes(20))}, "must have 4800 bytes"),
        ({"W": Item(0x404, [-4, 3], bytes(48))}, "sizes >= 0"),
        ({"W": Item(0x404, [1] * 9, bytes(48))}, "at most 8 dimensions"),
        ({"": Item(0x404, [1], bytes(4))}, "a name must have 1 to 999 bytes"),
        ({"W\n": Item(0x404, [1], bytes(4))}, "printable"),
        ({"W": Item(0x404, [2**31 - 1, 2**31 - 1], bytes(4))}, "must have 184467440"),
    ],
)
def test_items_that_cannot_be_are_refused(items: dict[str, Item], told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        MarianBinary(marian_binary(items))


def test_an_item_given_twice_is_refused() -> None:
    content = marian_binary({"W1": Item(0x404, [1], bytes(4)), "W2": Item(0x404, [1], bytes(4))})

    with pytest.raises(CheckpointError, match="'W1' is given again"):
        MarianBinary(content.replace(b"W2", b"W1"))


@pytest.mark.parametrize(
    "content",
    [b"", b"\1" + bytes(7), struct.pack("<2Q", 1, 2**60), struct.pack("<2Q", 6, 1) + bytes(99)],
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError):
        MarianBinary(content)


def test_options_must_be_there() -> None:
    with pytest.raises(CheckpointError, match=r"special:model\.yml"):
        _ = MarianBinary(marian_binary({"W": Item(0x404, [1], bytes(4))})).options


@given(st.data())
def test_damage_is_an_error_or_other_numbers_and_costs_no_memory(data: st.DataObject) -> None:
    whole = marian_binary(_WHOLE)
    content = data.draw(damaged(whole))
    try:
        read = MarianBinary(content)
        arrays = [read.array(name) for name in read.shapes]
        _ = read.options
    except CheckpointError:
        return
    assert sum(each.nbytes for each in arrays) <= 4 * len(content)
