"""The headers of weight files are compared with the manifest before anything is read."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.checkpoints.weights import (
    StoredDtype,
    StoredWeights,
    check_weights,
    stored_tensors,
    write_weights,
)
from model.errors import CheckpointError
from model.network.shapes import weight_shapes
from tests.tiny_model import tiny_config

CONFIG = tiny_config()
SHAPES = weight_shapes(CONFIG)
FIRST, SECOND, *_ = SHAPES
_BYTES = {"U8": 1, "F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I16": 2, "F8_E4M3": 1}


def tensors(shapes: dict[str, tuple[int, ...]], **dtypes: str) -> dict[str, Any]:
    """The header of a file with tensors of `shapes`."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, dtype = end, dtypes.get(name, "F16")
        size = _BYTES[dtype]
        for length in shape:
            size *= length
        end += size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    return header


def write(path: Path, header: dict[str, Any] | bytes, *, length: int | None = None) -> None:
    """A file with `header`, which says that it has `length` bytes, and zeros for its tensors."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    ends = [0]
    if isinstance(header, dict):
        ends += [each["data_offsets"][1] for each in header.values() if "data_offsets" in each]
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text) if length is None else length) + text)
        file.truncate(file.tell() + min(max(ends), 2**30))


def put(path: Path, name: str, number: bytes) -> None:
    """Overwrites the first number of a tensor."""
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    begin = 8 + length + json.loads(content[8 : 8 + length])[name]["data_offsets"][0]
    content[begin : begin + len(number)] = number
    path.write_bytes(content)


def check(directory: Path, *files: dict[str, Any] | bytes, length: int | None = None) -> None:
    names = [f"{index}.safetensors" for index in range(len(files))]
    for name, header in zip(names, files, strict=True):
        write(directory / name, header, length=length)
    check_weights(directory, names, CONFIG)


def test_all_weights_may_be_in_one_file_or_in_many(tmp_path: Path) -> None:
    check(tmp_path, tensors(SHAPES))
    check(tmp_path, *(tensors({name: shape}) for name, shape in SHAPES.items()))
    check(tmp_path, {"__metadata__": {"format": "pt"}} | tensors(SHAPES, **{FIRST: "F32"}))


def with_entry(name: str, **changes: Any) -> dict[str, Any]:
    header = tensors(SHAPES)
    header[name] |= changes
    return header


VALUES = FIRST + ".values"


def coded(shape: tuple[int, ...], dtype: str = "F32") -> dict[str, Any]:
    """A header in which one matrix is of places in a list of this shape."""
    return tensors(SHAPES | {VALUES: shape}, **{FIRST: "U8", VALUES: dtype})


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_matrix_of_few_numbers_is_kept_as_bytes_and_the_same_to_the_bit(
    tmp_path: Path, dtype: StoredDtype
) -> None:
    generator = np.random.default_rng(0)
    values = np.array([-0.0, 0.0, *(np.arange(-127, 128) / np.float32(93.7))[:254]], np.float32)
    written = {
        name: generator.choice(values, shape) if len(shape) == 2 else generator.random(shape)
        for name, shape in SHAPES.items()
    }
    written[SECOND] = generator.random(SHAPES[SECOND])  # has others
    write_weights(tmp_path, written.items(), CONFIG, dtype)
    [shard] = [path.name for path in tmp_path.iterdir()]
    check_weights(tmp_path, [shard], CONFIG)
    weights = StoredWeights(tmp_path, [shard], CONFIG)
    for name, weight in written.items():
        expected = weight.astype(dtype).astype(np.float32)
        assert weights.array(name).tobytes() == expected.tobytes()
    kinds = {name: tensor.dtype for name, tensor in stored_tensors(tmp_path, shard).items()}
    assert kinds[FIRST] == "U8"
    assert kinds[SECOND] == {"float32": "F32", "float16": "F16"}[dtype]


def test_places_must_be_in_the_list(tmp_path: Path) -> None:
    write(tmp_path / "0.safetensors", coded((9,)))
    weights = StoredWeights(tmp_path, ["0.safetensors"], CONFIG)
    assert not weights.array(FIRST).any()
    put(tmp_path / "0.safetensors", FIRST, b"\x09")
    with pytest.raises(CheckpointError, match="must have places below 9, but has 9"):
        weights.array(FIRST)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([tensors(SHAPES | {FIRST: (7,)})], r"must be \(400, 32\), but is \(7,\)"),
        ([tensors(SHAPES | {"more": (7,)})], "has weights that the model has not: 'more'"),
        ([tensors(SHAPES), tensors({FIRST: SHAPES[FIRST]})], "must be given once, but is again in"),
        ([tensors({FIRST: SHAPES[FIRST]})], "lacks the weights"),
        ([tensors(SHAPES, **{FIRST: "I16"})], "must be one of F16, BF16, F32, F64, U8, but is I16"),
        ([tensors(SHAPES, **{FIRST: "F8_E4M3"})], "must be one of .* but is F8_E4M3"),
        (
            [tensors(SHAPES, **{FIRST: "U8"})],
            r"\.values in .* must be a list .*, but there is none",
        ),
        ([coded((257,))], r"must be a list of 1 to 256 numbers .*, but it is \(257,\) of F32"),
        ([coded((4, 4))], "must be a list of 1 to 256 numbers"),
        ([coded((0,))], "must be a list of 1 to 256 numbers"),
        ([coded((9,), "U8")], "must be a list of 1 to 256 numbers"),
        ([tensors(SHAPES | {VALUES: (9,)})], "has weights that the model has not"),
        ([with_entry(FIRST, shape=[2**40, 2**40])], "cannot read"),
        ([with_entry(FIRST, shape=[-1, 2])], "cannot read"),
        ([with_entry(FIRST, data_offsets=[0, 2**62])], "cannot read"),
        ([with_entry(SECOND, data_offsets=[0, 64])], "cannot read"),
        ([b'{"a":' * 20_000 + b"1" + b"}" * 20_000], "must have a header for the weights"),
        ([b'{"a":' * 200 + b"1" + b"}" * 200], "cannot read"),
        ([tensors(SHAPES), b"{}      "], "1.safetensors must have weights, but has none"),
        ([b"[]"], "cannot read"),
        ([b""], "cannot read"),
    ],
)
def test_other_headers_are_refused(tmp_path: Path, files: list[Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check(tmp_path, *files)


@pytest.mark.parametrize("length", [2**63, 90_000_000])
def test_no_memory_is_taken_for_a_header_beyond_measure(tmp_path: Path, length: int) -> None:
    with pytest.raises(CheckpointError, match=rf"at most \d+ bytes of it, but has {length}"):
        check(tmp_path, b"{}", length=length)


def test_many_files_do_not_have_more_of_it_than_one(tmp_path: Path) -> None:
    padding = {"__metadata__": {"filler": "x" * 50_000}}
    with pytest.raises(CheckpointError, match="must have a header for the weights"):
        check(tmp_path, *(padding | tensors({n: shape}) for n, shape in SHAPES.items()))


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "0.safetensors", tensors(SHAPES))
    with (tmp_path / "0.safetensors").open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(CheckpointError, match="cannot read"):
        check_weights(tmp_path, ["0.safetensors"], CONFIG)
    (tmp_path / "0.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot read"):
        check_weights(tmp_path, ["0.safetensors"], CONFIG)


@pytest.mark.parametrize(
    ("dtype", "number"),
    [("F16", "<f2"), ("F32", "<f4"), ("F64", "<f8"), ("BF16", "<u2")],
)
def test_numbers_must_be_finite_in_float32(tmp_path: Path, dtype: str, number: str) -> None:
    write(tmp_path / "0.safetensors", tensors(SHAPES, **{SECOND: dtype}))
    weights = StoredWeights(tmp_path, ["0.safetensors"], CONFIG)
    assert not weights.array(SECOND).any()
    bad: list[Any] = [0x7FC0, 0x7F80, 0xFF80] if dtype == "BF16" else [np.nan, np.inf, -np.inf]
    if dtype == "F64":
        bad.append(1e39)  # infinite in float32
    for value in bad:
        put(tmp_path / "0.safetensors", SECOND, np.array(value, number).tobytes())
        with pytest.raises(CheckpointError, match=f"{SECOND} in 0.saf.* must be finite numbers"):
            weights.array(SECOND)
        assert not weights.array(FIRST).any()


def test_a_file_that_is_cut_short_later_is_said(tmp_path: Path) -> None:
    path = tmp_path / "0.safetensors"
    write(path, tensors(SHAPES))
    weights = StoredWeights(tmp_path, [path.name], CONFIG)
    with path.open("r+b") as file:
        file.truncate(20_000)
    *_, last = SHAPES
    with pytest.raises(CheckpointError, match="must have all its weights, but ends before"):
        weights.array(last)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"has no 0\.safetensors"):
        weights.array(last)
