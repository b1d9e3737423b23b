"""Marian's `.npz` files, and whatever else a zip archive may hold."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.importers.marian_npz import MarianNpz
from model.errors import CheckpointError
from tests.fixtures.marian import FIXTURES
from tests.unit.model.checkpoints.importers.damage import damaged
from tests.unit.model.checkpoints.importers.marian_writing import marian_npz, zip_with

_ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def _array_file(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_arrays_are_as_written() -> None:
    read = MarianNpz(marian_npz({"W": _ROWS, "half": _ROWS.astype("<f2")}, {"type": "none"}))

    assert read.options == b"type: none\n"
    assert read.shapes == {"W": (2, 3), "half": (2, 3)}
    np.testing.assert_array_equal(read.array("W"), _ROWS)
    np.testing.assert_array_equal(read.array("half"), _ROWS)
    assert read.array("half").dtype == np.float32


def test_a_file_of_marians_is_read() -> None:
    path = FIXTURES / "post-norm-tied-all" / "model.npz"
    read = MarianNpz(path.read_bytes())

    expected = np.load(path)
    assert set(read.shapes) | {"special:model.yml"} == set(expected.files)
    for name in read.shapes:
        np.testing.assert_array_equal(read.array(name), expected[name])


def test_compressed_arrays_are_refused() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, W=np.zeros((1000, 1000), np.float32))

    with pytest.raises(CheckpointError, match=r"numpy\.savez"):
        MarianNpz(file.getvalue())


def test_pickled_objects_are_refused_and_never_loaded() -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return pytest.fail, ("it was loaded",)

    with pytest.raises(CheckpointError):
        MarianNpz(zip_with("W.npy", pickle.dumps(Harmful())))
    with pytest.raises(CheckpointError, match="must be one of"):
        MarianNpz(zip_with("W.npy", _array_file(np.array([Harmful()], object))))


def test_a_shape_that_its_file_has_no_room_for_is_refused() -> None:
    content = _array_file(np.zeros((10, 10), np.float32)).replace(b"(10, 10)", b"(90, 99)")

    with pytest.raises(CheckpointError, match="the numbers of its shape"):
        MarianNpz(zip_with("W.npy", content))


def test_an_array_given_twice_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("W.npy", _array_file(_ROWS))
        archive.writestr("W", _array_file(_ROWS))

    with pytest.raises(CheckpointError, match="'W' is again"):
        MarianNpz(file.getvalue())


def test_arrays_of_other_types_are_refused() -> None:
    with pytest.raises(CheckpointError, match="<f4"):
        MarianNpz(zip_with("W.npy", _array_file(np.zeros(3, "<i8"))))


def test_options_must_be_there() -> None:
    with pytest.raises(CheckpointError, match=r"special:model\.yml"):
        _ = MarianNpz(zip_with("W.npy", _array_file(_ROWS))).options


@given(st.data())
def test_damage_is_an_error_or_other_numbers_and_costs_no_memory(data: st.DataObject) -> None:
    content = data.draw(damaged(marian_npz({"W": _ROWS, "b": _ROWS[:1]}, {"type": "none"})))
    try:
        read = MarianNpz(content)
        arrays = [read.array(name) for name in read.shapes]
        _ = read.options
    except CheckpointError:
        return
    assert sum(each.nbytes for each in arrays) <= 4 * len(content)
